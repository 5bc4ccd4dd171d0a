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
from generalist.demonstrations.public.distrust import no_steps, own_name, shown_name
from generalist.demonstrations.public.form import BY_RULE, Form, check_last_action
from generalist.demonstrations.public.parquet import open_parquet, read_batches, to_array
from generalist.demonstrations.public.pictures import decode_picture
from generalist.demonstrations.public.reader import (
    REPAIR,
    BadDataError,
    Origin,
    PublicData,
    array_space,
    check_columns,
    check_keys,
    discrete_space,
    make_episode,
    naming,
    nest,
    nest_spaces,
    text_space,
    with_action_codes,
)
from generalist.envs.spaces import value_at

PICTURES = "image_observations"
OBSERVATIONS = (PICTURES, "continuous_observations", "discrete_observations", "text_observations")
ACTIONS = ("continuous_actions", "discrete_actions")
TOGETHER = 32
"""Episodes in memory at a time; only one of pictures."""


def open_jat(path: str | Path, *, task: str | None = None, split: str = "train", form: Form = BY_RULE) -> PublicData:
    """One task's folder of parquet files.

    Args:
        form: its `observation` and `action` name columns.

    Raises:
        ValueError: no such files, or columns that are not JAT's; a `form` that names what is not there.
    """
    check_last_action(form, "JAT")
    if form.instruction:
        raise ValueError(f"--instruction: JAT has it as an observation, give --observation KEY={form.instruction}")
    folder = Path(path)
    files = sorted(folder.glob(f"{split}-*.parquet"))
    if not files:
        raise ValueError(f"{folder} has no {split}-*.parquet: give the folder of one task, such as .../atari-pong")
    row, task_id = find_row("jat", folder.name)
    task_id = task or own_name(task_id, folder)
    counts = [open_parquet(file).metadata.num_rows for file in files]
    layout = _layout(files, row, form)
    name = f"jat:{shown_name(folder.name)}"

    def read(start: int) -> Iterator[Episode]:
        before = 0
        for file, count in zip(files, counts, strict=True):
            number = min(max(0, start - before), count)
            for batch in read_batches(file, layout.columns, number, layout.together) if number < count else ():
                for index in range(batch.num_rows):
                    if not _steps(batch, index):
                        raise no_steps(f"{file}, row {number}", before + number)
                    with naming(file, f"row {number}"):
                        episode = layout.episode(batch, index, name, task_id)
                    yield episode
                    number += 1
            before += count

    source = PublicData(
        name=name,
        task_id=task_id,
        observation_space=layout.observation_space,
        action_space=layout.action_space,
        episodes_total=sum(counts),
        origin=Origin(folder=folder, files=tuple(files), split=split),
        read=read,
        note="; ".join(filter(None, (row.note, layout.note))),
    )
    return (
        with_action_codes(source, *minimal_actions(find_row("jat", folder.name)[1]))
        if row.minimal and not form.action
        else source
    )


@dataclass(frozen=True, kw_only=True)
class _Layout:
    row: Row
    observations: tuple[Column, ...]
    action: str
    observation_space: gym.Space
    action_space: gym.Space
    note: str

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
            observations=nest({column.key: self._shown(batch, column, index) for column in self.observations}),
            actions=_cell(batch, self.action, index),
            rewards=rewards,
            terminated=bool(reached),
            truncated=not reached,
            success=reached,
        )

    def _shown(self, batch: Any, column: Column, index: int) -> Any:
        if column.name != PICTURES:
            return _part(batch, column, index)
        space = value_at(self.observation_space, tuple(column.key.split("/")) if column.key else ())
        return _part(batch, column, index, space.shape[:2])


def _layout(files: list[Path], row: Row, form: Form) -> _Layout:
    """The spaces, from the first episode that has steps and can be read."""
    names = open_parquet(files[0], ["rewards"]).schema_arrow.names
    given = tuple(Column(key, name) for key, name in form.observation)
    columns = (
        given
        or row.columns
        or tuple(Column(name.removesuffix("_observations"), name) for name in OBSERVATIONS if name in names)
    )
    action = form.action or next((name for name in ACTIONS if name in names), ACTIONS[0])
    check_columns([*(column.name for column in columns or [Column("", OBSERVATIONS[1])]), action], names, files[0])
    check_keys((column.key for column in columns), "--observation")
    wanted = [*(column.name for column in columns), action, "rewards"]
    shown, acted = _first_spaces(files, columns, action, wanted)
    if isinstance(acted, spaces.Box) and acted.dtype.kind in "iu" and acted.shape == (1,):
        acted = array_space((), acted.dtype)
    if isinstance(acted, spaces.Box) and acted.dtype.kind == "f":
        acted = spaces.Box(row.low, row.high, acted.shape, acted.dtype.type)
    left = [name for name in names if name not in wanted] if given or not row.columns else []
    return _Layout(
        note=f"left out: {', '.join(left)} (--observation KEY=NAME takes them)" if left else "",
        row=row,
        observations=columns,
        action=action,
        observation_space=nest_spaces(shown),
        action_space=discrete_space(acted, row.actions),
    )


def _first_spaces(
    files: list[Path], columns: tuple[Column, ...], action: str, wanted: list[str]
) -> tuple[dict[str, gym.Space], gym.Space]:
    """Spaces of the observation's columns and of the action. Raises the first row's fault where no row can be read."""
    fault: ValueError | None = None
    for file in files:
        for number, batch in enumerate(read_batches(file, wanted, 0, 1)):
            if not _steps(batch, 0):
                continue
            try:
                with naming(file, f"row {number}"):
                    shown = {column.key: _space(_part(batch, column, 0)) for column in columns}
                    return shown, _space(_cell(batch, action, 0))
            except ValueError as cause:
                fault = fault or cause
    raise fault or BadDataError(f"{files[0].parent} has no episode with steps: {REPAIR}")


def _steps(batch: Any, index: int) -> int:
    """How many steps the episode has by its rewards; a missing list counts as one, to be named when it is read."""
    cell = batch.column("rewards")[index]
    return 1 if cell.values is None else len(cell.values)


def _space(values: Any) -> gym.Space:
    return text_space() if isinstance(values, list) else array_space(values.shape[1:], values.dtype)


def _part(batch: Any, column: Column, index: int, shape: tuple[int, ...] | None = None) -> Any:
    """The steps of one episode in one column: an array [N, ...], or N strings. `shape`: of pictures."""
    if column.name == PICTURES:  # each is cut as it is decoded, as a whole episode of stacks takes a gigabyte
        return _cell(batch, column.name, index, lambda data: decode_picture(data, shape)[..., column.first :].copy())
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
