"""Import: public data becomes demonstrations in our own format, as if `generalist collect` had recorded them.

Episodes stream through one at a time. What was imported before an interruption is kept, shard by shard. A shard holds
the episodes of a fixed range of the source's numbers, fewer where bad ones are passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.demonstrations.checks import check_episode
from generalist.demonstrations.collection import Collection, collection_settings, opened_collection
from generalist.demonstrations.episode import Episode
from generalist.demonstrations.public.catalogue import SCHEMES
from generalist.demonstrations.public.form import BY_RULE, Form
from generalist.demonstrations.public.jat import open_jat
from generalist.demonstrations.public.lerobot import open_lerobot
from generalist.demonstrations.public.minari import open_minari
from generalist.demonstrations.public.reader import UNKNOWN_SEED, PublicData, discrete_space, with_spaces
from generalist.demonstrations.public.rlds import open_rlds
from generalist.demonstrations.public.source import SKIPPED, SOURCE, describe, settle
from generalist.demonstrations.rlds import encode_episode
from generalist.demonstrations.shards import shard_path, write_shard
from generalist.demonstrations.storage import COLLECTION, Demonstrations, ShardIndex, dataset_folder, ensure_spaces
from generalist.envs.files import read_json, write_json
from generalist.envs.progress import CollectionProgress
from generalist.envs.spaces import path_name, space_leaves
from generalist.envs.table import task_in_file
from generalist.envs.task import GYM_PREFIX, MissingExtra, Task, UnknownTask, nearest_ids
from generalist.envs.task_spaces import stored_spaces
from generalist.envs.trust import UntrustedModule, trust_task

OPENERS = {"rlds": open_rlds, "minari": open_minari, "jat": open_jat, "lerobot": open_lerobot}
WITH_SPLITS = ("rlds", "jat")


@dataclass(frozen=True, kw_only=True)
class ImportSummary:
    """What is on disk after an import.

    Args:
        folder: open it with `Demonstrations.open`.
        episodes, steps, size: totals, size in bytes of the shards; `kept` episodes were there before.
        mean_return, std_return: over all episodes (population standard deviation).
        skipped: numbers of the source's episodes that were passed over because they are bad, and why.
        notice: what could not be compared with an earlier import, or "".
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
    skipped: dict[int, str]
    notice: str = ""


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
    if task is not None:
        trust_task(task)
    options = {"split": split} if scheme in WITH_SPLITS else {}
    return OPENERS[scheme](path, task=task, form=form, **options)


def in_task_spaces(source: PublicData) -> tuple[PublicData, str]:
    """The source in the spaces of its task's environment, and "" - or as it is, and why.

    Those of a task of the table are stored. Another environment is made only if the catalogue or the user named a task
    that we know, or the data one whose module is trusted.
    """
    if source.task_id in stored_spaces():
        return _in_spaces(source, *stored_spaces()[source.task_id])
    try:
        env = task_in_file(source.task_id).make()
    except UntrustedModule as untrusted:
        return source, f"the spaces are the data's own, not checked against the task {source.task_id} ({untrusted})"
    except UnknownTask:
        known = f"; --task {GYM_PREFIX}{source.task_id} plays it" if source.task_id in gym.registry else ""
        return source, f"{source.task_id} is no task of ours: it can be trained on and not played{known}"
    except MissingExtra as missing:
        return source, f"the spaces are the data's own, not checked against the task ({missing})"
    try:
        return _in_spaces(source, env.observation_space, env.action_space)
    finally:
        env.close()


def _in_spaces(source: PublicData, observation_space: gym.Space, action_space: gym.Space) -> tuple[PublicData, str]:
    try:
        return with_spaces(source, observation_space, action_space), ""
    except ValueError as differs:
        return source, f"kept as it is, an agent trained on it alone cannot play {source.task_id} ({differs})"


