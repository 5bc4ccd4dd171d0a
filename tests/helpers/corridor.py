"""A small environment to play, as fixtures."""

import functools

import gymnasium as gym
import numpy as np
import pytest

from generalist.envs.task import Task


class Corridor(gym.Env):
    """Walk right from a random place to the end, on slippery ground. Observation: place and its distance to the end."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space = gym.spaces.Box(-1, 20, (2,), np.float64)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None, broken: bool = False):
        self.render_mode, self.broken = render_mode, broken
        self.closed = False

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self.place, self.steps = int(self.np_random.integers(0, 6)), 0
        return self._seen(), {}

    def step(self, action: int):
        slip = self.np_random.random() < 0.2
        self.place = max(0, self.place + (0 if slip else 1 if action == 1 else -1))
        self.steps += 1
        there = self.place >= 10
        return self._seen(), 1.0 if there else -0.1, there, self.steps >= 30 and not there, {"success": there}

    def _seen(self) -> np.ndarray:
        return np.array([self.place, 10 - self.place], np.float64)

    def render(self) -> np.ndarray:
        if self.broken:
            raise RuntimeError("no OpenGL here")
        picture = np.zeros((40, 80, 3), np.uint8)
        picture[:, 7 * self.place : 7 * self.place + 8] = 255
        return picture

    def close(self) -> None:
        self.closed = True


def _walk_right(env: gym.Env):
    return lambda observation: 1


@pytest.fixture
def corridor() -> Task:
    return Task(
        id="test/Corridor",
        family="test",
        make=Corridor,
        expert=_walk_right,
        horizon=30,
        score="success",
        has_success=True,
    )


@pytest.fixture
def broken_corridor(corridor) -> Task:
    return Task(**{**vars(corridor), "make": functools.partial(Corridor, broken=True)})
