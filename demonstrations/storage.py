"""Demonstrations on disk: one folder per task in RLDS form, that TensorFlow Datasets reads too.

DATA/<name>/1.0.0/collection.json                           what was asked for: task, seed, episodes, noise, ...
                 /spaces.json                               observation and action space (see `generalist.envs.spaces`)
                 /<name>-train.array_record-00000-of-00004  the episodes (see `generalist.demonstrations.rlds`)
                 /dataset_info.json, features.json          for `tfds.builder_from_directory`
                 /index.json                                length, return and success of each; written last
                 /steps.columns                             the steps again, for random access (see `columns`); made
                                                            when the shards are complete, or when it is missing
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from generalist.demonstrations.columns import Columns
from generalist.demonstrations.columns_writer import Piece
from generalist.demonstrations.episode import Episode, EpisodeMetadata
from generalist.demonstrations.make_columns import SUFFIX, fingerprint, kept_columns
from generalist.demonstrations.rlds import Record, rlds_features
from generalist.demonstrations.shards import SPLIT, dataset_name, open_shard, read_records, shard_path
from generalist.envs.files import read_json, write_json
from generalist.envs.html import html_table
from generalist.envs.spaces import space_from_json, space_leaves, space_to_json

VERSION = "1.0.0"
COLLECTION = "collection.json"
SPACES = "spaces.json"
INDEX = "index.json"
ShardIndex = list[tuple[int, EpisodeMetadata]]
"""(length, metadata) of every episode of a shard, in its order."""

REMAKE = "restore it from a copy, or move it elsewhere and run the same collection or import again, which makes it anew"
"""What to do about a damaged index, which follows from the shards."""
STEPS = f"steps{SUFFIX}"
READ_TOGETHER, READ_BYTES = 32, 1 << 18
"""So many episodes of a shard are read at a time, or fewer, of about so many bytes in the file."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Demonstrations:
    """The episodes of one task, opened for reading; every shard was checked. Can be sent to other processes.

    Whole episodes come from the shards, one at a time; steps anywhere from `columns`.

    Args:
        folder: DATA/<name>/1.0.0.
        task_id, observation_space, action_space: of the environment they were recorded in.
        lengths: int64[E], steps per episode.
        returns: float64[E], undiscounted sums of rewards.
        successes: whether each episode reached the goal; None if the task has no success.
        settings: contents of collection.json: seed, noise, policy, package versions and the like.

    Example:
        >>> import generalist
        >>> demonstrations = generalist.Demonstrations.open("data/cart_pole_v1")
        >>> len(demonstrations), demonstrations.task_id
        (8, 'CartPole-v1')
        >>> episode = demonstrations.episode(0)
        >>> episode.observations.shape, episode.actions.shape
        ((501, 4), (500,))
        >>> int(demonstrations.lengths[0]), float(demonstrations.returns[0]), episode.metadata.expert
        (500, 500.0, 'expert')
    """

    folder: Path
    task_id: str
    observation_space: gym.Space
    action_space: gym.Space
    lengths: np.ndarray
    returns: np.ndarray
    successes: tuple[bool | None, ...]
    settings: dict[str, Any]
    _shard_starts: np.ndarray = field(repr=False)

    @classmethod
    def open(cls, path: str | os.PathLike) -> Demonstrations:
        """Open DATA/<name>/1.0.0 or DATA/<name>; see `dataset_folder` for the name of a task.

        Raises:
            ValueError: not a collection, an unfinished one, or a shard that is missing, truncated or corrupt (named).
        """
        folder = Path(path).absolute()
        if not (folder / COLLECTION).exists() and (folder / VERSION).is_dir():
            folder = folder / VERSION
        settings = read_json(folder / COLLECTION, "`generalist collect` makes one")
        unfinished = "the collection is unfinished: run the same collection again to finish it"
        index = read_json(folder / INDEX, unfinished, REMAKE)
        spaces = read_spaces(folder)
        shard_lengths = index["shard_lengths"]
        for shard, length in enumerate(shard_lengths):
            open_shard(shard_path(folder, shard, len(shard_lengths)), length).close()
        return cls(
            folder=folder,
            task_id=settings["task"],
            observation_space=spaces[0],
            action_space=spaces[1],
            lengths=np.array(index["lengths"], np.int64),
            returns=np.array(index["returns"], np.float64),
            successes=tuple(index["successes"]),
            settings=settings,
            _shard_starts=np.cumsum([0, *shard_lengths]),
        )

    def __repr__(self) -> str:
        return f"Demonstrations({self._where!r}, {len(self)} episodes of {self.task_id})"

    @property
    def _where(self) -> str:
        """The folder, from here on where it lies below here."""
        return os.path.relpath(self.folder) if self.folder.is_relative_to(Path.cwd()) else str(self.folder)

    def _repr_html_(self) -> str:
        """What there is, in a notebook."""
        known = [one for one in self.successes if one is not None]
        rows = {
            "episodes": f"{len(self):,}",
            "steps": f"{int(self.lengths.sum()):,}, {self.lengths.mean():.1f} an episode",
            "return": f"{self.returns.mean():.4g}, spread {self.returns.std():.3g}",
            "success": f"{np.mean(known):.2f}" if known else "unknown",
            "observation": self.observation_space,
            "action": self.action_space,
            "played by": self.settings.get("policy", ""),
            "noise": self.settings.get("noise", ""),
            "folder": self._where,
        }
        return html_table(f"Demonstrations of {self.task_id}", rows)

    def to_pandas(self) -> Any:
        """A table of the episodes: a row each of its number, length, return and success. Needs pandas."""
        import pandas

        columns = {"length": self.lengths, "return": self.returns, "success": list(self.successes)}
        return pandas.DataFrame(columns, index=pandas.RangeIndex(len(self), name="episode"))

    def __reduce__(self):
        return Demonstrations.open, (self.folder,)

    def __len__(self) -> int:
        return len(self.lengths)

    def episode(self, index: int) -> Episode:
        """Episode `index` in [0, len). Raises IndexError beyond that, ValueError for a damaged shard (named)."""
        if not 0 <= index < len(self):
            raise IndexError(f"episode {index} of {len(self)} in {self.folder}")
        ((_, path, record),) = self._records([index])
        with _naming(path):
            return record.episode(self.observation_space, self.action_space)

    def columns(self, *, quiet: bool = False) -> Columns:
        """The steps of all episodes, end to end, by random access and not in memory.

        They are made on first use where collecting or importing did not; see `generalist.demonstrations.make_columns`.

        Args:
            quiet: show no progress where they are made.

        Raises:
            ValueError: they, or a shard they are made from, are damaged (named). OSError: there is no room for them.
        """
        spaces = self.observation_space, self.action_space
        made_from = fingerprint(*self._identity())
        return kept_columns(self.folder / STEPS, *spaces, self.lengths, self._pieces, made_from=made_from, quiet=quiet)

    def _identity(self) -> Iterator[bytes]:
        for name in (COLLECTION, SPACES, INDEX):
            yield (self.folder / name).read_bytes()
        for shard in range(len(self._shard_starts) - 1):
            yield str(shard_path(self.folder, shard, len(self._shard_starts) - 1).stat().st_size).encode()

    def _pieces(self) -> Iterator[Piece]:
        """Every episode as rows of its leaves, without the final observation."""
        parts = {"observation": self.observation_space, "action": self.action_space}
        leaves = [(part, path, leaf) for part, space in parts.items() for path, leaf in space_leaves(space)]
        for number, path, record in self._records(np.arange(len(self))):
            steps = int(self.lengths[number])
            with _naming(path):
                rows = [record.leaf(part, where, leaf, steps) for part, where, leaf in leaves]
                yield number, rows, record.rewards(steps)

    def _records(self, episodes: Sequence[int] | np.ndarray) -> Iterator[tuple[int, Path, Record]]:
        """(position in `episodes`, shard file, record) of each, shard by shard."""
        episodes = np.asarray(episodes, np.int64)
        shards = np.searchsorted(self._shard_starts, episodes, side="right") - 1
        for shard in np.unique(shards):
            path = shard_path(self.folder, shard, len(self._shard_starts) - 1)
            positions = np.flatnonzero(shards == shard)
            local = (episodes[positions] - self._shard_starts[shard]).tolist()
            for position, data in zip(positions, _read(path, local), strict=True):
                with _naming(path):
                    record = Record(data)
                yield int(position), path, record


