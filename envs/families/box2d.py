"""Box2D: Gymnasium's lander, walkers and racing car.

Gymnasium's own heuristic is the landers' expert, a learned actor that of the walker on even ground. The others have
none: Gymnasium's walking heuristic falls in many episodes.
"""

import warnings
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box

from generalist.envs.experts.learned import shipped_expert, shipped_method
from generalist.envs.headless import prepare_pygame
from generalist.envs.task import ActionFunction, Task, needs_extra


def make(id: str, render_mode: str | None = None) -> gym.Env:
    """The environment of a Gymnasium id, truncated at its registered limit.

    Observations are float32[8] (landers), float32[24] (walkers) or uint8[96, 96, 3] (car).
    """
    if render_mode is not None or id.startswith("CarRacing"):  # whose observation is drawn by pygame
        prepare_pygame()
    with needs_extra("box2d"), warnings.catch_warnings():
        # Box2D's compiled part warns while it is loaded; where warnings are errors, that is a crash of the interpreter.
        warnings.simplefilter("ignore")
        import Box2D  # noqa: F401
    return FreshWorld(gym.make(id, render_mode=render_mode, disable_env_checker=True))


class FreshWorld(gym.Wrapper):
    """Every reset builds a new Box2D world; and float observations are clipped to their space.

    The walkers and the car otherwise keep one world, whose solver remembers the episodes before: the same seed then
    gives another episode. A lander that climbs leaves the declared range of positions, a falling walker that of
    velocities.
    """

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        from Box2D import b2World

        base: Any = self.env.unwrapped
        base._destroy()
        base.world = b2World(gravity=base.world.gravity)
        observation, info = self.env.reset(seed=seed, options=options)
        return self._clipped(observation), info

    def step(self, action: Any):
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._clipped(observation), float(reward), bool(terminated), truncated, info

    def _clipped(self, observation: np.ndarray) -> np.ndarray:
        space = self.observation_space
        if isinstance(space, Box) and space.dtype == np.float32:
            return np.clip(observation, space.low, space.high)
        return observation


def lander_expert(env: gym.Env) -> ActionFunction:
    """Gymnasium's heuristic: a linear law on position, velocity and tilt, a function of the observation alone."""
    from gymnasium.envs.box2d.lunar_lander import heuristic

    def act(observation: np.ndarray) -> Any:
        action = heuristic(env, observation)
        return action if isinstance(action, int) else action.astype(np.float32)

    return act


_ROW: dict[str, Any] = {"family": "box2d", "score": "return", "has_success": False, "extra": "box2d"}
_LANDER = "Gymnasium Box2D; its heuristic"

TASKS: tuple[Task, ...] = (
    Task(
        id="LunarLander-v3",
        make=partial(make, "LunarLander-v3"),
        expert=lander_expert,
        horizon=1000,
        provenance=_LANDER,
        **_ROW,
    ),
    Task(
        id="LunarLanderContinuous-v3",
        make=partial(make, "LunarLanderContinuous-v3"),
        expert=lander_expert,
        horizon=1000,
        provenance=_LANDER,
        **_ROW,
    ),
    Task(
        id="BipedalWalker-v3",
        make=partial(make, "BipedalWalker-v3"),
        expert=partial(shipped_expert, "BipedalWalker-v3"),
        horizon=1600,
        provenance=f"Gymnasium Box2D; {shipped_method(371_776)}",
        **_ROW,
    ),
    Task(
        id="BipedalWalkerHardcore-v3",
        make=partial(make, "BipedalWalkerHardcore-v3"),
        expert=None,
        horizon=2000,
        note="no expert: Gymnasium's walking heuristic scores about 100 of 300 with a spread of 140 on even ground",
        provenance="Gymnasium Box2D",
        **_ROW,
    ),
    Task(
        id="CarRacing-v3",
        make=partial(make, "CarRacing-v3"),
        expert=None,
        horizon=1000,
        note="no expert: none that drives from the picture is known without training",
        provenance="Gymnasium Box2D",
        **_ROW,
    ),
)
