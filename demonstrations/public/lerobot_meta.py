"""What a LeRobot data set says about itself: its version, where every episode lies, and what the robot was told.

Versions 2.0 and 2.1 describe episodes in JSON lines and keep each in files of its own; 3.0 describes them in parquet
and keeps many in one file. Both become the same places here.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from generalist.demonstrations.public.distrust import read_description
from generalist.demonstrations.public.parquet import open_parquet
from generalist.demonstrations.public.reader import REPAIR, BadDataError, naming

JSON_LINES = ("v2.0", "v2.1")
VERSIONS = (*JSON_LINES, "v3.0")
CONVERT = """LeRobot of commit c574eb49845d makes version 2.0 of it: python \
lerobot/common/datasets/v2/convert_dataset_v1_to_v2.py --repo-id NAME --single-task "WHAT THE ROBOT WAS TOLD\""""
TASK_INDEX, SUBTASK_INDEX = "task_index", "subtask_index"
FIELD = re.compile(r"(\w+)(?::0?([1-9])d)?")
TASKS = "tasks"
"""Of an episode's description: the texts that the robot was told in it."""
PLACES = ("episode_index", "length", "data/chunk_index", "data/file_index", "dataset_from_index", "dataset_to_index")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an episode lies: `length` rows of the file `data` from row `row` on.

    Args:
        begin: number of its first row among those of the whole data set; None: the file is its own.
        rows: how many the description gives it, which must be its length; None: all of the file.
        films: by camera the file, and the seconds at which the episode begins in it.
        told: all that the robot was told in it, None where the description does not say it.
    """

    episode: int
    length: int
    rows: int | None
    data: Path
    row: int
    begin: int | None
    films: Mapping[str, tuple[Path, float]]
    told: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Meta:
    """A data set's folder with its info.json, checked: a version that is read, features that are JSON objects."""

    folder: Path
    info: dict[str, Any]

    @property
    def path(self) -> Path:
        return self.folder / "meta" / "info.json"

    @property
    def features(self) -> dict[str, dict[str, Any]]:
        return self.info["features"]

    @property
    def fps(self) -> float:
        """Frames a second. Raises BadDataError for none."""
        fps = self.info.get("fps")
        if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps < 1e6:
            raise BadDataError(f"{self.path}: fps is {fps!r:.50}, need frames a second")
        return float(fps)


def read_meta(folder: Path) -> Meta:
    """Raises BadDataError: no data set, another version (with how to convert it), or an info.json without features."""
    info = read_description(folder / "meta" / "info.json", "this is not a LeRobot data set")
    version = info.get("codebase_version")
    if version not in VERSIONS:
        how = CONVERT if str(version).startswith("v1") else "later ones are not known here"
        raise BadDataError(f"{folder} has version {version!r:.50}, need one of {', '.join(VERSIONS)}: {how}")
    features = info.get("features")
    if not isinstance(features, dict) or not all(isinstance(each, dict) for each in features.values()):
        raise BadDataError(f"{folder}/meta/info.json has no features: {REPAIR}")
    return Meta(folder=folder, info=info)


def read_places(meta: Meta, cameras: list[str]) -> list[Place]:
    """The place of every episode, in order; of these cameras alone.

    Raises:
        BadDataError: a description is missing, damaged or of another number of episodes than info.json says, or names a
            file outside of the data set.
    """
    read = _read_json_places if meta.info["codebase_version"] in JSON_LINES else _read_parquet_places
    places = sorted(read(meta, cameras), key=lambda place: place.episode)
    said = meta.info.get("total_episodes", len(places))
    if len(places) != said:
        raise BadDataError(f"{meta.folder}/meta describes {len(places)} episodes, info.json {said!r:.50}: {REPAIR}")
    twice = next((one.episode for one, other in itertools.pairwise(places) if one.episode == other.episode), None)
    if twice is not None:
        raise BadDataError(f"{meta.folder}/meta describes episode {twice} twice: {REPAIR}")
    return places


