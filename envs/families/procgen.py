"""Procgen (Cobbe et al. 2020): 16 games whose levels are generated, by procgen-gym's build of the original engine.

Levels are of the hard distribution, in maze and heist of the easy one, as in Gato (Reed et al. 2022, app. F), and of
the whole distribution: nothing is held out, a seed is a level. There are no experts. PyPI has wheels for Python 3.13
(procgen-gym, Linux and Windows on x86-64); those for 3.11 and 3.12 (procgen-mirror) need NumPy 1 and gym, which do not
go with this project. Elsewhere the rows of the table are there and `make` says what to do.
"""

import sys
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.task import MissingExtra, Task

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


class NoProcgen(MissingExtra):
    """The engine is not installed; the message says whether it can be."""

    def __init__(self, cause: Exception):
        ImportError.__init__(self, f"{cause}. {message()}")
        self.extra = "procgen"


def message(version: tuple[int, int] = sys.version_info[:2]) -> str:
    """How to get Procgen on that version of Python."""
    if version >= (3, 13):
        return "Install it with: pip install 'generalist[procgen]'"
    here = ".".join(map(str, version))
    return (
        f"Procgen has no wheel for Python {here} that goes with this project: procgen-gym needs Python 3.13, and"
        " procgen-mirror needs NumPy 1. Use Python 3.13, and there: pip install 'generalist[procgen]'"
    )


def make(name: str, render_mode: str | None = None) -> gym.Env:
    """A game by its name in `PROCGEN_NAMES`; frames of `render` are 512x512.

    Observations: uint8[64, 64, 3]. Actions: 15 (see `ACTIONS`). The engine begins the next level in the step that ends
    one, so the observation of a terminal step is the one before it.

    Raises:
        NoProcgen: procgen-gym is not installed, or has no wheel for this Python.
    """
    try:
        import procgen_gym  # pyright: ignore[reportMissingImports] (an extra with a wheel for Python 3.13 only)
    except ModuleNotFoundError as cause:
        raise NoProcgen(cause) from cause
    options = {"env_name": name, "distribution_mode": "easy" if name in EASY else "hard", "render_mode": render_mode}
    return OneLevel(partial(procgen_gym.ProcgenEnv, **options), HORIZONS[name], render_mode)


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
        expert=None,
        horizon=HORIZONS[name],
        score="return",
        has_success=False,
        note="no training-free expert: demonstrations from public data (generalist import); needs Python 3.13",
        extra="procgen",
        provenance="procgen-gym, the engine of Cobbe et al. 2020; all levels, "
        + ("easy" if name in EASY else "hard")
        + " as in Gato",
    )


TASKS: tuple[Task, ...] = tuple(map(_task, PROCGEN_NAMES))
