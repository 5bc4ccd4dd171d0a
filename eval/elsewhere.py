"""Parts of an evaluation that a pool measures while the agent plays: started, saved as they end, and waited for."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from generalist.demonstrations.storage import dataset_folder
from generalist.envs.task import Task
from generalist.eval.baselines.measure import measure_baselines, measure_specialist
from generalist.eval.config import EvaluationConfig, seeds_of
from generalist.eval.parts import Parts
from generalist.eval.progress import EvaluationDisplay
from generalist.eval.report.record import PolicyRecord, TaskRecord
from generalist.eval.workers import Pool

Waiting = dict[str, Callable[[], TaskRecord]]
"""By task id, a function that waits for the record of one part."""


def start_fitted(
    pool: Pool, tasks: Sequence[Task], data: Path, config: EvaluationConfig, parts: Parts, display: EvaluationDisplay
) -> dict[str, Waiting]:
    """Start what is missing of the baselines, and of the specialists where they are asked for, by part.

    They learn from the episodes that `parts` names.
    """
    seeds = seeds_of(config)

    def given(task: Task) -> tuple[Task, Path, list[int], Any]:
        return task, dataset_folder(data, task.id).absolute(), seeds, parts.episodes.get(task.id)

    def plain(task: Task) -> Future:
        return pool.submit(measure_baselines, *given(task), selection_episodes=config.selection_episodes)

    def special(name: str, task: Task) -> Future:
        return pool.submit(measure_specialist, name, *given(task))

    def record(task: Task, policies: dict[str, PolicyRecord]) -> TaskRecord:
        return TaskRecord.of(task, seeds, policies)

    waiting = {"baselines": elsewhere("baselines", tasks, plain, record, parts, display.baseline_done)}
    for name in config.specialists:
        waiting[name] = elsewhere(name, tasks, partial(special, name), record, parts, display.specialist_done)
    return waiting


def elsewhere(
    part: str,
    tasks: Sequence[Task],
    submit: Callable[[Task], Future],
    record: Callable[[Task, Any], TaskRecord],
    parts: Parts,
    done: Callable[[str], None],
) -> Waiting:
    """Start one missing part of every task; each is saved as it ends, in whatever order they end."""

    def start(task: Task) -> Callable[[], TaskRecord]:
        known = parts.load(task, part)
        if known is not None:
            done(task.id)
            return lambda: known
        future = submit(task)
        unsaved: list[OSError] = []
        finished = Event()

        def finish(ended: Future) -> None:
            try:
                if not ended.cancelled() and ended.exception() is None:
                    save(ended.result())
                    done(task.id)
            finally:
                finished.set()

        def save(made: Any) -> None:
            try:
                parts.save(task, part, record(task, made))
            except OSError as error:  # nobody would see it here
                unsaved.append(error)

        def wait() -> TaskRecord:
            found = record(task, future.result())
            finished.wait()  # a future gives its result before it calls back
            if unsaved:
                raise unsaved[0]
            return found

        future.add_done_callback(finish)
        return wait

    return {task.id: start(task) for task in tasks}