def dataset_folder(data: str | os.PathLike, task_id: str) -> Path:
    """DATA/<name>/1.0.0 of a task; the name is the id in snake case: "CartPole-v1" is `cart_pole_v1`.

    Where there is none of that name, a folder that was renamed: what a data set is of is said inside it.

    Raises:
        ValueError: several have other names and are of this task.
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", task_id)
    name = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    folder = Path(data).absolute() / (name if name[:1].isalpha() else f"task_{name}") / VERSION
    return folder if (folder / COLLECTION).exists() else _renamed(Path(data).absolute(), task_id) or folder


def _renamed(data: Path, task_id: str) -> Path | None:
    """The folder of another name that holds this task's data set."""
    places = sorted(data.glob(f"*/{VERSION}/{COLLECTION}"))
    found = [place.parent for place in places if _task_of(place, place.stat().st_mtime_ns) == task_id]
    if len(found) > 1:
        raise ValueError(f"{found[0]} and {found[1]} both are data sets of {task_id}: keep one of them in {data}")
    return found[0] if found else None


@cache
def _task_of(place: Path, written: int) -> str | None:
    """What a collection.json that was written then says; None where it is damaged, which opening it tells."""
    try:
        return read_json(place, "").get("task")
    except (ValueError, AttributeError):
        return None


