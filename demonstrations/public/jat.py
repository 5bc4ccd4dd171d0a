"""The JAT data set (`jat-project/jat-dataset`): parquet, one row an episode, one folder a task.

PATH/atari-pong/train-00000-of-00005.parquet; columns by modality (`image_observations`, `continuous_actions`, ...).
It holds no final observation and not how an episode ended: the last observation is repeated, and episodes are
truncated, but where a positive reward is a success.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.demonstrations.episode import Episode
from generalist.demonstrations.public.catalogue import Column, Row, find_row, minimal_actions
from generalist.demonstrations.public.form import BY_RULE, Form
from generalist.demonstrations.public.parquet import open_parquet, read_batches, to_array
from generalist.demonstrations.public.reader import (
    Origin,
    PublicData,
    array_space,
    check_columns,
    decode_picture,
    discrete_space,
    make_episode,
    naming,
    nest,
    nest_spaces,
    text_space,
    with_action_codes,
)

PICTURES = "image_observations"
OBSERVATIONS = (PICTURES, "continuous_observations", "discrete_observations", "text_observations")
ACTIONS = ("continuous_actions", "discrete_actions")
TOGETHER = 32
"""Episodes in memory at a time; only one of pictures."""


def open_jat(path: str | Path, *, task: str | None = None, split: str = "train", form: Form = BY_RULE) -> PublicData:
    """One task's folder of parquet files.

    Raises:
        ValueError: no such files, or columns that are not JAT's.
    """
    folder = Path(path)
    files = sorted(folder.glob(f"{split}-*.parquet"))
    if not files:
        raise ValueError(f"{folder} has no {split}-*.parquet: give the folder of one task, such as .../atari-pong")
    row, task_id = find_row("jat", folder.name)
    counts = [open_parquet(file).metadata.num_rows for file in files]
    layout = _layout(files[0], row)
    name = f"jat:{folder.name}"

    def read(start: int) -> Iterator[Episode]:
        for file, count in zip(files, counts, strict=True):
            number = min(start, count)
            for batch in read_batches(file, layout.columns, number, layout.together) if number < count else ():
                for index in range(batch.num_rows):
                    with naming(file, f"row {number}"):
                        episode = layout.episode(batch, index, name, task or task_id)
                    yield episode
                    number += 1
            start = max(0, start - count)

    source = PublicData(
        name=name,
        task_id=task or task_id,
        observation_space=layout.observation_space,
        action_space=layout.action_space,
        episodes_total=sum(counts),
        origin=Origin(folder=folder, files=tuple(files), split=split),
        read=read,
        note=row.note,
    )
    return with_action_codes(source, *minimal_actions(task_id)) if row.minimal else source


@dataclass(frozen=True, kw_only=True)
class _Layout:
    row: Row
    observations: tuple[Column, ...]
    action: str
    observation_space: gym.Space
    action_space: gym.Space

    @property
    def columns(self) -> list[str]:
        return [*(column.name for column in self.observations), self.action, "rewards"]

    @property
    def together(self) -> int:
        return 1 if PICTURES in self.columns else TOGETHER

    def episode(self, batch: Any, index: int, name: str, task_id: str) -> Episode:
        rewards = _cell(batch, "rewards", index)
        reached = bool((rewards > 0).any()) if self.row.success else None
        return make_episode(
            name,
            task_id,
            (self.observation_space, self.action_space),
            observations=nest({column.key: _part(batch, column, index) for column in self.observations}),
            actions=_cell(batch, self.action, index),
            rewards=rewards,
            terminated=bool(reached),
            truncated=not reached,
            success=reached,
        )


def _layout(file: Path, row: Row) -> _Layout:
    """The spaces, from the first episode."""
    names = open_parquet(file, ["rewards"]).schema_arrow.names
    columns = row.columns or tuple(
        Column(name.removesuffix("_observations"), name) for name in OBSERVATIONS if name in names
    )
    action = next((name for name in ACTIONS if name in names), ACTIONS[0])
    check_columns([*(column.name for column in columns or [Column("", OBSERVATIONS[1])]), action], names, file)
    wanted = [*(column.name for column in columns), action, "rewards"]
    batch = next(read_batches(file, wanted, 0, 1), None)
    if batch is None:
        raise ValueError(f"{file} has no rows: download this data set again")
    with naming(file, "row 0"):
        shown = {column.key: _space(_part(batch, column, 0)) for column in columns}
        acted = _space(_cell(batch, action, 0))
    if isinstance(acted, spaces.Box) and acted.dtype.kind == "f":
        acted = spaces.Box(row.low, row.high, acted.shape, acted.dtype.type)
    return _Layout(
        row=row,
        observations=columns,
        action=action,
        observation_space=nest_spaces(shown),
        action_space=discrete_space(acted, row.actions),
    )


def _space(values: Any) -> gym.Space:
    return text_space() if isinstance(values, list) else array_space(values.shape[1:], values.dtype)


def _part(batch: Any, column: Column, index: int) -> Any:
    """The steps of one episode in one column: an array [N, ...], or N strings."""
    if column.name == PICTURES:  # each is cut as it is decoded, as a whole episode of stacks takes a gigabyte
        return _cell(batch, column.name, index, lambda data: decode_picture(data)[..., column.first :].copy())
    values = _cell(batch, column.name, index)
    return values if isinstance(values, list) else values[..., column.first :]


def _cell(batch: Any, name: str, index: int, decode: Callable[[bytes], np.ndarray] = decode_picture) -> Any:
    cell = batch.column(name)[index]
    try:
        if cell.values is None:
            raise ValueError("the value is missing")
        return to_array(cell.values, decode)
    except ValueError as cause:
        raise ValueError(f"column {name}: {cause}") from cause
