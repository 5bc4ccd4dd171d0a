"""LeRobot data sets, versions 2.0, 2.1 and 3.0: parquet for the steps, pictures in it as bytes, films beside it as MP4.

    meta/info.json                                  features, frames per second, names of files
    meta/episodes/chunk-000/file-000.parquet        length and place of every episode (2.x: meta/episodes.jsonl)
    meta/tasks.parquet                              what the robot was told, by number (2.x: meta/tasks.jsonl)
    data/chunk-000/file-000.parquet                 one row a step, many episodes (2.x: one: episode_000000.parquet)
    videos/<camera>/chunk-000/file-000.mp4          one camera, many episodes (2.x: one); needs the extra `video`

Every action was taken, so the final observation repeats the last. Rewards are those of `next.reward`, else zero. An
episode terminates with `next.success`; where there is none, with `next.done` of its last step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from generalist.demonstrations.episode import Episode
from generalist.demonstrations.public.catalogue import find_row
from generalist.demonstrations.public.distrust import no_steps, own_name, shown_name
from generalist.demonstrations.public.form import BY_RULE, Form, check_last_action
from generalist.demonstrations.public.lerobot_features import INSTRUCTION, OUTCOMES, Feature, Parts, choose_parts
from generalist.demonstrations.public.lerobot_meta import Meta, Place, locate, read_instructions, read_meta, read_places
from generalist.demonstrations.public.parquet import open_parquet, read_batches, to_array
from generalist.demonstrations.public.pictures import decode_picture
from generalist.demonstrations.public.reader import BadDataError, Origin, PublicData, make_episode, naming, nest
from generalist.demonstrations.public.video import read_frames

TIME = "timestamp"
AT_ONCE = 256
"""Rows read at a time."""


def open_lerobot(path: str | Path, *, task: str | None = None, form: Form = BY_RULE) -> PublicData:
    """A data set by its folder.

    Raises:
        ValueError: no data set, another version, missing files or columns, features that cannot be read, or a `form`
            that names what is not there.
        MissingExtra: (while reading) it has films and no decoder is installed.
    """
    check_last_action(form, "LeRobot")
    folder = Path(path)
    meta = read_meta(folder)
    parts = choose_parts(meta, form)
    instructions = {feature.name: read_instructions(meta, feature.name) for feature in parts.features if feature.told}
    row, task_id = find_row("lerobot", folder.name)
    task_id = task or own_name(task_id, folder)
    layout = _Layout(
        meta=meta, parts=parts, instructions=instructions, name=f"lerobot:{shown_name(folder.name)}", task_id=task_id
    )
    places = read_places(meta, layout.cameras)

    def read(start: int) -> Iterator[Episode]:
        rows = _Rows(layout)
        for place in places[start:]:
            if not place.length:
                raise no_steps(place.data, place.episode)
            with naming(place.data, f"episode {place.episode}"):
                episode = layout.episode(rows.of(place), place)
            yield episode

    return PublicData(
        name=layout.name,
        task_id=task_id,
        observation_space=parts.observation_space,
        action_space=parts.action_space,
        episodes_total=len(places),
        origin=Origin(folder=folder, version=str(meta.info["codebase_version"])),
        read=read,
        note="; ".join(filter(None, (row.note, *parts.notes))),
        instructions=lambda: [_told(place, meta, form) for place in places],
    )


def _told(place: Place, meta: Meta, form: Form) -> str:
    """What the robot was told in an episode, by its description: no step is read. Raises BadDataError."""
    if form.instruction not in ("", INSTRUCTION) or place.told is None:
        where = f"{form.instruction} says it step by step" if form.instruction else "meta/episodes has no tasks"
        raise BadDataError(f"{meta.folder}: what was told in each episode cannot be looked up: {where}")
    return "; ".join(place.told)


@dataclass(frozen=True, kw_only=True)
class _Layout:
    meta: Meta
    parts: Parts
    instructions: Mapping[str, Mapping[int, str]]
    name: str
    task_id: str

    @property
    def cameras(self) -> list[str]:
        return list(dict.fromkeys(feature.name for feature in self.parts.features if feature.kind == "video"))

    @property
    def columns(self) -> list[str]:
        """Of the data files: all but the films."""
        kept = [feature.name for feature in self.parts.features if feature.kind != "video"]
        optional = [name for name in (*OUTCOMES, TIME) if name in self.meta.features]
        return list(dict.fromkeys(["episode_index", *kept, *optional]))

    @property
    def pictures(self) -> dict[str, tuple[int, ...]]:
        return {feature.name: feature.shape for feature in self.parts.features if feature.kind == "image"}

    def episode(self, table: dict[str, Any], place: Place) -> Episode:
        reward, done, success = (table.get(name) for name in OUTCOMES)
        terminated = bool(np.any(success)) if success is not None else bool(done is not None and np.any(done[-1]))
        observation, action = (
            nest({key: self._values(feature, table, place) for key, feature in part.items()})
            for part in (self.parts.observation, self.parts.action)
        )
        return make_episode(
            self.name,
            self.task_id,
            (self.parts.observation_space, self.parts.action_space),
            observations=observation,
            actions=action,
            rewards=np.zeros(place.length) if reward is None else reward,
            terminated=terminated,
            truncated=not terminated,
            success=None if success is None else bool(np.any(success)),
        )

    def _values(self, feature: Feature, table: dict[str, Any], place: Place) -> Any:
        if feature.told:
            numbers = np.asarray(table[feature.name]).reshape(-1).tolist()
            texts = self.instructions[feature.name]
            missing = [number for number in numbers if number not in texts]
            if missing:
                raise ValueError(f"column {feature.name}: meta/tasks has no text for {missing[0]}")
            return [texts[number] for number in numbers]
        if feature.kind != "video":
            return table[feature.name]
        path, begin = place.films[feature.name]
        fps = self.meta.fps
        times = np.asarray(table[TIME], np.float64).reshape(-1) if TIME in table else np.arange(place.length) / fps
        return read_frames(path, begin + times, fps, feature.shape, f"episode {place.episode}")


@dataclass
class _Rows:
    """The rows of episodes one after another; keeps the group of rows that the last one ended in."""

    layout: _Layout
    file: Path | None = None
    batches: Iterator[Any] = field(default_factory=lambda: iter(()))
    left: Any = None
    at: int = 0
    seen: dict[Path, tuple[int | None, int]] = field(default_factory=dict)

    def of(self, place: Place) -> dict[str, Any]:
        rows = open_parquet(place.data).metadata.num_rows if place.rows is None else place.rows
        if rows != place.length:
            raise ValueError(f"it has {rows} rows, and {place.length} steps by meta/episodes")
        if (found := locate(place, self.seen)) != (self.file, self.at):
            (self.file, self.at), self.left = found, None
            self.batches = read_batches(self.file, self.layout.columns, self.at, AT_ONCE)
        parts, missing = [], place.length
        while missing:
            batch = self.left if self.left is not None and self.left.num_rows else next(self.batches, None)
            if batch is None:
                raise ValueError(f"the file ends {missing} rows before the end of the episode")
            parts.append(batch.slice(0, missing))
            self.left = batch.slice(parts[-1].num_rows)
            missing -= parts[-1].num_rows
        self.at += place.length
        table = self._table(parts, place)
        if self.left.num_rows and self.left.column("episode_index")[0].as_py() == place.episode:
            raise ValueError(f"it has more rows than its {place.length} steps by meta/episodes")
        return table

    def _table(self, parts: list[Any], place: Place) -> dict[str, Any]:
        import pyarrow as pa

        found, pictures = {}, self.layout.pictures
        whole = pa.Table.from_batches(parts)
        for name in whole.column_names:
            try:
                decode = partial(decode_picture, shape=pictures.get(name))
                found[name] = to_array(whole.column(name).combine_chunks(), decode)
            except ValueError as cause:
                raise ValueError(f"column {name}: {cause}") from cause
        numbers = np.asarray(found["episode_index"]).reshape(-1)
        if (numbers != place.episode).any():
            raise ValueError(f"its rows are of episode {numbers[0]}: meta/episodes does not fit the data")
        return found