def read_shard_index(path: Path) -> ShardIndex:
    """(length, metadata) of every episode of a shard. Raises ValueError naming the file if it is damaged."""
    return [index_entry(data, path) for data in _read(path)]


def _read(path: Path, records: Sequence[int] | None = None) -> Iterator[bytes]:
    """These records of a shard (None: all), few of them in memory at a time."""
    reader = open_shard(path)
    try:
        total = reader.num_records()
        records = range(total) if records is None else records
        together = max(1, min(READ_TOGETHER, READ_BYTES * total // max(path.stat().st_size, 1)))
        for start in range(0, len(records), together):
            yield from read_records(reader, path, list(records[start : start + together]))
    finally:
        reader.close()


def index_entry(data: bytes, path: Path) -> tuple[int, EpisodeMetadata]:
    """(length, metadata) of a serialised episode that stood in `path`. Raises ValueError naming it."""
    with _naming(path):
        record = Record(data)
        return len(record), record.metadata()


def finish_collection(folder: Path, shards: list[ShardIndex]) -> None:
    """Write the TFDS metadata, the index and the columns of a folder whose shards are all there.

    Args:
        shards: what `read_shard_index` gives for each shard.
    """
    settings = read_json(folder / COLLECTION, "write it first")
    features = rlds_features(*read_spaces(folder))
    _write_tfds_metadata(folder, [len(shard) for shard in shards], features, settings["task"])
    episodes = [episode for shard in shards for episode in shard]
    index = {
        "shard_lengths": [len(shard) for shard in shards],
        "lengths": [length for length, _ in episodes],
        "returns": [metadata.episode_return for _, metadata in episodes],
        "successes": [metadata.success for _, metadata in episodes],
    }
    write_json(folder / INDEX, index)
    Demonstrations.open(folder).columns(quiet=True)


def read_spaces(folder: Path) -> tuple[gym.Space, gym.Space]:
    """Observation and action space of the data set in `folder`. Raises ValueError if they are missing or damaged."""
    data = read_json(folder / SPACES, "restore it from a copy, or collect this task into another folder")
    return space_from_json(data["observation_space"]), space_from_json(data["action_space"])


def ensure_spaces(folder: Path, observation_space: gym.Space, action_space: gym.Space) -> None:
    """Write the spaces, or compare with those that are there. Raises ValueError if they differ."""
    spaces = {"observation_space": space_to_json(observation_space), "action_space": space_to_json(action_space)}
    if not (folder / SPACES).exists():
        write_json(folder / SPACES, spaces)
    elif read_json(folder / SPACES, "") != spaces:
        raise ValueError(f"the environment's spaces differ from those in {folder}: use another folder, or overwrite it")


def _write_tfds_metadata(folder: Path, shard_lengths: list[int], features: Any, task_id: str) -> None:
    template = tfds.core.ShardedFileTemplate(
        data_dir=epath.Path(folder), dataset_name=dataset_name(folder), split=SPLIT, filetype_suffix="array_record"
    )
    size = sum(shard_path(folder, i, len(shard_lengths)).stat().st_size for i in range(len(shard_lengths)))
    split = tfds.core.SplitInfo(name=SPLIT, shard_lengths=shard_lengths, num_bytes=size, filename_template=template)
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features,
        split_infos=[split],
        version=VERSION,
        filename_template=template,
        check_data=False,  # its check needs TensorFlow; ours is `Demonstrations.open`
        description=f"Demonstrations of {task_id}, collected by generalist.",
    )


class _naming:  # noqa: N801 (used as a context)
    """Adds the file's name to a ValueError."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, ValueError):
            raise ValueError(f"shard {self._path} does not hold what the collection says: {error}") from error
