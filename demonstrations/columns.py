"""The steps of a data set as columns: any steps by random access, from a file that is mapped, not loaded.

A number's column holds its rows as they are. A picture's holds each row compressed by itself (zstd, lossless) where
that halves it, and raw where not: drawn pictures shrink forty times and are read nearly as fast, photographs do
neither. A text's holds where its bytes lie; equal texts lie there once. Beside them, of every float array, each
episode's count, mean and spread, from which the statistics of any selection of episodes follow without reading a step.

How the file comes to be, and where it lies, is `generalist.demonstrations.make_columns`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import zstandard

from generalist.demonstrations.column_file import ArraySpec, ColumnFile, Identity
from generalist.envs.spaces import build_value, space_from_json, space_leaves
from generalist.tokenizers.continuous import LARGEST, is_float_box
from generalist.tokenizers.space import leaves

PARTS = ("observation", "action")
LENGTHS, REWARDS = "lengths", "reward"
"""int64[episodes] and float32[steps]."""
MOMENTS = ("count", "mean", "squares")
"""Per episode and value: finite values, their mean, and the sum of their squared distances from it."""
TEXTS = 4096
"""Texts that are kept decoded."""


@dataclass(frozen=True)
class Column:
    """Where one leaf of the spaces is in the file.

    Args:
        part: "observation" or "action"; index: of the leaf, in the order of `space_leaves`.
        form: "raw", "zstd" (pictures) or "text".
    """

    part: str
    index: int
    space: gym.Space
    form: str

    @property
    def name(self) -> str:
        return f"{self.part}/{self.index}"

    @property
    def row(self) -> ArraySpec:
        """One row of it."""
        return ArraySpec(tuple(self.space.shape or ()), np.dtype(self.space.dtype))

    def arrays(self, steps: int) -> dict[str, ArraySpec]:
        """What the file holds of it, besides the heap."""
        if self.form == "raw":
            return {self.name: ArraySpec((steps, *self.row.shape), self.row.dtype)}
        return {
            f"{self.name}/start": ArraySpec((steps,), np.dtype(np.int64)),
            f"{self.name}/length": ArraySpec((steps,), np.dtype(np.int32)),
        }


def moments_name(column: Column) -> str:
    """The array of a float column's moments, float64[episodes, MOMENTS, values]."""
    return f"{column.name}/moments"


