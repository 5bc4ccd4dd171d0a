"""Writing the steps of episodes into a file of columns, one piece of an episode in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import zstandard
from gymnasium import spaces

from generalist.demonstrations.column_file import ArraySpec, ColumnFileWriter
from generalist.demonstrations.columns import LENGTHS, MOMENTS, PARTS, REWARDS, Column, Columns, Moments, moments_name
from generalist.envs.spaces import is_text, space_leaves, space_to_json
from generalist.tokenizers.continuous import is_float_box

Piece = tuple[int, list[np.ndarray], np.ndarray]
"""Episode, rows of every leaf (those of the observation, then the action's), and rewards: some steps of one episode."""

SMALLEST_PICTURE = 1024
"""Bytes of a row from which compressing it is tried."""
WORTH = 0.5
"""A column is compressed if that leaves at most this part of it."""
TRIED_ROWS = 64
"""Of the first piece, by which that is decided."""
LEVEL = 3
"""Of zstd. Higher levels are slower to write, and as quick to read (benchmarks/pictures.py)."""
TEXTS = 1 << 16
"""Texts that are remembered, so that an equal one is written once."""


def write_columns(
    path: Path,
    observation_space: gym.Space,
    action_space: gym.Space,
    lengths: np.ndarray,
    pieces: Iterable[Piece],
    *,
    made_from: str,
) -> None:
    """Write the file at `path`, whole or not at all; nothing where another process has just done that.

    Args:
        lengths: int64[E], steps of every episode.
        pieces: of the episodes in their order.
        made_from: see `Columns.made_from`.

    Raises:
        OSError: it cannot be written (full disk, permissions), with its name. ValueError: pieces do not fit.
    """
    incoming = _fitting(pieces, lengths, path)
    first = next(incoming)
    columns = _columns(observation_space, action_space, first[1])
    steps, episodes = int(lengths.sum()), len(lengths)
    arrays = {name: spec for column in columns for name, spec in column.arrays(steps).items()}
    floats = [column for column in columns if is_float_box(column.space) and column.part == "observation"]
    for column in floats:
        size = int(np.prod(column.row.shape, dtype=np.int64))
        arrays[moments_name(column)] = ArraySpec((episodes, len(MOMENTS), size), np.dtype(np.float64))
    arrays[REWARDS] = ArraySpec((steps,), np.dtype(np.float32))
    arrays[LENGTHS] = ArraySpec((episodes,), np.dtype(np.int64))
    with ColumnFileWriter(path, arrays) as file:
        if _is_made(path, made_from):
            return
        file.append(LENGTHS, lengths)
        writers = [_WRITERS[column.form](file, column) for column in columns]
        moments = {column.name: _EpisodeMoments(file, column) for column in floats}
        for episode, rows, rewards in chain([first], incoming):
            for column, write, values in zip(columns, writers, rows, strict=True):
                write(values)
                if column.name in moments:
                    moments[column.name].add(episode, values)
            file.append(REWARDS, rewards)
        for each in moments.values():
            each.finish()
        file.finish(
            {
                "observation_space": space_to_json(observation_space),
                "action_space": space_to_json(action_space),
                "forms": [column.form for column in columns],
                "made_from": made_from,
            }
        )


def _is_made(path: Path, made_from: str) -> bool:
    with suppress(FileNotFoundError):
        found = Columns(path)
        with closing(found.file):
            return found.made_from == made_from
    return False


def _fitting(pieces: Iterable[Piece], lengths: np.ndarray, path: Path) -> Iterator[Piece]:
    """The pieces; raises ValueError unless they are the episodes in their order, each of its length."""
    found, at = np.zeros(len(lengths), np.int64), -1
    for episode, rows, rewards in pieces:
        if episode not in (at, at + 1) or any(len(each) != len(rewards) for each in rows):
            raise ValueError(f"{path}: after episode {at} came episode {episode}, or leaves of several lengths")
        at = episode
        found[at : at + 1] += len(rewards)
        yield episode, rows, rewards
    if at < 0 or at + 1 != len(lengths) or (found != lengths).any():
        wrong = [each for each in range(len(lengths)) if found[each] != lengths[each]][:3]
        raise ValueError(f"{path}: {at + 1} of {len(lengths)} episodes came; of other lengths than said are {wrong}")


def _columns(observation_space: gym.Space, action_space: gym.Space, rows: list[np.ndarray]) -> list[Column]:
    """A column for every leaf, in the form that its first rows recommend."""
    parts = zip(PARTS, (observation_space, action_space), strict=True)
    found = [(part, at, leaf) for part, space in parts for at, (_, leaf) in enumerate(space_leaves(space))]
    return [Column(*each, _form(each[2], values)) for each, values in zip(found, rows, strict=True)]


def _form(space: gym.Space, rows: np.ndarray) -> str:
    if is_text(space):
        return "text"
    if not isinstance(space, spaces.Box) or rows.dtype != np.uint8 or rows.nbytes < len(rows) * SMALLEST_PICTURE:
        return "raw"
    if not len(rows):
        return "zstd"
    compress = zstandard.ZstdCompressor(level=LEVEL).compress
    tried = rows[:: -(-len(rows) // TRIED_ROWS)]
    return "zstd" if sum(len(compress(row.tobytes())) for row in tried) <= WORTH * tried.nbytes else "raw"


def _raw(file: ColumnFileWriter, column: Column) -> Callable[[np.ndarray], None]:
    return lambda rows: file.append(column.name, rows)


def _pictures(file: ColumnFileWriter, column: Column) -> Callable[[np.ndarray], None]:
    compress = zstandard.ZstdCompressor(level=LEVEL).compress
    return lambda rows: _append_places(file, column, [compress(row.tobytes()) for row in rows])


def _append_places(file: ColumnFileWriter, column: Column, datas: list[bytes]) -> None:
    lengths = [len(data) for data in datas]
    start = file.append_heap(b"".join(datas))
    file.append(f"{column.name}/start", start + np.cumsum([0, *lengths])[:-1])
    file.append(f"{column.name}/length", np.array(lengths))


def _texts(file: ColumnFileWriter, column: Column) -> Callable[[np.ndarray], None]:
    known: dict[str, tuple[int, int]] = {}

    def place(text: str) -> tuple[int, int]:
        if text not in known:
            if len(known) == TEXTS:
                known.clear()
            data = text.encode()
            known[text] = file.append_heap(data or b"\0"), len(data)  # no two texts begin at one place
        return known[text]

    def write(rows: np.ndarray) -> None:
        starts, lengths = np.array([place(text) for text in rows], np.int64).reshape(-1, 2).T
        file.append(f"{column.name}/start", starts)
        file.append(f"{column.name}/length", lengths)

    return write


_WRITERS: dict[str, Any] = {"raw": _raw, "zstd": _pictures, "text": _texts}


class _EpisodeMoments:
    """Moments of one column, episode by episode."""

    def __init__(self, file: ColumnFileWriter, column: Column):
        self._file, self._name = file, moments_name(column)
        self._episode: int | None = None
        self._so_far = Moments.zeros(0)

    def add(self, episode: int, rows: np.ndarray) -> None:
        more = Moments.of(rows)
        if episode == self._episode:
            self._so_far = self._so_far.joined(more)
        else:
            self.finish()
            self._episode, self._so_far = episode, more

    def finish(self) -> None:
        if self._episode is not None:
            self._file.append(self._name, self._so_far.stacked()[None])
