"""BabyAI: the agent's 7x7 view, as a picture or as the symbols of its cells, and the mission as text.

The observation has no compass: what the agent sees is always drawn with itself at the bottom, looking up.
"""

import contextlib
import io
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, MultiDiscrete, Text

from generalist.envs.families.babyai_levels import HORIZONS, SEQUENCES, UNSOLVED, VERSIONS
from generalist.envs.families.tiles import TileTable
from generalist.envs.success import SuccessInfo, positive_reward
from generalist.envs.task import ActionFunction, Task, needs_extra

TILE = 8
"""Pixels a tile."""

_TILES = TileTable(TILE)

VIEW = 7
"""Cells along a side of what the agent sees."""

PLACEMENTS = 1000
"""Draws of the agent's place within one draft of a level."""

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz ,")
MISSION = Text(max_length=128, charset=_LETTERS)
LONG_MISSION = Text(max_length=384, charset=_LETTERS)
"""Of levels that string up to four instructions together, each of at most 75 letters."""


def make(level: str, render_mode: str | None = None) -> gym.Env:
    """A BabyAI level by its name, for example "GoToObj"; frames of `render` show the whole grid.

    Observations: {"image": uint8[56, 56, 3], "mission": text}. Actions: 7 (left, right, forward, pick up, drop,
    toggle, done). The reward is 1 - 0.9 * steps / horizon on success and 0 otherwise.
    """
    return SuccessInfo(PixelsAndMission(_make_level(level, render_mode), _mission(level)), positive_reward)


def make_symbolic(level: str, render_mode: str | None = None) -> gym.Env:
    """The same level, seen as {"symbols": MultiDiscrete[147], "mission": text}.

    Three symbols a cell (object type, colour, state of a door), x before y, in MiniGrid's numbering: what its own
    observation "image" holds.
    """
    return SuccessInfo(SymbolsAndMission(_make_level(level, render_mode), _mission(level)), positive_reward)


def _mission(level: str) -> Text:
    return LONG_MISSION if level in SEQUENCES else MISSION


def _make_level(level: str, render_mode: str | None) -> gym.Env:
    with needs_extra("babyai"):
        import minigrid  # noqa: F401 (registers the levels)
    id = f"BabyAI-{level}-v{VERSIONS.get(level, 0)}"
    return gym.make(id, render_mode=render_mode, disable_env_checker=True)


class AgentView(gym.Wrapper, ABC):
    """What MiniGrid gives but for the compass; remembers the last action for the expert.

    MiniGrid computes the agent's view anew for every reader of it, most of the time of a step; here it is kept until
    the next step.
    """

    def __init__(self, env: gym.Env):
        super().__init__(env)
        base: Any = env.unwrapped
        self.last_action: int | None = None
        self._view: tuple | None = None
        self._compute_view = base.gen_obs_grid
        base.gen_obs_grid = self._current_view
        self._placements = 0
        self._place = base.place_obj
        base.place_obj = self._place_with_patience

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        self.last_action = self._view = None
        self._placements = 0
        # The generator of missions prints every draft it rejects.
        with contextlib.redirect_stdout(io.StringIO()):
            observation, info = self.env.reset(seed=seed, options=options)
        return self.shown(observation), info

    def step(self, action: Any):
        self.last_action, self._view = int(action), None
        observation, reward, terminated, truncated, info = self.env.step(self.last_action)
        return self.shown(observation), float(reward), terminated, truncated, info

    @abstractmethod
    def shown(self, observation: dict[str, Any]) -> dict[str, Any]:
        """What the agent is given of MiniGrid's own observation."""

    def _place_with_patience(self, obj: Any, *args: Any, **options: Any) -> Any:
        """A level draws the agent's place until it faces no object, for ever where a small room is full of them.

        Drafts of a level that do not work out are RecursionErrors in MiniGrid, which then draws another one.
        """
        self._placements = 0 if obj else self._placements + 1
        if self._placements > PLACEMENTS:
            self._placements = 0
            raise RecursionError("there is no place for the agent")
        return self._place(obj, *args, **options)

    def _current_view(self, agent_view_size: int | None = None) -> tuple:
        if agent_view_size is not None:
            return self._compute_view(agent_view_size)
        view = self._view = self._view or self._compute_view()
        return view


class PixelsAndMission(AgentView):
    """The view as a picture of `TILE` pixels a cell."""

    def __init__(self, env: gym.Env, mission: Text = MISSION):
        super().__init__(env)
        base: Any = env.unwrapped
        side = TILE * base.agent_view_size
        self.observation_space = Dict({"image": Box(0, 255, (side, side, 3), np.uint8), "mission": mission})

    def shown(self, observation: dict[str, Any]) -> dict[str, Any]:
        return {"image": _TILES.picture(observation["image"]), "mission": observation["mission"]}


