"""Environments of envpool (Weng et al. 2022) one at a time, as Gymnasium has them.

envpool steps batches of environments in C++. It takes seeds when a batch is made, not at `reset`, and begins the next
episode by itself, in the step after the last one, whose action it ignores. Here a batch holds one environment, each
`reset` makes a new one with a seed of its own, and a step after the last is refused.
"""

import ctypes
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.task import needs_extra

SEEDS = 2**31 - 1
"""envpool keeps seeds in 32 bits with a sign."""
SIDE = 240
"""Pixels of a rendered frame's side."""


def package(extra: str = "envpool") -> Any:
    """envpool itself. Raises MissingExtra where it is not installed."""
    with needs_extra(extra):
        import envpool  # pyright: ignore[reportMissingImports]
    return envpool


def new_pool(id: str, seed: int, extra: str = "envpool", **options: Any) -> Any:
    """A batch of one environment, stepped in a thread of its own."""
    with _bounds_as_they_are():
        pool = package(extra).make_gymnasium(id, num_envs=1, num_threads=1, seed=seed, **options)
        _ = pool.observation_space  # made when it is first asked for, and kept
    return pool


def only(tree: Any) -> Any:
    """What a batch of one holds, in nested dicts. Arrays are copies, because envpool writes over its own."""
    if isinstance(tree, Mapping):
        return {key: only(value) for key, value in tree.items()}
    first = np.asarray(tree)[0]
    return first.copy() if isinstance(first, np.ndarray) else first.item()


class PoolEnv(gym.Env):
    """An environment of envpool by its id, with envpool's own spaces and rewards.

    An episode is truncated after `horizon` steps and terminated where envpool ends it before. `options` are settings
    of envpool.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 (as Gymnasium has it)

    def __init__(self, id: str, horizon: int, options: Mapping[str, Any] | None = None, render_mode: str | None = None):
        self._id, self._horizon = id, horizon
        self._options = {"max_episode_steps": horizon, **(options or {})}
        self.observation_space, self.action_space = _spaces(id, self._options)
        self.render_mode = render_mode
        if render_mode is not None:
            _load_opengl()
            self._options |= {"render_mode": render_mode, "render_width": SIDE, "render_height": SIDE}
        self._pool: Any = None
        self._steps: int | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.close()
        self._pool = new_pool(self._id, int(self.np_random.integers(SEEDS)), **self._options)
        self._steps = 0
        observation, info = self._pool.reset()
        return only(observation), told(info)

    def step(self, action: Any):
        if self._steps is None:
            raise gym.error.ResetNeeded("the episode is over or was never begun: call reset")
        given = np.asarray(action, self.action_space.dtype)[None]
        observation, reward, ended, cut, info = self._pool.step(given)
        self._steps += 1
        terminated = bool(ended[0])
        truncated = not terminated and (bool(cut[0]) or self._steps >= self._horizon)
        if terminated or truncated:
            self._steps = None
        return only(observation), float(reward[0]), terminated, truncated, told(info)

    def render(self) -> Any:
        """A frame uint8[240, 240, 3]."""
        return only(self._pool.render()) if self.render_mode == "rgb_array" and self._pool is not None else None

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool, self._steps = None, None


@cache
def _load_opengl() -> None:
    """Show MuJoCo's drawing the OpenGL that Linux's wheel brings: where it sees none, it ends the process."""
    folder = Path(package().__file__).parent.with_suffix(".libs")
    for library in folder.glob("libEGL-*"):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def _spaces(id: str, options: Mapping[str, Any]) -> tuple[gym.Space, gym.Space]:
    with _bounds_as_they_are():
        about = package().make_spec(id, **options)
        return about.gymnasium_observation_space, about.gymnasium_action_space


@contextmanager
def _bounds_as_they_are() -> Iterator[None]:
    """Without Gymnasium's warning that envpool gives bounds in float64 for values in float32."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*precision lowered by casting", UserWarning)
        yield


def told(info: Mapping[str, Any]) -> dict[str, Any]:
    """What envpool says about the environment, not about its batch."""
    return only({key: value for key, value in info.items() if key not in ("env_id", "players", "elapsed_step")})
