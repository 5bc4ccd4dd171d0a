"""Procgen (Cobbe et al. 2020): 16 games whose levels are generated, by either of two builds of the original engine.

Levels are of the hard distribution, in maze and heist of the easy one, as in Gato (Reed et al. 2022, app. F), and of
the whole distribution: nothing is held out, a seed is a level. `EYES` has the experts, which see what the agent sees.
procgen-gym has wheels for Python 3.13 on x86-64; elsewhere envpool's build of the same sources plays, which wants Qt 5
beside it. Both draw levels from a seed as the original does: 32 episodes of the original package had the same levels,
rewards and ends in envpool. Of the values of their pictures up to 0.07% differed, because other versions of Qt draw
otherwise.
"""

import ctypes
import importlib
import sys
from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from generalist.envs.envpool_task import new_pool, only, package, told
from generalist.envs.experts.fruitbot_eye import to_the_fruit
from generalist.envs.experts.maze_eye import to_the_cheese
from generalist.envs.task import ActionFunction, MissingExtra, Task

EASY = ("heist", "maze")
"""Games with easy levels; the others are hard."""

HORIZONS = {
    "bigfish": 6000,
    "bossfight": 4000,
    "caveflyer": 1000,
    "chaser": 1000,
    "climber": 1000,
    "coinrun": 1000,
    "dodgeball": 1000,
    "fruitbot": 1000,
    "heist": 1000,
    "jumper": 1000,
    "leaper": 500,
    "maze": 500,
    "miner": 1000,
    "ninja": 1000,
    "plunder": 4000,
    "starpilot": 1000,
}
"""Steps after which the engine ends a level by itself."""

PROCGEN_NAMES = tuple(HORIZONS)
ACTIONS = 15
"""Eight directions, none, and six buttons of which a game uses some."""

QT = ("libicudata.so.56", "libicuuc.so.56", "libicui18n.so.56", "libQt5Core.so.5", "libQt5Gui.so.5")
"""What envpool's Procgen links to, each after those that it needs itself; as the package PyQt5-Qt5 has them."""


class Eye(NamedTuple):
    """An expert.

    Args:
        act: an action from the frame that the agent sees.
        way: what it does.
        note: what is to be known of its scores.
        noise: of its demonstrations; where a thing met by mistake ends the level, they show how to get away from it.
    """

    act: ActionFunction
    way: str
    note: str = ""
    noise: float = 0.0


EYES = {
    "fruitbot": Eye(
        to_the_fruit,
        "the best way up the frame through gaps, fruit, other food and locks, told by their colours",
        "the expert has 15.8 points of 27.2, the upper constant of Cobbe et al. 2020, app. C",
        noise=0.1,
    ),
    "maze": Eye(to_the_cheese, "a shortest way over the cells that the frame shows"),
}
"""By game."""
UNSOLVED = "no training-free expert: demonstrations from public data (generalist import)"


def eye(name: str, env: gym.Env) -> ActionFunction:
    """The expert of a game in `EYES`: it needs nothing of the environment but its frames."""
    return EYES[name].act


def make(name: str, render_mode: str | None = None) -> gym.Env:
    """A game by its name in `PROCGEN_NAMES`; frames of `render` are 512x512, those of envpool scaled up from 64x64.

    Observations: uint8[64, 64, 3]. Actions: 15 (see `ACTIONS`). The engine begins the next level in the step that ends
    one, so the observation of a terminal step is the one before it.

    Raises:
        MissingExtra: neither procgen-gym nor envpool is installed, or envpool's engine finds no Qt 5.
    """
    return OneLevel(engine(name, render_mode), HORIZONS[name], render_mode)


def engine(name: str, render_mode: str | None) -> Callable[..., Any]:
    """What makes an engine of a game, given `rand_seed`."""
    mode = "easy" if name in EASY else "hard"
    if find_spec("procgen_gym") is not None:
        import procgen_gym  # pyright: ignore[reportMissingImports] (it has wheels for Python 3.13 only)

        return partial(procgen_gym.ProcgenEnv, env_name=name, distribution_mode=mode, render_mode=render_mode)
    package("procgen")
    load_qt()
    return partial(PoolEngine, f"{name.capitalize()}{mode.capitalize()}-v0", HORIZONS[name], render_mode)


