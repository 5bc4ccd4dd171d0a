"""Import: public data becomes demonstrations in our own format, as if `generalist collect` had recorded them.

Episodes stream through one at a time. What was imported before an interruption is kept, shard by shard.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.demonstrations.collection import Collection, collection_settings, opened_collection
from generalist.demonstrations.episode import Episode
from generalist.demonstrations.public.catalogue import SCHEMES
from generalist.demonstrations.public.form import BY_RULE, Form
from generalist.demonstrations.public.jat import open_jat
from generalist.demonstrations.public.lerobot import open_lerobot
from generalist.demonstrations.public.minari import open_minari
from generalist.demonstrations.public.reader import UNKNOWN_SEED, PublicData, discrete_space, with_spaces
from generalist.demonstrations.public.rlds import open_rlds
from generalist.demonstrations.rlds import encode_episode
from generalist.demonstrations.shards import shard_path, write_shard
from generalist.demonstrations.storage import Demonstrations, ShardIndex, ensure_spaces
from generalist.envs.progress import CollectionProgress
from generalist.envs.spaces import path_name, space_leaves
from generalist.envs.table import find_task
from generalist.envs.task import GYM_PREFIX, MissingExtra, Task, UnknownTask, nearest_ids

OPENERS = {"rlds": open_rlds, "minari": open_minari, "jat": open_jat, "lerobot": open_lerobot}
WITH_SPLITS = ("rlds", "jat")


@dataclass(frozen=True, kw_only=True)
class ImportSummary:
    """What is on disk after an import.

    Args:
        folder: open it with `Demonstrations.open`.
        episodes, steps, size: totals, size in bytes of the shards; `kept` episodes were there before.
        mean_return, std_return: over all episodes (population standard deviation).
    """

    task_id: str
    source: str
    folder: Path
    episodes: int
    steps: int
    kept: int
    size: int
    mean_return: float
    std_return: float


def open_source(source: str, *, task: str | None = None, split: str = "train", form: Form = BY_RULE) -> PublicData:
    """SCHEME:PATH as it is: "rlds:PATH", "minari:PATH_OR_ID", "jat:PATH" or "lerobot:PATH".

    Raises:
        ValueError: an unknown scheme, or whatever the format's own function says about the path.
    """
    scheme, separator, path = source.partition(":")
    if not separator or scheme not in OPENERS or not path:
        near = nearest_ids(scheme, list(SCHEMES), 1)
        hint = f"did you mean {near[0]}:PATH? " if near and scheme not in SCHEMES else ""
        raise ValueError(f"{source!r} is not SCHEME:PATH: {hint}schemes are {', '.join(SCHEMES)}")
    options = {"split": split} if scheme in WITH_SPLITS else {}
    return OPENERS[scheme](path, task=task, form=form, **options)


def in_task_spaces(source: PublicData) -> tuple[PublicData, str]:
    """The source in the spaces of its task's environment, and "" - or as it is, and why.

    The environment is made only if the catalogue or the user named a task that we know.
    """
    try:
        env = find_task(source.task_id).make()
    except UnknownTask:
        known = f"; --task {GYM_PREFIX}{source.task_id} plays it" if source.task_id in gym.registry else ""
        return source, f"{source.task_id} is no task of ours: it can be trained on and not played{known}"
    except MissingExtra as missing:
        return source, f"the spaces are the data's own, not checked against the task ({missing})"
    try:
        return with_spaces(source, env.observation_space, env.action_space), ""
    except ValueError as differs:
        return source, f"kept as it is, an agent trained on it alone cannot play {source.task_id} ({differs})"
    finally:
        env.close()


def with_actions(source: PublicData, count: int) -> PublicData:
    """The source with this number of discrete actions, or of each of a row of them. Raises ValueError for others."""
    action_space = discrete_space(source.action_space, count)
    if not isinstance(action_space, spaces.Discrete | spaces.MultiDiscrete):
        raise ValueError(f"{source.name} has no discrete action: its actions are {source.action_space}")
    return with_spaces(source, source.observation_space, action_space)


def import_data(
    source: PublicData,
    out: str | os.PathLike,
    *,
    episodes: int | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> ImportSummary:
    """Write the first `episodes` (None: all) of the source under `out`/<name of its task>/1.0.0.

    The same call again goes on where an interrupted one was stopped.

    Raises:
        ValueError: the source is damaged (its file is named), shorter than it says, or has actions whose number is not
            known; the folder holds something else. Finished shards stay.
        OSError: the disk is full.
    """
    total = len(source) if episodes is None else min(episodes, len(source))
    if total < 1:
        raise ValueError(
            f"there must be at least one episode to import: {source.name} has {len(source)}, asked {episodes}"
        )
    _check_actions(source)
    task = _nominal_task(source.task_id)
    settings = collection_settings(task, policy=source.name, noise=0.0, seed=UNKNOWN_SEED, episodes=total)
    with opened_collection(task, settings, out, overwrite=overwrite) as collection:
        bars = CollectionProgress({task.id: (total, collection.kept)}, visible=not quiet)
        with bars:
            _write_missing(source, collection, bars)
            collection.finish()
            bars.finish(task.id)
        return _summary(source, collection)


def _write_missing(source: PublicData, collection: Collection, bars: CollectionProgress) -> None:
    if not collection.missing():
        return
    ensure_spaces(collection.folder, source.observation_space, source.action_space)
    reader, position = iter(()), -1
    for shard in collection.missing():
        numbers = collection.shard_episodes(shard)
        if position != numbers.start:
            reader = source.episodes(numbers.start)
        position = numbers.stop
        index: ShardIndex = []
        records = _records(source, itertools.islice(reader, len(numbers)), index, bars)
        write_shard(shard_path(collection.folder, shard, len(collection.shards)), _exactly(records, numbers, source))
        collection.shards[shard] = index


def _records(
    source: PublicData, episodes: Iterator[Episode], index: ShardIndex, bars: CollectionProgress
) -> Iterator[bytes]:
    for episode in episodes:
        index.append((len(episode), episode.metadata))
        yield encode_episode(episode, source.observation_space, source.action_space)
        bars.add(source.task_id, 1, len(episode))


def _exactly(records: Iterator[bytes], numbers: range, source: PublicData) -> Iterator[bytes]:
    count = 0
    for record in records:
        count += 1
        yield record
    if count != len(numbers):
        raise ValueError(f"{source.name} ends after {numbers.start + count} episodes, it says it has {len(source)}")


def _check_actions(source: PublicData) -> None:
    for path, leaf in space_leaves(source.action_space):
        if isinstance(leaf, spaces.Box) and leaf.dtype.kind in "iu" and leaf.shape == ():
            raise ValueError(
                f"{source.name}: how many discrete actions there are{path_name(path)} is not known; give their number "
                f"(--actions N), or a task that has them (--task ID)"
            )


def _nominal_task(task_id: str) -> Task:
    """The collection's task; one that is not in the table needs no environment, as nothing is played."""
    try:
        return find_task(task_id)
    except UnknownTask:
        return Task(
            id=task_id, family="public", make=_no_environment, expert=None, horizon=1, score="return", has_success=False
        )


def _no_environment(render_mode: str | None = None):
    raise ValueError("imported data of this task has no environment")


def _summary(source: PublicData, collection: Collection) -> ImportSummary:
    demonstrations = Demonstrations.open(collection.folder)
    shards = collection.folder.glob("*.array_record-*")
    return ImportSummary(
        task_id=source.task_id,
        source=source.name,
        folder=collection.folder,
        episodes=len(demonstrations),
        steps=int(demonstrations.lengths.sum()),
        kept=collection.kept,
        size=sum(path.stat().st_size for path in shards),
        mean_return=float(demonstrations.returns.mean()),
        std_return=float(np.std(demonstrations.returns)),
    )