def with_actions(source: PublicData, count: int) -> PublicData:
    """The source with this number of discrete actions, or of each of a row of them. Raises ValueError for others.

    Of an action of several parts, those are counted that are single integers, or where there is none, rows of integers.
    """
    leaves = [leaf for _, leaf in space_leaves(source.action_space)]
    counted = [discrete_space(leaf, count) for leaf in leaves]
    if not any(isinstance(leaf, spaces.Discrete | spaces.MultiDiscrete) for leaf in counted):
        raise ValueError(f"{source.name} has no discrete action: its actions are {source.action_space}")
    if any(_is_uncounted(leaf) for leaf in leaves):
        counted = [new if _is_uncounted(leaf) else leaf for leaf, new in zip(leaves, counted, strict=True)]
    return with_spaces(source, source.observation_space, _with_leaves(source.action_space, iter(counted)))


def _with_leaves(space: gym.Space, leaves: Iterator[gym.Space]) -> gym.Space:
    """The nested space with these leaves, in the order of `space_leaves`."""
    if isinstance(space, spaces.Dict):
        parts = [(key, _with_leaves(child, leaves)) for key, child in space.spaces.items()]
        return spaces.Dict(parts, sort_keys=False)
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([_with_leaves(child, leaves) for child in space.spaces])
    return next(leaves)


def import_data(
    source: PublicData,
    out: str | os.PathLike,
    *,
    episodes: int | None = None,
    overwrite: bool = False,
    skip_bad: bool = False,
    form: Form = BY_RULE,
    actions: int = 0,
    quiet: bool = False,
) -> ImportSummary:
    """Write the first `episodes` (None: all) of the source under `out`/<name of its task>/1.0.0.

    The same call again goes on where an interrupted one was stopped.

    Args:
        skip_bad: pass over episodes that are damaged, empty or do not fit; their numbers are kept with the data.
        form, actions: how the source was opened; kept with the data and compared by the next import.

    Raises:
        ValueError: the source is damaged (its file is named), shorter than it says, or has actions whose number is not
            known; the folder holds something else, see `settle`. Finished shards stay.
        OSError: the disk is full.
    """
    total = len(source) if episodes is None else min(episodes, len(source))
    if total < 1:
        raise ValueError(
            f"there must be at least one episode to import: {source.name} has {len(source)}, asked {episodes}"
        )
    _check_actions(source)
    task = _nominal_task(source.task_id)
    folder = dataset_folder(out, task.id)
    if source.origin is not None and source.origin.folder.resolve() == folder.resolve():
        raise ValueError(f"{folder} is the source itself: import it into another folder (--out) or as another --task")
    settings = collection_settings(task, policy=source.name, noise=0.0, seed=UNKNOWN_SEED, episodes=total)
    described = describe(source, form, actions=actions, skip_bad=skip_bad)
    settings |= {SOURCE: described} if described else {}
    settings, notice = (settings, "") if overwrite else settle(folder, settings)
    with opened_collection(task, settings, out, overwrite=overwrite) as collection:
        bars = CollectionProgress({task.id: (total, collection.kept)}, visible=not quiet)
        with bars:
            _write_missing(_Good(source, skip_bad), collection, bars)
            if collection.shards and not any(collection.shards):
                raise ValueError(f"none of the {total} episodes of {source.name} could be read, so nothing is imported")
            collection.finish()
            bars.finish(task.id)
        return _summary(source, collection, notice)