def read_instructions(meta: Meta, column: str = TASK_INDEX) -> dict[int, str]:
    """What the robot was told, by its number in a column; empty where the data set has no such file.

    Numbers are of `meta/tasks`, but those of `subtask_index`, which are of `meta/subtasks`.
    """
    column = column if column == SUBTASK_INDEX else TASK_INDEX
    name = column.removesuffix("_index")
    lines, table = (meta.folder / "meta" / f"{name}s.{ending}" for ending in ("jsonl", "parquet"))
    if meta.info["codebase_version"] in JSON_LINES:
        rows = list(_json_lines(lines)) if lines.is_file() else []
        with naming(lines):
            return {_count(row, column): str(row[name]) for row in rows}
    if not table.is_file():
        return {}
    file = open_parquet(table, [column])
    with naming(table):
        # pandas's index, whatever its name, is the column of text
        columns = file.read()
        texts = [column for column in columns.columns if not str(column.type).startswith(("int", "uint"))]
        return dict(zip(columns[column].to_pylist(), texts[0].to_pylist(), strict=True))


def locate(place: Place, seen: dict[Path, tuple[int | None, int]]) -> tuple[Path, int]:
    """The file and row where an episode's rows begin: by the number of its first row, else as its description says.

    LeRobot finds rows by number alone. Its conversion to 3.0 says of the first episode of a further file that it is in
    the file before, and so the others of that file are counted wrongly.

    Args:
        seen: of files that were looked at the number of their first row, and how many there are; kept by the caller.
    """
    begin = place.begin
    if begin is None:
        return place.data, place.row
    for path in itertools.chain([place.data], _file_after(place.data)):
        first, rows = seen[path] if path in seen else seen.setdefault(path, _numbers(path))
        if first is not None and first <= begin < first + rows:
            return path, begin - first
    return place.data, place.row


def _file_after(path: Path) -> Iterator[Path]:
    files = sorted(path.parent.parent.glob("*/*.parquet"))
    yield from files[files.index(path) + 1 :][:1] if path in files else []


def _numbers(path: Path) -> tuple[int | None, int]:
    """Number of the first row by the file's own statistics, None where it has none, and how many rows there are."""
    about = open_parquet(path).metadata
    for group in (about.row_group(index) for index in range(about.num_row_groups)):
        for column in (group.column(index) for index in range(group.num_columns)) if group.num_rows else ():
            if column.path_in_schema == "index" and column.is_stats_set and column.statistics.has_min_max:
                return int(column.statistics.min), about.num_rows
    return None, about.num_rows


def fill(pattern: Any, fields: Mapping[str, int | str], name: str, meta: Meta) -> Path:
    """The file that `pattern` of info.json stands for, inside the data set.

    Only "{field}" and, for numbers, "{field:03d}" of these fields are replaced, as text.

    Raises:
        BadDataError: anything else in braces, no text, or a path that leads out of the data set.
    """
    if not isinstance(pattern, str) or len(pattern) > 1000:
        raise BadDataError(f"{meta.path} has no {name}: {REPAIR}")

    def value(part: str) -> str:
        match = FIELD.fullmatch(part)
        found = None if match is None else fields.get(match[1])
        if match is None or found is None or (match[2] and isinstance(found, str)):
            raise BadDataError(f"{meta.path}: {name} has {part!r:.50} in braces, need one of {', '.join(fields)}")
        return str(found).zfill(int(match[2] or 1))

    parts = re.split(r"\{([^{}]*)\}", pattern)
    if any("{" in plain or "}" in plain for plain in parts[::2]):
        raise BadDataError(f"{meta.path}: {name} has a brace that is not closed: {pattern:.100}")
    path = "".join(value(part) if index % 2 else part for index, part in enumerate(parts))
    # By name and not by where links lead: a downloaded data set may be links into the cache of a hub.
    if not path or "\0" in path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise BadDataError(f"{meta.path}: {name} names {path!r:.100}, which is outside of the data set")
    return meta.folder / path