class SymbolsAndMission(AgentView):
    """The view as integers: object type (11), colour (6) and state (3) of every cell."""

    def __init__(self, env: gym.Env, mission: Text = MISSION):
        super().__init__(env)
        sizes = np.tile([11, 6, 3], VIEW * VIEW)
        self.observation_space = Dict({"mission": mission, "symbols": MultiDiscrete(sizes)})

    def shown(self, observation: dict[str, Any]) -> dict[str, Any]:
        return {"mission": observation["mission"], "symbols": observation["image"].astype(np.int64).ravel()}


PLAN_LIMIT = 1000
"""Subgoals that the bot may put aside within one step. It needs a few; in `UnlockToUnlock` it can go on for ever."""


class BotGivesUp(Exception):  # noqa: N818
    """The bot's plan does not end; the episode goes on without it."""


def bot_expert(env: gym.Env) -> ActionFunction:
    """MiniGrid's BabyAIBot. It plans on the grid, but only with what it has seen, and remembers it.

    It looks at the environment, not at the observation; actions other than its own (noise) are taken into account.
    Added here: it knows what it carries from the beginning, opens the box that holds the key it needs, and where its
    plan does not end, or breaks its assumptions, it stands still ("done") for the rest of the episode.
    """
    actions = _actions(env, _wrapper(env, AgentView))
    return lambda observation: next(actions)


def _actions(env: gym.Env, seen: Any) -> Iterator[int]:
    from minigrid.core.actions import Actions
    from minigrid.utils.baby_ai_bot import DisappearedBoxError, GoNextToSubgoal

    base: Any = env.unwrapped
    try:
        bot = _bot(env)
        if box := _box_with_a_key(base):
            bot.stack = [GoNextToSubgoal(bot, box)]
            yield from itertools.takewhile(lambda action: action != Actions.done, _replans(bot, seen))
            yield int(Actions.toggle)
            bot = _bot(env)
            yield int(bot.replan(None))
        elif base.carrying:
            del bot.stack[-2:]  # going to the object, and picking it up
        yield from _replans(bot, seen)
    except (AssertionError, BotGivesUp, DisappearedBoxError):
        yield from itertools.repeat(int(Actions.done))


def _replans(bot: Any, seen: Any) -> Iterator[int]:
    while True:
        yield int(bot.replan(seen.last_action))


def _bot(env: gym.Env) -> Any:
    """The bot with a watchdog: its stack of subgoals counts how often it grows within a step."""
    from minigrid.utils.baby_ai_bot import BabyAIBot

    class Watched(BabyAIBot):
        def replan(self, action_taken: int | None = None) -> Any:
            self.plans = 0
            try:
                return super().replan(action_taken)
            except TypeError as error:  # a subgoal beside an object that was found nowhere
                raise BotGivesUp(f"a subgoal without a place: {error}") from error

        def _shortest_path(self, *args: Any, **options: Any) -> Any:
            self.plans += 1
            if self.plans > PLAN_LIMIT:
                raise BotGivesUp(f"{self.plans} searches for a path within one step")
            return super()._shortest_path(*args, **options)

    bot: Any = Watched(env)
    return bot


def _box_with_a_key(base: Any) -> Any:
    """The box whose key is needed and lies nowhere else (KeyInBox); None if there is none."""
    boxes = (cell for cell in base.grid.grid if cell is not None and cell.type == "box")
    return next((box for box in boxes if box.contains is not None), None)


def _wrapper(env: gym.Env, kind: type[gym.Wrapper]) -> Any:
    while not isinstance(env, kind):
        if not isinstance(env, gym.Wrapper):
            raise ValueError(f"the BabyAI expert needs an environment made by envs.families.babyai.make, got {env}")
        env = env.env
    return env


NOISE = 0.1
"""Of one action in ten, so that demonstrations show ways back; `docs/data.md` has what it did."""
_ROW: dict[str, Any] = {
    "expert": bot_expert,
    "score": "return",
    "has_success": True,
    "noise": NOISE,
    "extra": "babyai",
}
_SOURCE = "MiniGrid's BabyAI levels and BabyAIBot (Chevalier-Boisvert et al. 2019), "

TASKS = (
    *(
        Task(
            id=f"babyai/{level}",
            family="babyai",
            make=partial(make, level),
            horizon=horizon,
            # Episodes of the large mazes are ten times as long, and each shows ten times as much.
            episodes=2000 if horizon <= 100 else 500,
            note=UNSOLVED.get(level, ""),
            provenance=_SOURCE + "from pixels",
            **_ROW,
        )
        for level, horizon in HORIZONS.items()
    ),
    *(
        Task(
            id=f"babyai_symbolic/{level}",
            family="babyai_symbolic",
            make=partial(make_symbolic, level),
            same_episodes_as=f"babyai/{level}",
            horizon=horizon,
            episodes=2000 if horizon <= 100 else 500,
            note=UNSOLVED.get(level, ""),
            provenance=_SOURCE + "as symbols",
            **_ROW,
        )
        for level, horizon in HORIZONS.items()
    ),
)