class _Good:
    """The good episodes of a source, by ranges of its numbers, read on from one range to the next.

    Args:
        skipped: numbers of bad episodes and why, once they were passed over.
    """

    def __init__(self, source: PublicData, skip_bad: bool):
        self.source, self.skipped = source, dict[int, str]()
        self._skip_bad = skip_bad
        self._reader: Iterator[Episode] = iter(())
        self._position = -1

    def episodes(self, numbers: range) -> Iterator[Episode]:
        """Raises ValueError: a bad one, named, unless it is passed over; the source ends early."""
        if self._position != numbers.start:
            self._read_from(numbers.start)
        for number in numbers:
            self._position = number + 1
            try:
                episode = next(self._reader)
                check_episode(episode, self.source.observation_space, self.source.action_space)
            except StopIteration:
                said = f"ends after {number} episodes, it says it has {len(self.source)}"
                raise ValueError(f"{self.source.name} {said}") from None
            except ValueError as cause:
                if not self._skip_bad:
                    name = f"{self.source.name}, episode {number}"
                    said = str(cause) if str(cause).startswith(name) else f"{name}: {cause}"
                    raise ValueError(f"{said} (--skip-bad passes over such episodes)") from cause
                self.skipped[number] = str(cause)
                self._read_from(number + 1)
                continue
            yield episode

    def _read_from(self, number: int) -> None:
        self._reader, self._position = iter(self.source.episodes(number)), number


def _write_missing(good: _Good, collection: Collection, bars: CollectionProgress) -> None:
    if not collection.missing():
        return
    source = good.source
    ensure_spaces(collection.folder, source.observation_space, source.action_space)
    for shard in collection.missing():
        index: ShardIndex = []
        records = _records(good, collection, shard, index, bars)
        write_shard(shard_path(collection.folder, shard, len(collection.shards)), records)
        collection.shards[shard] = index


def _records(
    good: _Good, collection: Collection, shard: int, index: ShardIndex, bars: CollectionProgress
) -> Iterator[bytes]:
    """Of one shard. What was passed over is written down before the shard gets its name."""
    numbers = collection.shard_episodes(shard)
    for episode in good.episodes(numbers):
        index.append((len(episode), episode.metadata))
        yield encode_episode(episode, good.source.observation_space, good.source.action_space)
        bars.add(good.source.task_id, 1, len(episode))
    settings = read_json(collection.folder / COLLECTION, "import it again with --overwrite")
    before = _skipped(settings)
    now = {number: why for number, why in before.items() if number not in numbers} | {
        number: why for number, why in good.skipped.items() if number in numbers
    }
    if now != before:
        entries = [[number, now[number]] for number in sorted(now)]
        write_json(collection.folder / COLLECTION, settings | {SKIPPED: entries})


def _skipped(settings: dict[str, Any]) -> dict[int, str]:
    return {int(number): str(why) for number, why in settings.get(SKIPPED, [])}


def _check_actions(source: PublicData) -> None:
    for path, leaf in space_leaves(source.action_space):
        if _is_uncounted(leaf):
            of = f" action{path_name(path)} has" if path else " discrete actions there are"
            raise ValueError(
                f"{source.name}: how many{' values' if path else ''}{of} is not known; give their number "
                f"(--actions N), or a task that has them (--task ID)"
            )


def _is_uncounted(leaf: gym.Space) -> bool:
    """A single integer of which nobody said how many there are."""
    return isinstance(leaf, spaces.Box) and leaf.dtype.kind in "iu" and leaf.shape == ()


def _nominal_task(task_id: str) -> Task:
    """The collection's task; one that is not in the table needs no environment, as nothing is played."""
    try:
        return task_in_file(task_id)
    except UnknownTask:
        return Task(
            id=task_id, family="public", make=_no_environment, expert=None, horizon=1, score="return", has_success=False
        )


def _no_environment(render_mode: str | None = None):
    raise ValueError("imported data of this task has no environment")


def _summary(source: PublicData, collection: Collection, notice: str) -> ImportSummary:
    demonstrations = Demonstrations.open(collection.folder)
    shards = collection.folder.glob("*.array_record-*")
    return ImportSummary(
        task_id=source.task_id,
        source=source.name,
        folder=collection.folder,
        episodes=len(demonstrations),
        steps=int(demonstrations.lengths.sum()),
        kept=min(collection.kept, len(demonstrations)),
        size=sum(path.stat().st_size for path in shards),
        mean_return=float(demonstrations.returns.mean()),
        std_return=float(np.std(demonstrations.returns)),
        skipped=_skipped(demonstrations.settings),
        notice=notice,
    )
