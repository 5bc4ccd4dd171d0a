"""The folder of a data set that TFDS has prepared: its description and its shards, which are not believed unseen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generalist.demonstrations.public.reader import REPAIR, BadDataError, naming
from generalist.envs.tfds_files import check_description

FORMATS = ("array_record", "tfrecord")
BELIEVED = 1_000_000
"""Records that a shard may say to have whatever its size; more than its bytes could hold are refused."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A data set as TFDS describes it, and one split's shards with their numbers of records."""

    folder: Path
    name: str
    config: str
    version: str
    features: Any
    file_format: str
    shards: tuple[tuple[Path, int], ...]

    @property
    def full_name(self) -> str:
        return "/".join(filter(None, (self.name, self.config)))

    @property
    def files(self) -> tuple[Path, ...]:
        """The description and the split's shards."""
        return tuple(sorted(self.folder.glob("*.json"))) + tuple(path for path, _ in self.shards)


def open_prepared(path: Path, split: str) -> Prepared:
    """The split of the data set in a folder, see `version_folder`; no shard is opened.

    Raises:
        ValueError: no data set, no such split, another file format, or a description that is not to be believed.
    """
    folder = version_folder(path)
    info = checked_info(folder)
    if split not in info.splits:
        raise ValueError(f"{folder} has the splits {', '.join(info.splits)}, not {split!r}")
    file_format = info.file_format.value if info.file_format else "tfrecord"
    if file_format not in FORMATS:
        raise ValueError(f"{folder} has the file format {file_format}, need {' or '.join(FORMATS)}: prepare it in one")
    return Prepared(
        folder=folder,
        name=info.name,
        config=info.config_name or "",
        version=str(info.version),
        features=info.features,
        file_format=file_format,
        shards=tuple(_shards(info.splits[split], folder)),
    )


def version_folder(folder: Path) -> Path:
    """The folder of one version: this one, or the only one below it."""
    if (folder / "dataset_info.json").is_file():
        return folder
    found = sorted(file.parent for file in [*folder.glob("*/dataset_info.json"), *folder.glob("*/*/dataset_info.json")])
    if len(found) != 1:
        said = f"choose one of {', '.join(map(str, found))}" if found else "it has no dataset_info.json of TFDS"
        raise ValueError(f"{folder} is not one RLDS data set: {said}")
    return found[0]


def checked_info(folder: Path) -> Any:
    """TFDS's `DatasetInfo` of a folder, see `generalist.envs.tfds_files`. Raises ValueError."""
    import tensorflow_datasets as tfds

    check_description(folder)
    with naming(folder / "dataset_info.json"):
        return tfds.builder_from_directory(folder).info


def _shards(split: Any, folder: Path) -> Iterator[tuple[Path, int]]:
    if not split.shard_lengths:
        raise ValueError(f"{folder / 'dataset_info.json'} has no shard lengths: prepare the data set again")
    for file, count in zip(split.filepaths, split.shard_lengths, strict=True):
        path, count = Path(file), int(count)
        if not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder)):
            raise BadDataError(f"{folder / 'dataset_info.json'} names {path}, which is outside of the data set")
        size = path.stat().st_size if path.is_file() else 0
        if not 0 <= count <= max(size, BELIEVED):
            raise BadDataError(
                f"{folder / 'dataset_info.json'} says that {path.name} has {count} records, which its {size} bytes "
                f"cannot hold: {REPAIR}"
            )
        yield path, count
