"""LeRobot data sets, version 3.0: parquet for the steps, pictures in it as bytes, videos beside it as MP4.

    meta/info.json                                  features, frames per second, names of files
    meta/episodes/chunk-000/file-000.parquet        length and place of every episode
    meta/tasks.parquet                              what the robot was told, by number
    data/chunk-000/file-000.parquet                 one row a step, many episodes
    videos/<camera>/chunk-000/file-000.mp4          one camera, many episodes; needs the extra `video`

Every action was taken, so the final observation repeats the last. Rewards are those of `next.reward`, else zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.demonstrations.episode import Episode
from generalist.demonstrations.public.catalogue import find_row
from generalist.demonstrations.public.form import BY_RULE, Form
from generalist.demonstrations.public.parquet import open_parquet, read_batches, to_array
from generalist.demonstrations.public.reader import (
    BadDataError,
    Origin,
    PublicData,
    array_space,
    check_columns,
    make_episode,
    naming,
    nest,
    nest_spaces,
    text_space,
)
from generalist.demonstrations.public.video import read_frames
from generalist.envs.files import read_json

VERSION = "v3.0"
PICTURES = ("image", "video")
INSTRUCTION = "task"
PLACES = ("episode_index", "length", "data/chunk_index", "data/file_index", "dataset_from_index", "dataset_to_index")


def open_lerobot(path: str | Path, *, task: str | None = None, form: Form = BY_RULE) -> PublicData:
    """A data set by its folder.

    Raises:
        ValueError: no data set, another version, missing files or columns, features that cannot be read.
        MissingExtra: (while reading) it has videos and no decoder is installed.
    """
    folder = Path(path)
    info = read_json(folder / "meta" / "info.json", "this is not a LeRobot data set")
    if info.get("codebase_version") != VERSION:
        found = info.get("codebase_version")
        raise ValueError(f"{folder} has version {found!r}, need {VERSION}: convert it with LeRobot's own script")
    row, task_id = find_row("lerobot", folder.name)
    name = f"lerobot:{folder.name}"
    layout = _layout(folder, info)
    episodes = _episodes(folder, layout)
    if len(episodes) != info.get("total_episodes", len(episodes)):
        raise ValueError(f"{folder}/meta/episodes has {len(episodes)} episodes, info.json {info['total_episodes']}")

    def read(start: int) -> Iterator[Episode]:
        rows = _Rows(layout)
        for place in episodes[start:]:
            with naming(layout.data_file(place), f"episode {place['episode_index']}"):
                table = rows.of(place)
                episode = layout.episode(table, place, name, task or task_id)
            yield episode

    return PublicData(
        name=name,
        task_id=task or task_id,
        observation_space=layout.observation_space,
        action_space=layout.action_space,
        episodes_total=len(episodes),
        origin=Origin(folder=folder, version=VERSION),
        read=read,
        note=row.note,
    )


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """What info.json says. `observations` and `actions`: keys of ours to features of theirs."""

    folder: Path
    info: dict[str, Any]
    observations: dict[str, str]
    actions: dict[str, str]
    tasks: dict[int, str]

    def spaces(self, part: dict[str, str]) -> gym.Space:
        return nest_spaces({key: _space(name, self.info["features"]) for key, name in part.items()})

    @property
    def observation_space(self) -> gym.Space:
        return self.spaces(self.observations)

    @property
    def action_space(self) -> gym.Space:
        return self.spaces(self.actions)

    @property
    def columns(self) -> list[str]:
        """Of the data files: all but the videos."""
        features = self.info["features"]
        named = [*self.observations.values(), *self.actions.values()]
        kept = [name for name in named if name != INSTRUCTION and features[name]["dtype"] != "video"]
        optional = [name for name in ("next.reward", "next.done", "next.success") if name in features]
        return ["episode_index", "task_index", *kept, *optional]

    def data_file(self, place: dict[str, Any]) -> Path:
        chunk, file = place["data/chunk_index"], place["data/file_index"]
        return _inside(self.folder, self.info["data_path"].format(chunk_index=chunk, file_index=file))

    def episode(self, table: dict[str, Any], place: dict[str, Any], name: str, task_id: str) -> Episode:
        length = len(table["episode_index"])
        success = table.get("next.success")
        done = table.get("next.done")
        terminated = bool(success.any()) if success is not None else bool(done is not None and done[-1])
        values = [
            {key: self._values(name, table, place, length) for key, name in part.items()}
            for part in (self.observations, self.actions)
        ]
        return make_episode(
            name,
            task_id,
            (self.observation_space, self.action_space),
            observations=nest(values[0]),
            actions=nest(values[1]),
            rewards=table.get("next.reward", np.zeros(length)),
            terminated=terminated,
            truncated=not terminated,
            success=None if success is None else bool(success.any()),
        )

    def _values(self, name: str, table: dict[str, Any], place: dict[str, Any], length: int) -> Any:
        if name == INSTRUCTION:
            return [self.tasks[int(number)] for number in table["task_index"]]
        if self.info["features"][name]["dtype"] == "video":
            chunk, file = (place[f"videos/{name}/{kind}_index"] for kind in ("chunk", "file"))
            path = self.info["video_path"].format(video_key=name, chunk_index=chunk, file_index=file)
            begin = float(place[f"videos/{name}/from_timestamp"])
            return read_frames(_inside(self.folder, path), begin, length, float(self.info["fps"]))
        return table[name]


@dataclass
class _Rows:
    """The rows of episodes one after another; keeps the group of rows that the last one ended in."""

    layout: _Layout
    file: Path | None = None
    first: int = 0
    batches: Iterator[Any] = field(default_factory=lambda: iter(()))
    left: Any = None
    at: int = 0

    def of(self, place: dict[str, Any]) -> dict[str, Any]:
        path, wanted = self.layout.data_file(place), place["row"]
        if path != self.file or wanted != self.at:
            self.file, self.at, self.left = path, wanted, None
            self.batches = read_batches(path, self.layout.columns, wanted, 256)
        parts, missing = [], place["length"]
        while missing:
            batch = self.left if self.left is not None and self.left.num_rows else next(self.batches, None)
            if batch is None:
                raise ValueError(f"the file ends {missing} rows before the end of the episode")
            parts.append(batch.slice(0, missing))
            self.left = batch.slice(parts[-1].num_rows)
            missing -= parts[-1].num_rows
        self.at += place["length"]
        return self._table(parts, place)

    def _table(self, parts: list[Any], place: dict[str, Any]) -> dict[str, Any]:
        import pyarrow as pa

        found = {}
        whole = pa.Table.from_batches(parts)
        for name in whole.column_names:
            try:
                found[name] = to_array(whole.column(name).combine_chunks())
            except ValueError as cause:
                raise ValueError(f"column {name}: {cause}") from cause
        if (found["episode_index"] != place["episode_index"]).any():
            raise ValueError(
                f"its rows are of episode {found['episode_index'][0]}: meta/episodes does not fit the data"
            )
        return found


def _layout(folder: Path, info: dict[str, Any]) -> _Layout:
    features = info.get("features", {})
    shown = {name.partition(".")[2] or name: name for name in features if name.split(".")[0] == "observation"}
    acted = {name.partition(".")[2] or "": name for name in features if name.split(".")[0] == "action"}
    check_columns([*([] if shown else ["observation.state"]), *([] if acted else ["action"])], features, folder)
    if "data_path" not in info:
        raise ValueError(f"{folder}/meta/info.json has no data_path: download this data set again")
    shown = {key.replace("/", "."): name for key, name in shown.items()} | {INSTRUCTION: INSTRUCTION}
    return _Layout(folder=folder, info=info, observations=shown, actions=acted, tasks=_tasks(folder))


def _tasks(folder: Path) -> dict[int, str]:
    """Instructions by their number: pandas's index, whatever its name, is the column of text."""
    path = folder / "meta" / "tasks.parquet"
    file = open_parquet(path, ["task_index"])
    with naming(path):
        table = file.read()
        texts = [column for column in table.columns if not str(column.type).startswith(("int", "uint"))]
        return dict(zip(table["task_index"].to_pylist(), texts[0].to_pylist(), strict=True))


