"""Collect demonstrations: policies act in parallel processes, episodes land in RLDS shards, interruptions resume.

Episode i of a task depends only on (task, settings, seed, i): the number of processes cannot be seen in the data.
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from generalist.demonstrations.collection import (
    Collection,
    check_folder,
    collection_settings,
    opened_collection,
    recorded,
)
from generalist.demonstrations.journal import Journal, journal_path
from generalist.demonstrations.record import PolicyFactory, check_noise, find_policy, record_episode
from generalist.demonstrations.rlds import encode_episode
from generalist.demonstrations.shards import shard_path, write_shard
from generalist.demonstrations.storage import Demonstrations, ShardIndex, dataset_folder, ensure_spaces, index_entry
from generalist.envs.failures import PartsFailed
from generalist.envs.files import WritingError, staying_here
from generalist.envs.progress import CollectionProgress
from generalist.envs.ray_jobs import run_jobs_on_ray
from generalist.envs.seeds import demonstration_seed
from generalist.envs.table import find_tasks
from generalist.envs.task import Task
from generalist.envs.workers import Job, JobFailed, Report, run_jobs, run_jobs_here


class CollectionError(PartsFailed):
    """Recording some tasks failed.

    Attributes:
        failures: one line for each task that failed: its name, the reason, and what is kept of it.
        complete: summaries of the tasks that are complete.
        detail: the first one's traceback.
    """

    def __init__(self, failures: Sequence[str], complete: Sequence[CollectionSummary] = (), detail: str = ""):
        super().__init__(failures)
        self.complete, self.detail = tuple(complete), detail


@dataclass(frozen=True, kw_only=True)
class CollectionSummary:
    """What is on disk for one task after `collect`.

    Args:
        folder: open it with `Demonstrations.open`.
        episodes, steps, bytes: totals; `kept` of the episodes were there before.
        mean_return, std_return: over all episodes (population standard deviation).
        success: share of successful episodes; None if the task has no success.
        seconds: wall time from the call's beginning until this task was complete.
    """

    task_id: str
    folder: Path
    episodes: int
    steps: int
    bytes: int
    kept: int
    mean_return: float
    std_return: float
    success: float | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ShardJob:
    """What a worker needs to know to record one shard."""

    task: Task
    policy: str | PolicyFactory | None
    noise: float
    seed: int
    shard: int
    episodes: range
    path: Path


def collect(
    tasks: str | Task | Iterable[str | Task],
    out: str | os.PathLike[str] = "data",
    *,
    seed: int = 0,
    episodes: int | Mapping[str, int] | None = None,
    noise: float | Mapping[str, float] | None = None,
    policy: str | PolicyFactory | None = None,
    workers: int | None = None,
    ray: str = "",
    overwrite: bool = False,
    quiet: bool = False,
) -> list[CollectionSummary]:
    """Record demonstrations of each task under `out`/<name>/1.0.0.

    What is there already from the same call, finished or interrupted, is kept, to the last episode.

    Args:
        tasks: one or several, by id ("gym:<id>" works for anything registered with Gymnasium) or as they are.
        out: folder of the data sets, one for each task.
        seed: chooses the block of reset seeds, see `generalist.envs.seeds.demonstration_seed`.
        episodes, noise: for all tasks, or by task id; tasks without one have their own default (`Task.episodes`,
            `Task.noise`; no noise for a given policy).
        policy: None for the expert, "random", a learned expert's file "<name>.npz", or "module:function" of a function
            that is called with the environment right after each reset and gives that episode's function
            observation -> action.
        workers: processes; None for one per available core, 0 for recording in this process.
        ray: address of a Ray cluster whose machines record instead, see `generalist.envs.ray_jobs`; all must see `out`
            under the same path.
        overwrite: delete the tasks' earlier collections first, whatever their settings were.
        quiet: show no progress.

    Returns:
        One summary per task, in the order given.

    Raises:
        ValueError: bad arguments, or a folder that holds something else; no episode was recorded then.
        CollectionError: recording tasks failed (missing extra, error in an environment); the other tasks are complete
            then, unless our files could not be written (a full disk), which ends all. What was recorded stays.

    Example:
        >>> import generalist
        >>> (summary,) = generalist.collect("CartPole-v1", out="walks", episodes=8, seed=0)
        >>> summary.episodes, summary.mean_return
        (8, 500.0)
        >>> generalist.Demonstrations.open(summary.folder).episode(0).actions.shape
        (500,)
    """
    begin = time.monotonic()
    found = _find_tasks(tasks)
    settings = [_settings(task, seed, episodes, noise, policy) for task in found]
    workers = _available_cores() if workers is None else workers
    _check_workers(workers, policy)
    with contextlib.ExitStack() as stack:
        if not overwrite:
            for task, wanted in zip(found, settings, strict=True):
                check_folder(dataset_folder(out, task.id), wanted)
        collections = {
            task.id: stack.enter_context(opened_collection(task, wanted, out, overwrite=overwrite))
            for task, wanted in zip(found, settings, strict=True)
        }
        seconds, failures = _run(collections, policy, _runner(workers, ray), quiet)
        complete = [_summary(collections[id], seconds[id] - begin) for id in collections if id in seconds]
        if failures:
            raise _error(failures, collections, complete) from failures[0].__cause__
        return complete


def record_shard(job: ShardJob, report: Report) -> ShardIndex:
    """Record the episodes of a shard into its file; `report(1, steps)` after each. Gives lengths and metadata.

    Episodes that an interrupted call left in the shard's journal are kept.
    """
    with staying_here():
        return _record_shard(job, report)


def _record_shard(job: ShardJob, report: Report) -> ShardIndex:
    folder = job.path.parent
    if not folder.is_dir():
        raise WritingError(f"{socket.gethostname()} does not see {folder}: choose a folder that all machines share")
    name, factory = find_policy(job.task, job.policy)
    env = job.task.make()  # a new one per shard: nothing can leak in from what was recorded before
    spaces = env.observation_space, env.action_space
    journal = Journal(journal_path(job.path))
    index = [index_entry(record, journal.path) for record in journal.records()]
    try:
        check_noise(env.action_space, job.noise)
        ensure_spaces(folder, *spaces)
        for number in job.episodes[journal.count :]:
            reset_seed = demonstration_seed(job.seed, number)
            try:
                episode = record_episode(env, job.task, factory, seed=reset_seed, noise=job.noise, name=name)
            except (ValueError, TypeError) as cause:
                raise ValueError(f"episode {number}: {cause}") from cause
            journal.append(encode_episode(episode, *spaces))
            index.append((len(episode), episode.metadata))
            report(1, len(episode))
        write_shard(job.path, journal.records())
        journal.remove()
    finally:
        journal.close()
        env.close()
    return index


def _find_tasks(tasks: str | Task | Iterable[str | Task]) -> tuple[Task, ...]:
    found = find_tasks(tasks)
    if not found:
        raise ValueError("name at least one task to collect; `generalist tasks` lists them")
    owners: dict[Path, str] = {}
    for task in found:
        folder = dataset_folder("", task.id)
        if folder in owners:
            raise ValueError(f"tasks {owners[folder]!r} and {task.id!r} have one folder, {folder.parent.name}")
        owners[folder] = task.id
    return found


def _settings(task: Task, seed: int, episodes: Any, noise: Any, policy: str | PolicyFactory | None) -> dict[str, Any]:
    count = _for_task(task, episodes, task.episodes)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"{task.id}: episodes must be an integer of at least 1, got {count!r}")
    demonstration_seed(seed, count - 1)
    level = float(_for_task(task, noise, task.noise if policy is None else 0.0))
    if not (level >= 0 and math.isfinite(level)):
        raise ValueError(f"{task.id}: noise must be finite and at least 0, got {level}")
    name, _ = find_policy(task, policy)
    return collection_settings(task, policy=name, noise=level, seed=seed, episodes=count)


def _for_task(task: Task, value: Any, default: Any) -> Any:
    if isinstance(value, Mapping):
        return value.get(task.id, default)
    return default if value is None else value


def _check_workers(workers: int, policy: str | PolicyFactory | None) -> None:
    if workers < 0:
        raise ValueError(f"workers must be at least 0, got {workers}")
    if workers and callable(policy):
        try:
            importable = b"__main__" not in pickle.dumps(policy)
        except Exception:  # whatever `__reduce__` raises
            importable = False
        if not importable:
            raise ValueError(f"worker processes cannot import {policy!r}: put it into a module, or use workers=0")


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _runner(workers: int, ray: str) -> Callable[..., None]:
    """`run(jobs, on_report, on_result, on_failure)`: here, in processes of this machine, or on a cluster."""
    if ray:
        return lambda jobs, *to: run_jobs_on_ray(jobs, ray, *to)
    return (lambda jobs, *to: run_jobs(jobs, workers, *to)) if workers else run_jobs_here


def _run(
    collections: dict[str, Collection], policy: str | PolicyFactory | None, run: Callable[..., None], quiet: bool
) -> tuple[dict[str, float], list[JobFailed]]:
    """Record what is missing. Gives the time (`time.monotonic`) at which each task was complete, and what failed."""
    done: dict[str, float] = {}
    failures: list[JobFailed] = []
    totals = {id: (collection.settings["episodes"], collection.kept) for id, collection in collections.items()}
    bars = CollectionProgress(totals, visible=not quiet)

    def finish_if_complete(id: str) -> None:
        if not collections[id].missing():
            collections[id].finish()
            done[id] = time.monotonic()
            bars.finish(id)

    def on_result(job: Job, index: ShardIndex) -> None:
        collections[job.argument.task.id].shards[job.argument.shard] = index
        finish_if_complete(job.argument.task.id)

    def on_failure(failure: JobFailed) -> None:
        failures.append(failure)
        if failure.cause == WritingError.__name__:  # a full disk: the other tasks would only fail too
            raise failure

    with bars:
        for id in collections:
            finish_if_complete(id)
        with contextlib.suppress(JobFailed):
            run(
                _jobs(collections, policy),
                lambda job, amounts: bars.add(job.argument.task.id, *amounts),
                on_result,
                on_failure,
            )
    return done, failures


def _error(
    failures: Sequence[JobFailed], collections: Mapping[str, Collection], complete: Sequence[CollectionSummary]
) -> CollectionError:
    first = failures[0]
    by_task = {failure.job.argument.task.id: failure for failure in reversed(failures)}  # its first; shards fail alike
    told = [_told(by_task[id], collections[id]) for id in dict.fromkeys(each.job.argument.task.id for each in failures)]
    error = CollectionError(told, complete, first.detail)
    if first.__cause__ is None:  # in a worker: its traceback would not be seen otherwise
        error.add_note(first.detail)
    return error


def _told(failure: JobFailed, collection: Collection) -> str:
    """A failed task in a line; the same command goes on from what is kept of it."""
    kept, asked = recorded(collection), collection.settings["episodes"]
    rest = f" ({kept} of {asked} episodes are kept)" if kept else ""
    reason = failure.reason.removeprefix(f"{WritingError.__name__}: ")  # ours: it says all
    return f"collecting {collection.task.id} failed: {reason}{rest}"


def _jobs(collections: dict[str, Collection], policy: str | PolicyFactory | None) -> list[Job]:
    jobs = []
    for collection in sorted(collections.values(), key=_expected_cost, reverse=True):
        for shard in collection.missing():
            job = ShardJob(
                task=collection.task,
                policy=policy,
                noise=collection.settings["noise"],
                seed=collection.settings["seed"],
                shard=shard,
                episodes=collection.shard_episodes(shard),
                path=shard_path(collection.folder.absolute(), shard, len(collection.shards)),
            )
            jobs.append(Job(collection.task.id, record_shard, job))
    return jobs


def _expected_cost(collection: Collection) -> float:
    """Seconds, as far as the task's reference tells: what takes longest is started first."""
    reference = collection.task.expert_reference
    return collection.settings["episodes"] * (reference.seconds or 0.0 if reference else 0.0)


def _summary(collection: Collection, seconds: float) -> CollectionSummary:
    demonstrations = Demonstrations.open(collection.folder)
    successes = [success for success in demonstrations.successes if success is not None]
    return CollectionSummary(
        task_id=collection.task.id,
        folder=collection.folder,
        episodes=len(demonstrations),
        steps=int(demonstrations.lengths.sum()),
        bytes=sum(path.stat().st_size for path in collection.folder.iterdir()),
        kept=collection.kept,
        mean_return=float(demonstrations.returns.mean()),
        std_return=float(demonstrations.returns.std()),
        success=float(np.mean(successes)) if successes else None,
        seconds=seconds,
    )
