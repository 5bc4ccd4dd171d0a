"""One run of a scaling study: trained, then played on every task; what is finished is kept and not done again."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import cattrs

from generalist.demonstrations.storage import dataset_folder
from generalist.envs.task import Task
from generalist.eval.baselines.measure import measure_baselines
from generalist.eval.config import EvaluationConfig, keep_evaluation
from generalist.eval.evaluate import demonstrated_mean, play_there, seeds_of
from generalist.eval.parts import Parts
from generalist.eval.report.record import PolicyRecord, Report, TaskRecord, to_json
from generalist.eval.trained_on import learned
from generalist.eval.workers import Pool
from generalist.studies.gathering import gather
from generalist.studies.kept import Kept
from generalist.studies.scale.grid import Point
from generalist.train.config import TrainConfig
from generalist.train.data import TaskSource
from generalist.train.loop import train
from generalist.train.metrics import read_metrics
from generalist.train.sources import Mixture
from generalist.train.start import Start


def trained(point: Point, data: Path, runs: Path, kept: Kept, evaluation: EvaluationConfig, *, quiet: bool) -> dict:
    """Train the run, or go on with it, and say what it came to: loss on what is held out, tokens and seconds.

    Raises:
        as `train`.
    """
    made_with = cattrs.unstructure(point.config)
    if (known := kept.load(point.name, made_with)) is not None:
        return known
    directory = runs / point.name
    train(
        point.config,
        data,
        directory,
        start=Start(resume=True),
        quiet=quiet,
        on_start=lambda run: keep_evaluation(run.directory, evaluation),
    )
    return kept.save(point.name, made_with, _figures(read_metrics(directory / "metrics.jsonl")))


def _figures(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """From the lines of a finished run's metrics.jsonl; tokens and targets are exact."""
    read: dict[str, int] = {}
    for line in lines:
        for name, found in line["sources"].items():
            read[name] = read.get(name, 0) + found["tokens"]
    held_out = lines[-1]["held_out"]
    return {
        "loss": held_out["loss"],
        "accuracy": held_out["accuracy"],
        "sources": held_out["sources"],
        "training_loss": lines[-1]["loss"],
        "tokens": sum(line["tokens"] for line in lines),
        "targets": sum(line["targets"] for line in lines),
        "source_tokens": read,
        "tokens_per_second": lines[-1]["tokens_per_second"],
        "seconds": sum(line["seconds"] for line in lines),
    }


def passes(source_tokens: Mapping[str, int], mixture: Mixture) -> dict[str, float]:
    """How often each task's demonstrations were read, by the tokens that they have."""
    there = {
        name: source.step_tokens.mean * source.table.total
        for name, source in zip(mixture.names, mixture.sources, strict=True)
        if isinstance(source, TaskSource)
    }
    return {name: source_tokens.get(name, 0) / tokens for name, tokens in there.items()}


def baselines(
    pool: Pool,
    tasks: Sequence[Task],
    config: TrainConfig,
    data: Path,
    evaluation: EvaluationConfig,
    folder: Path,
    done: Callable[[str], None],
) -> dict[str, TaskRecord]:
    """Random policy, expert and plain baselines of every task on the study's seeds, once for all runs.

    They learn from the episodes that all runs are trained on: which ones depends on no seed of training.
    """
    seeds, episodes = seeds_of(evaluation), {task.id: learned(config, data, task.id) for task in tasks}

    def submit(task: Task) -> Future:
        given = task, dataset_folder(data, task.id).absolute(), seeds, episodes[task.id]
        return pool.submit(measure_baselines, *given, selection_episodes=evaluation.selection_episodes)

    def record(task: Task, policies: dict[str, PolicyRecord]) -> TaskRecord:
        return replace(TaskRecord.of(task, seeds, policies), demonstrated=demonstrated_mean(task, data))

    return _each("baselines", tasks, Parts(folder, evaluation, 0, data, episodes), submit, record, done)


def played(
    pool: Pool,
    tasks: Sequence[Task],
    run: Path,
    config: TrainConfig,
    data: Path,
    evaluation: EvaluationConfig,
    done: Callable[[str], None],
) -> dict[str, TaskRecord]:
    """The run's agent on every task, in the parts that `generalist eval` keeps in the run directory too."""
    where = run.absolute(), config.steps, data.absolute(), evaluation
    parts = Parts(run / "evaluation", evaluation, config.steps, data)
    return _each(
        "agent", tasks, parts, lambda task: pool.submit(play_there, task, *where), lambda task, made: made, done
    )


def _each(
    part: str,
    tasks: Sequence[Task],
    parts: Parts,
    submit: Callable[[Task], Future],
    record: Callable[[Task, Any], TaskRecord],
    done: Callable[[str], None],
) -> dict[str, TaskRecord]:
    """The parts of all tasks, those that are missing made by the pool and saved as they end.

    Raises:
        PartsFailed: a task could not be played; the others are kept.
    """
    found = {task.id: parts.load(task, part) for task in tasks}
    waiting = {submit(task): task for task in tasks if found[task.id] is None}

    def keep(task: Task, made: Any) -> None:
        found[task.id] = parts.save(task, part, record(task, made))

    gather(waiting, keep, lambda task: f"{part} on {task.id}", done)
    return {id: record for id, record in found.items() if record is not None}


def score(agent: Mapping[str, TaskRecord], beside: Mapping[str, TaskRecord]) -> dict[str, Any]:
    """The figures of one run's report: normalised score and success over all tasks, and of each task.

    Returns:
        `score` (mean expert-normalised; None where no task has one), `score_ci95`, `success` (mean rate of the tasks
        that know success, None for none), `tasks` {id: [score, success]}, `best_baseline` (name, mean score).
    """
    tasks = [replace(beside[id], policies={**beside[id].policies, **record.policies}) for id, record in agent.items()]
    report = to_json(Report(name="", created="", tasks=tuple(tasks)))
    means = {
        name: found["overall"]["mean"]
        for name, found in report["baselines"].items()
        if name != "random" and found["overall"]["mean"] is not None
    }
    best = max(means, key=lambda name: means[name], default=None)
    return {
        "score": report["overall"]["mean"],
        "score_ci95": report["overall"]["mean_ci95"],
        "success": report["overall"]["success"],
        "tasks": {task["id"]: [task["normalized"], task["success"]] for task in report["tasks"]},
        "best_baseline": best and [best, means[best]],
    }