@cache
def load_qt() -> None:
    """Let envpool's Procgen find Qt 5: the system's, or else that of the package PyQt5-Qt5. Other wheels than Linux's
    bring theirs.

    Raises:
        MissingExtra: there is neither.
    """
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL(QT[-1], mode=ctypes.RTLD_GLOBAL)
    except OSError as missing:
        found = find_spec("PyQt5")
        if found is None or not found.submodule_search_locations:
            cause = OSError(f"{missing}: Procgen draws with Qt 5 (PyQt5-Qt5 on PyPI, libqt5gui5 in Debian)")
            raise MissingExtra("procgen", cause) from missing
        folder = Path(next(iter(found.submodule_search_locations)), "Qt5", "lib")
        for library in QT:
            ctypes.CDLL(str(folder / library), mode=ctypes.RTLD_GLOBAL)
    games = importlib.import_module("envpool.procgen")
    if "ProcgenEnvSpec" not in vars(games):  # envpool imported it before, and kept the error for whoever asks
        importlib.reload(games)


class PoolEngine:
    """envpool's Procgen with the methods of procgen-gym's that `OneLevel` calls."""

    def __init__(self, id: str, horizon: int, render_mode: str | None, rand_seed: int):
        shown = {"render_mode": render_mode, "render_width": 512, "render_height": 512} if render_mode else {}
        options = {"channel_first": False, "max_episode_steps": horizon, **shown}
        self._pool = new_pool(id, rand_seed, "procgen", **options)

    def reset(self):
        observation, info = self._pool.reset()
        return only(observation), told(info)

    def step(self, action: int):
        observation, reward, terminated, truncated, info = self._pool.step(np.array([action], np.int32))
        return only(observation), only(reward), bool(terminated[0] | truncated[0]), False, told(info)

    def render(self) -> np.ndarray:
        return only(self._pool.render())

    def close(self) -> None:
        self._pool.close()


class OneLevel(gym.Env):
    """One level an episode, by a new engine for each: the engine itself takes its seed only when it is made."""

    def __init__(self, engine: Any, horizon: int, render_mode: str | None = None):
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 15}
        self.observation_space = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(ACTIONS)
        self.render_mode = render_mode
        self._new_engine, self._horizon = engine, horizon
        self._engine: Any = None
        self._observation, self._steps = np.zeros((64, 64, 3), np.uint8), 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.close()
        self._engine, self._steps = self._new_engine(rand_seed=int(self.np_random.integers(2**31 - 1))), 0
        self._observation, info = self._engine.reset()
        return self._observation.copy(), info

    def step(self, action: Any):
        observation, reward, over, _, info = self._engine.step(int(action))
        self._steps += 1
        late = self._steps >= self._horizon
        if not over:
            self._observation = observation
        return self._observation.copy(), float(reward), bool(over) and not late, late, info

    def render(self):
        return None if self._engine is None else self._engine.render()

    def close(self):
        if self._engine is not None:
            self._engine.close()
            self._engine = None


def _task(name: str) -> Task:
    return Task(
        id=f"procgen/{name}",
        family="procgen",
        make=partial(make, name),
        expert=partial(eye, name) if name in EYES else None,
        noise=EYES[name].noise if name in EYES else 0.0,
        horizon=HORIZONS[name],
        score="return",
        has_success=False,
        note=EYES[name].note if name in EYES else UNSOLVED,
        extra="procgen",
        provenance="the engine of Cobbe et al. 2020, by procgen-gym or envpool; all levels, "
        + ("easy" if name in EASY else "hard")
        + " as in Gato"
        + (f"; expert: {EYES[name].way}" if name in EYES else ""),
    )


TASKS: tuple[Task, ...] = tuple(map(_task, PROCGEN_NAMES))