def _read_json_places(meta: Meta, cameras: list[str]) -> Iterator[Place]:
    path = meta.folder / "meta" / "episodes.jsonl"
    size = meta.info.get("chunks_size", 1000)
    if not isinstance(size, int) or size < 1:
        raise BadDataError(f"{meta.path}: chunks_size is {size!r:.50}, need episodes a folder")
    for row in _json_lines(path):
        with naming(path):
            number, length = _count(row, "episode_index"), _count(row, "length")
        fields = {"episode_chunk": number // size, "episode_index": number}
        yield Place(
            episode=number,
            length=length,
            rows=None,
            data=fill(meta.info.get("data_path"), fields, "data_path", meta),
            row=0,
            begin=None,
            films={
                camera: (fill(meta.info.get("video_path"), {**fields, "video_key": camera}, "video_path", meta), 0.0)
                for camera in cameras
            },
            told=_told(row),
        )


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        raise BadDataError(f"{path} is missing: {REPAIR}")
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                with naming(path, f"line {number}"):
                    yield json.loads(line)


def _read_parquet_places(meta: Meta, cameras: list[str]) -> Iterator[Place]:
    rows = _parquet_rows(meta, cameras)
    begins: dict[tuple[int, int], int] = {}
    for row in rows:
        key = row["data/chunk_index"], row["data/file_index"]
        begins[key] = min(begins.get(key, row["dataset_from_index"]), row["dataset_from_index"])
    for row in rows:
        chunk, file = row["data/chunk_index"], row["data/file_index"]
        fields = {"chunk_index": chunk, "file_index": file}
        yield Place(
            episode=row["episode_index"],
            length=row["length"],
            rows=row["dataset_to_index"] - row["dataset_from_index"],
            data=fill(meta.info.get("data_path"), fields, "data_path", meta),
            row=row["dataset_from_index"] - begins[chunk, file],
            begin=row["dataset_from_index"],
            films={camera: _film(meta, camera, row) for camera in cameras},
            told=_told(row),
        )


def _parquet_rows(meta: Meta, cameras: list[str]) -> list[dict[str, Any]]:
    files = sorted((meta.folder / "meta" / "episodes").glob("*/*.parquet"))
    if not files:
        raise BadDataError(f"{meta.folder}/meta/episodes has no chunk-*/file-*.parquet: {REPAIR}")
    indices = [f"videos/{camera}/{kind}_index" for camera in cameras for kind in ("chunk", "file")]
    begins = [f"videos/{camera}/from_timestamp" for camera in cameras]
    found: list[dict[str, Any]] = []
    for path in files:
        file = open_parquet(path, columns := [*PLACES, *indices, *begins])
        columns += [TASKS] if TASKS in file.schema_arrow.names else []
        with naming(path):
            for row in file.read(columns=columns).to_pylist():
                numbers = {name: _count(row, name) for name in (*PLACES, *indices)}
                found.append(numbers | {name: float(row[name]) for name in begins} | {TASKS: row.get(TASKS)})
    return found


def _film(meta: Meta, camera: str, row: dict[str, Any]) -> tuple[Path, float]:
    fields = {kind: row[f"videos/{camera}/{kind}"] for kind in ("chunk_index", "file_index")}
    path = fill(meta.info.get("video_path"), {**fields, "video_key": camera}, "video_path", meta)
    return path, row[f"videos/{camera}/from_timestamp"]


def _told(row: Mapping[str, Any]) -> tuple[str, ...] | None:
    texts = row.get(TASKS)
    return tuple(map(str, texts)) if isinstance(texts, list) else None


def _count(row: Any, name: str) -> int:
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**62:
        raise ValueError(f"{name} is {value!r:.50}, need a number from 0 on")
    return value
