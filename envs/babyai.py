"""BabyAI from pixels: the agent's 7x7 view rendered at 8 pixels a tile, and the mission as text.

The observation has no compass: what the agent sees is always drawn with itself at the bottom, looking up.
"""

import contextlib
import io
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Text

from generalist.envs.success import SuccessInfo, positive_reward
from generalist.envs.task import ActionFunction, needs_extra
from generalist.envs.tiles import TileTable

TILE = 8
"""Pixels a tile."""

_TILES = TileTable(TILE)

MISSION = Text(max_length=128, charset=frozenset("abcdefghijklmnopqrstuvwxyz ,"))


def make(level: str, render_mode: str | None = None) -> gym.Env:
    """A BabyAI level by its name, for example "GoToObj"; frames of `render` show the whole grid.

    Observations: {"image": uint8[56, 56, 3], "mission": text}. Actions: 7 (left, right, forward, pick up, drop,
    toggle, done). The reward is 1 - 0.9 * steps / horizon on success and 0 otherwise.
    """
    with needs_extra("babyai"):
        import minigrid  # noqa: F401 (registers the levels)
    env = gym.make(f"BabyAI-{level}-v0", render_mode=render_mode, disable_env_checker=True)
    return SuccessInfo(PixelsAndMission(env), positive_reward)


class PixelsAndMission(gym.Wrapper):
    """Replaces the symbolic view by its picture, and remembers the last action for the expert.

    MiniGrid computes the agent's view anew for every reader of it, most of the time of a step; here it is kept until
    the next step.
    """

    def __init__(self, env: gym.Env):
        super().__init__(env)
        base: Any = env.unwrapped
        side = TILE * base.agent_view_size
        self.observation_space = Dict({"image": Box(0, 255, (side, side, 3), np.uint8), "mission": MISSION})
        self.last_action: int | None = None
        self._view: tuple | None = None
        self._compute_view = base.gen_obs_grid
        base.gen_obs_grid = self._current_view

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        self.last_action = self._view = None
        # The generator of missions prints every draft it rejects.
        with contextlib.redirect_stdout(io.StringIO()):
            observation, info = self.env.reset(seed=seed, options=options)
        return self._picture(observation), info

    def step(self, action: Any):
        self.last_action, self._view = int(action), None
        observation, reward, terminated, truncated, info = self.env.step(self.last_action)
        return self._picture(observation), float(reward), terminated, truncated, info

    def _picture(self, observation: dict[str, Any]) -> dict[str, Any]:
        return {"image": _TILES.picture(observation["image"]), "mission": observation["mission"]}

    def _current_view(self, agent_view_size: int | None = None) -> tuple:
        if agent_view_size is not None:
            return self._compute_view(agent_view_size)
        view = self._view = self._view or self._compute_view()
        return view


def bot_expert(env: gym.Env) -> ActionFunction:
    """MiniGrid's BabyAIBot. It plans on the grid, but only with what it has seen, and remembers it.

    It looks at the environment, not at the observation; actions other than its own (noise) are taken into account.
    """
    from minigrid.utils.baby_ai_bot import BabyAIBot

    bot: Any = BabyAIBot(env)
    seen = _wrapper(env, PixelsAndMission)
    return lambda observation: int(bot.replan(seen.last_action))


def _wrapper(env: gym.Env, kind: type[gym.Wrapper]) -> Any:
    while not isinstance(env, kind):
        if not isinstance(env, gym.Wrapper):
            raise ValueError(f"the BabyAI expert needs an environment made by envs.babyai.make, got {env}")
        env = env.env
    return env