class Columns:
    """The steps of the episodes of one data set. Pickled, it is opened again where it arrives.

    Args:
        path: of the file, see `generalist.demonstrations.make_columns`.
        identity: of the file that is expected there; None for any.

    Raises:
        FileNotFoundError: there is no file. ValueError: it is damaged or not the expected one, with its name.
    """

    def __init__(self, path: Path, identity: Identity | None = None):
        self.file = ColumnFile(path, identity)
        note = self.file.note
        self.observation_space = space_from_json(note["observation_space"])
        self.action_space = space_from_json(note["action_space"])
        self.lengths = self._whole(LENGTHS)
        self.starts = np.cumsum(np.concatenate([[0], self.lengths]))
        spaces = {"observation": self.observation_space, "action": self.action_space}
        forms = iter(note["forms"])
        self._columns = {
            part: [Column(part, at, leaf, next(forms)) for at, (_, leaf) in enumerate(space_leaves(spaces[part]))]
            for part in PARTS
        }
        self._readers: dict[str, _Reader] = {}

    def __reduce__(self):
        return Columns, (self.file.path, self.file.identity)

    def _whole(self, name: str) -> np.ndarray:
        """A copy of a small array."""
        array = self.file.array(name)
        self.file.check_rows(name, np.arange(len(array)))
        return array.copy()

    @property
    def made_from(self) -> str:
        """What `generalist.demonstrations.make_columns` compares to know whether it is of the data that is there."""
        return self.file.note["made_from"]

    def form(self, part: str, index: int) -> str:
        """How a leaf is kept: "raw", "zstd" or "text"."""
        return self._columns[part][index].form

    def __len__(self) -> int:
        """Number of steps."""
        return int(self.starts[-1])

    def take(self, steps: np.ndarray) -> tuple[Any, Any]:
        """Observations and actions of steps int[n], nested as in the spaces, every leaf with a leading axis n.

        Raises:
            ValueError: the file is damaged or was changed since it was opened, with its name.
            IndexError: there are no such steps.
        """
        return self.observations(steps), self.actions(steps)

    def observations(self, steps: np.ndarray, *, instead: dict[int, Any] | None = None) -> Any:
        """Observations of steps int[n]; of the leaves whose index is a key of `instead`, what is given there."""
        return self._take("observation", steps, instead or {})

    def actions(self, steps: np.ndarray) -> Any:
        """Actions of steps int[n]. Raises as `take`."""
        return self._take("action", steps, {})

    def rewards(self, steps: np.ndarray) -> np.ndarray:
        """Of steps int[n], float32[n]. Raises as `take`."""
        steps = self._checked(steps)
        self.file.check_rows(REWARDS, steps)
        return self.file.array(REWARDS)[steps]

    def _take(self, part: str, steps: np.ndarray, instead: dict[int, Any]) -> Any:
        steps = self._checked(steps)
        space = self.observation_space if part == "observation" else self.action_space
        values = (
            instead[column.index] if column.index in instead else self._reader(column).take(steps)
            for column in self._columns[part]
        )
        return build_value(space, values)

    def rows(self, part: str, index: int, steps: np.ndarray) -> np.ndarray:
        """Rows of one leaf, [n, *shape]. Raises as `take`."""
        return self._reader(self._columns[part][index]).take(self._checked(steps))

    def text_places(self, index: int, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the texts of an observation's leaf begin, int64[n], and their bytes; one place holds one text."""
        reader = self._reader(self._columns["observation"][index])
        assert isinstance(reader, _Texts)
        return reader.places(self._checked(steps))

    def place(self, step: int) -> str:
        """Where a step lies, for messages: its episode and its number in it, from 0 on, and the data set."""
        episode = int(np.searchsorted(self.starts, step, side="right")) - 1
        return f"episode {episode}, step {step - int(self.starts[episode])} of {self.file.path.parent}"

    def _checked(self, steps: np.ndarray) -> np.ndarray:
        self.file.check_unchanged()
        if len(steps) and (steps.min() < 0 or steps.max() >= len(self)):
            raise IndexError(f"{self.file.path} has the steps [0, {len(self)}), not [{steps.min()}, {steps.max()}]")
        return steps

    def _reader(self, column: Column) -> _Reader:
        if column.name not in self._readers:
            self._readers[column.name] = _READERS[column.form](self.file, column)
        return self._readers[column.name]

    def statistics(self, episodes: Sequence[int] | np.ndarray) -> dict[str, tuple[list[float], list[float]]]:
        """Mean and population standard deviation of every value of every float array of the observations, by path.

        Infinities are left out (mean 0, std 1 where nothing is left), and values beyond the tokenizers' largest count
        as that. The paths are those of `generalist.tokenizers.space.leaves`.

        Raises:
            ValueError: NaN, with the path, the episode and the step; a damaged file, with its name.
        """
        self.file.check_unchanged()
        chosen = np.asarray(episodes, np.int64)
        return {
            self._path(column): self._moments(column, chosen)
            for column in self._columns["observation"]
            if is_float_box(column.space)
        }

    def infinities(self, episodes: Sequence[int] | np.ndarray) -> list[str]:
        """A line for each float array of the observations that holds infinite values: how many, and the first."""
        chosen, found = np.asarray(episodes, np.int64), []
        for column in (each for each in self._columns["observation"] if is_float_box(each.space)):
            counts = self.file.array(moments_name(column))[:, 0]
            self.file.check_rows(moments_name(column), chosen)
            size = int(np.prod(column.row.shape, dtype=np.int64))
            missing = np.array([self.lengths[each] * size - counts[each].sum() for each in chosen.tolist()])
            if (missing > 0).any():
                first = self._first(column, int(chosen[int((missing > 0).argmax())]), np.isinf, "an infinite value")
                found.append(f"{first}, {int(missing.sum()):,} in all; they are shown as the outermost value")
        return found

    def _first(self, column: Column, episode: int, wrong: Callable[[np.ndarray], np.ndarray], what: str) -> str:
        """Where in an episode the first such value is."""
        start = int(self.starts[episode])
        for begin in range(start, int(self.starts[episode + 1]), 1024):
            steps = np.arange(begin, min(begin + 1024, int(self.starts[episode + 1])))
            found = np.argwhere(wrong(self._reader(column).take(steps)))
            if len(found):
                step, *where = (int(i) for i in found[0])
                return f"{self._path(column)}{where or ''}: {what} in {self.place(begin + step)}"
        return f"{self._path(column)}: {what} in episode {episode} of {self.file.path.parent}"

    def _path(self, column: Column) -> str:
        keys = space_leaves(self.observation_space)[column.index][0]
        return next(leaf.path for leaf in leaves(self.observation_space, "observation") if leaf.keys == keys)

    def _moments(self, column: Column, episodes: np.ndarray) -> tuple[list[float], list[float]]:
        name = moments_name(column)
        self.file.check_rows(name, episodes)
        moments = self.file.array(name)
        total = Moments.zeros(moments.shape[2])
        for start in range(0, len(episodes), 1024):  # of very many episodes, not all at once
            some = moments[episodes[start : start + 1024]]
            if np.isnan(some).any():
                broken = episodes[start + int(np.isnan(some).any(axis=(1, 2)).argmax())]
                raise ValueError(self._first(column, int(broken), np.isnan, "NaN"))
            total = total.joined(Moments.of_groups(some))
        return total.mean.tolist(), total.std.tolist()


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared distances from it, float64[V] each."""

    count: np.ndarray
    mean: np.ndarray
    squares: np.ndarray

    @classmethod
    def zeros(cls, values: int) -> Moments:
        return cls(*np.zeros((3, values)))

    @classmethod
    def of(cls, rows: np.ndarray) -> Moments:
        """Of rows [n, V]; NaN where there is NaN, infinities left out."""
        x = rows.astype(np.float64).reshape(len(rows), int(np.prod(rows.shape[1:], dtype=np.int64)))
        finite = ~np.isinf(x)
        x = np.where(finite, np.clip(x, -LARGEST, LARGEST), 0.0)
        count = finite.sum(0).astype(np.float64)
        mean = x.sum(0) / np.maximum(count, 1)
        return cls(count, mean, (np.where(finite, x - mean, 0.0) ** 2).sum(0))

    @classmethod
    def of_groups(cls, moments: np.ndarray) -> Moments:
        """Of all that went into `moments` [groups, MOMENTS, V] (Chan et al. 1983)."""
        count, mean, squares = moments.swapaxes(0, 1)
        number = count.sum(0)
        middle = (count * mean).sum(0) / np.maximum(number, 1)
        return cls(number, middle, (squares + count * (mean - middle) ** 2).sum(0))

    def joined(self, other: Moments) -> Moments:
        return Moments.of_groups(np.stack([self.stacked(), other.stacked()]))

    def stacked(self) -> np.ndarray:
        """float64[MOMENTS, V]."""
        return np.stack([self.count, self.mean, self.squares])

    @property
    def std(self) -> np.ndarray:
        return np.where(self.count > 0, np.sqrt(self.squares / np.maximum(self.count, 1)), 1.0)


class _Raw:
    def __init__(self, file: ColumnFile, column: Column):
        self._file, self._name, self._array = file, column.name, file.array(column.name)

    def take(self, steps: np.ndarray) -> np.ndarray:
        self._file.check_rows(self._name, steps)
        return self._array[steps]


@dataclass
class _Heaped:
    """Rows that lie in the heap."""

    file: ColumnFile
    column: Column
    _arrays: tuple[np.ndarray, np.ndarray] = field(init=False)

    def __post_init__(self):
        self._arrays = self.file.array(f"{self.column.name}/start"), self.file.array(f"{self.column.name}/length")

    def places(self, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.file.check_rows(f"{self.column.name}/start", steps)
        self.file.check_rows(f"{self.column.name}/length", steps)
        return self._arrays[0][steps], self._arrays[1][steps]


class _Pictures(_Heaped):
    @cached_property
    def _decompress(self) -> Any:
        return zstandard.ZstdDecompressor().decompress

    def take(self, steps: np.ndarray) -> np.ndarray:
        row = self.column.row
        size, decompress = row.nbytes, self._decompress
        rows = np.empty((len(steps), size), np.uint8)
        for at, data in enumerate(self.file.heap(*self.places(steps))):
            rows[at] = np.frombuffer(decompress(data, size), np.uint8)
        return rows.view(row.dtype).reshape(len(steps), *row.shape)


class _Texts(_Heaped):
    @cached_property
    def _known(self) -> dict[int, str]:
        return {}

    def take(self, steps: np.ndarray) -> np.ndarray:
        starts, lengths = self.places(steps)
        if missing := [at for at, start in enumerate(starts.tolist()) if start not in self._known]:
            if len(self._known) + len(missing) > TEXTS:
                self._known.clear()
                missing = list(range(len(starts)))
            for at, data in zip(missing, self.file.heap(starts[missing], lengths[missing]), strict=True):
                self._known[int(starts[at])] = data.decode()
        found = np.empty(len(steps), object)
        found[:] = [self._known[start] for start in starts.tolist()]
        return found


_Reader = _Raw | _Pictures | _Texts
_READERS: dict[str, Any] = {"raw": _Raw, "zstd": _Pictures, "text": _Texts}
