"""Actions as two tables of columns, numbers and classes, and back; for the plain baselines and any space of Gymnasium.

A `Box` gives one number per value. `Discrete`, `MultiDiscrete` and `MultiBinary` give one class per component, counted
from 0, and a `Text` one class: which of the demonstrated texts it is. Nested spaces are flattened depth first, keys of
`Dict` in lexicographic order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.envs.spaces import Path, is_text, value_at
from generalist.eval.baselines.features import leaves


@dataclass(frozen=True)
class Columns:
    """N actions: `numbers` [N, C] float64 and `classes` [N, K] int64."""

    numbers: np.ndarray
    classes: np.ndarray

    def __getitem__(self, rows: Any) -> "Columns":
        return Columns(self.numbers[rows], self.classes[rows])


@dataclass(frozen=True)
class ActionColumns:
    """The flattening of one action space; made by `action_columns`.

    low, high: bounds of the numbers [C], infinite where the space is unbounded. sizes: classes per column [K]. texts:
    what the classes of a column say, none where they are numbers [K].
    """

    space: gym.Space
    low: np.ndarray
    high: np.ndarray
    sizes: tuple[int, ...]
    texts: tuple[tuple[str, ...], ...]

    def encode(self, actions: Any) -> Columns:
        """A tree of arrays with a leading axis N -> columns. Raises KeyError for a text that was not demonstrated."""
        numbers, classes = [], []
        for path, leaf in leaves(self.space):
            values = np.asarray(value_at(actions, path))
            flat = values.reshape(len(values), -1)
            if isinstance(leaf, spaces.Box):
                numbers.append(flat.astype(np.float64))
            elif is_text(leaf):
                places = {text: index for index, text in enumerate(self.texts[sum(each.shape[1] for each in classes)])}
                classes.append(np.array([[places[text]] for (text,) in flat.tolist()], np.int64))
            else:
                classes.append((flat - _start(leaf)).astype(np.int64))
        rows = len((numbers or classes)[0])
        return Columns(
            np.concatenate(numbers, axis=1) if numbers else np.zeros((rows, 0)),
            np.concatenate(classes, axis=1) if classes else np.zeros((rows, 0), np.int64),
        )

    def decode(self, columns: Columns) -> list[Any]:
        """Columns of N rows -> N actions inside the space: numbers are clipped, and rounded for integers."""
        numbers = np.clip(columns.numbers, self.low, self.high)
        return [self._one(*row) for row in zip(numbers, columns.classes, strict=True)]

    def _one(self, numbers: np.ndarray, classes: np.ndarray) -> Any:
        used = [0, 0]

        def take(values: np.ndarray, which: int, leaf: gym.Space) -> np.ndarray:
            count = int(np.prod(leaf.shape or ()))
            used[which] += count
            return values[used[which] - count : used[which]]

        def build(space: gym.Space) -> Any:
            if isinstance(space, spaces.Dict):
                inside = {key: build(space[key]) for key in sorted(space.spaces)}
                return {key: inside[key] for key in space.spaces}
            if isinstance(space, spaces.Tuple):
                return tuple(build(inner) for inner in space.spaces)
            if isinstance(space, spaces.Box):
                return _as_box(take(numbers, 0, space).reshape(space.shape), space)
            if is_text(space):
                return self.texts[used[1]][int(take(classes, 1, space)[0])]
            return (take(classes, 1, space) + _start(space)).reshape(space.shape or ()).astype(space.dtype)[()]

        return build(self.space)


def _as_box(numbers: np.ndarray, space: spaces.Box) -> np.ndarray:
    if not np.issubdtype(space.dtype, np.integer):
        return numbers.astype(space.dtype)
    # The largest 64-bit integers are no floats: what reaches a bound becomes the bound itself, not its float.
    rounded = np.rint(numbers)
    low, high = rounded <= space.low.astype(np.float64), rounded >= space.high.astype(np.float64)
    whole = np.where(low | high, 0, rounded).astype(space.dtype)
    return np.where(low, space.low, np.where(high, space.high, whole))


def _start(leaf: gym.Space) -> Any:
    start = getattr(leaf, "start", 0)
    return np.asarray(start).reshape(-1) if isinstance(leaf, spaces.MultiDiscrete) else start


def action_columns(space: gym.Space, actions: Any = None) -> ActionColumns:
    """The flattening of `space`.

    Args:
        actions: of demonstrations, a tree of arrays with a leading axis N, whose texts are the classes of a `Text`.

    Raises:
        ValueError: a part of the space is neither numbers nor classes (for example `Text` without `actions`), named by
            its path.
    """
    low: list[np.ndarray] = [np.zeros(0)]
    high: list[np.ndarray] = [np.zeros(0)]
    sizes: list[int] = []
    texts: list[tuple[str, ...]] = []
    for path, leaf in leaves(space):
        if isinstance(leaf, spaces.Box):
            low.append(leaf.low.reshape(-1).astype(np.float64))
            high.append(leaf.high.reshape(-1).astype(np.float64))
        elif is_text(leaf) and actions is not None:
            texts.append(tuple(sorted(set(np.asarray(value_at(actions, path)).tolist()))))
            sizes.append(len(texts[-1]))
        else:
            sizes += _sizes(path, leaf)
            texts += [()] * (len(sizes) - len(texts))
    return ActionColumns(space, np.concatenate(low), np.concatenate(high), tuple(sizes), tuple(texts))


def _sizes(path: Path, leaf: gym.Space) -> Sequence[int]:
    if isinstance(leaf, spaces.Discrete):
        return [int(leaf.n)]
    if isinstance(leaf, spaces.MultiDiscrete):
        return [int(size) for size in leaf.nvec.reshape(-1)]
    if isinstance(leaf, spaces.MultiBinary):
        return [2] * int(np.prod(leaf.shape))
    where = "/".join(str(key) for key in path) or "the action space itself"
    raise ValueError(
        f"the plain baselines take actions of Box, Discrete, MultiDiscrete and MultiBinary, got {leaf} at {where}; "
        "evaluate this task without them"
    )