def _episodes(folder: Path, layout: _Layout) -> list[dict[str, Any]]:
    """Place of every episode: its columns, and `row`, where it begins in its data file."""
    files = sorted((folder / "meta" / "episodes").glob("*/*.parquet"))
    if not files:
        raise ValueError(f"{folder}/meta/episodes has no chunk-*/file-*.parquet: download this data set again")
    videos = [
        name for name in layout.observations.values() if layout.info["features"].get(name, {}).get("dtype") == "video"
    ]
    kinds = ("chunk_index", "file_index", "from_timestamp")
    columns = [*PLACES, *(f"videos/{name}/{kind}" for name in videos for kind in kinds)]
    found: list[dict[str, Any]] = []
    for path in files:
        file = open_parquet(path, columns)
        with naming(path):
            found += file.read(columns=columns).to_pylist()
        for place in found:
            if place["dataset_to_index"] - place["dataset_from_index"] != place["length"]:
                raise BadDataError(f"{path}: the length of episode {place['episode_index']} is not that of its rows")
    found.sort(key=lambda place: place["episode_index"])
    begins: dict[tuple[int, int], Any] = {}
    for place in found:
        key = place["data/chunk_index"], place["data/file_index"]
        begins[key] = min(begins.get(key, place["dataset_from_index"]), place["dataset_from_index"])
    for place in found:
        place["row"] = place["dataset_from_index"] - begins[place["data/chunk_index"], place["data/file_index"]]
    return found


def _space(name: str, features: dict[str, Any]) -> gym.Space:
    if name == INSTRUCTION:
        return text_space()
    kind, shape = features[name]["dtype"], tuple(features[name]["shape"])
    if kind == "string":
        return text_space()
    if kind in PICTURES:  # described as [channels, height, width] in some sets; what is decoded has them last
        shape = shape if shape[-1] in (1, 3, 4) else (*shape[1:], shape[0])
        return spaces.Box(0, 255, shape, np.uint8)
    try:
        return array_space(shape, np.dtype(kind))
    except TypeError:
        raise ValueError(f"the feature {name} has the dtype {kind!r}, which cannot be read") from None


def _inside(folder: Path, path: str) -> Path:
    """A file that info.json names, inside the data set."""
    found = folder / path
    if not found.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{folder}/meta/info.json names {path}, which is outside of the data set")
    return found
