"""Values that no model can learn from: NaN, infinities where there can be none, whole numbers outside their space.

A finite number beyond the bounds of a float Box is not among them: simulators pass their own bounds by rounding and by
more, and nothing is lost by it. Nor is an infinite observation where the space has no bound: a ray that meets nothing.
Nor is a text whose characters its space does not list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.demonstrations.episode import Episode
from generalist.envs.spaces import is_text, path_name, space_leaves, value_at
from generalist.tokenizers.discrete import bounds


@dataclass(frozen=True)
class Fault:
    """A value that is wrong: its row among those that were looked at, and what is wrong with it, named by its key."""

    row: int
    what: str


def check_episode(episode: Episode, observation_space: gym.Space, action_space: gym.Space) -> None:
    """Raises ValueError for a wrong value, with its key and step (from 0 on; N is the observation after the last)."""
    parts = (("observation", observation_space, episode.observations), ("action", action_space, episode.actions))
    for part, space, values in parts:
        if (fault := first_fault(part, space, values)) is not None:
            raise ValueError(f"{fault.what} at step {fault.row}")


def first_fault(part: str, space: gym.Space, values: Any) -> Fault | None:
    """The first wrong value of stacked values: of the first leaf that has one. `part`: "observation" or "action"."""
    for path, leaf in space_leaves(space):
        if is_text(leaf):
            continue
        rows = np.asarray(value_at(values, path))
        wrong = _wrong(leaf, rows, action=part == "action")
        if wrong.any():
            row, *where = (int(i) for i in np.argwhere(wrong)[0])
            value = rows[(row, *where)]
            name = f"{part}{path_name(path)}{where or ''}"
            return Fault(row, f"{name}: {_words(value)}" + ("" if rows.dtype.kind == "f" else f" is not in {leaf}"))
    return None


def _words(value: Any) -> str:
    return "NaN" if value != value else f"{value}"


def _wrong(space: gym.Space, rows: np.ndarray, *, action: bool) -> np.ndarray:
    """bool of the shape of `rows`."""
    if rows.dtype.kind == "f":
        if np.isfinite(rows).all():
            return np.zeros(1, np.bool_)
        if action or not isinstance(space, spaces.Box):
            return ~np.isfinite(rows)
        over = (rows == np.inf) & np.isfinite(space.high) | (rows == -np.inf) & np.isfinite(space.low)
        return np.isnan(rows) | over
    if rows.dtype.kind not in "iu" or (isinstance(space, spaces.Box) and _is_full(space)):
        return np.zeros(1, np.bool_)
    low, high = (bound.reshape(rows.shape[1:]) for bound in bounds(space))
    return (rows < low) | (rows > high)


def _is_full(space: spaces.Box) -> bool:
    """Whether every number of the dtype is inside, as for pixels."""
    limits = np.iinfo(str(space.dtype))
    return bool((space.low == limits.min).all() and (space.high == limits.max).all())
