"""Are two agents different? Both on the same episodes, task by task and over all, as compare.json and compare.html."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cattrs
import numpy as np

from generalist.agent.compilation import keep_compilations
from generalist.envs.failures import PartsFailed
from generalist.envs.files import check_writable, write_json
from generalist.envs.table import find_tasks, task_in_file
from generalist.envs.task import Task, UnknownTask
from generalist.envs.trust import UntrustedModule, trust_task
from generalist.envs.trust import trust as trust_modules
from generalist.eval.config import seeds_of
from generalist.eval.evaluate import demonstrated_mean
from generalist.eval.report.record import PolicyRecord, TaskRecord, plain
from generalist.eval.versions import versions_of
from generalist.studies.compare_page import write_page
from generalist.studies.comparison import TaskScores, compare_scores, gate_words, headline
from generalist.studies.playing import Played, gather
from generalist.studies.shown import ShownComparison
from generalist.studies.sides import ACTING, AGENT, Given, Side, acting_differences, sides_of
from generalist.train.made_here import is_made_here

SCHEMA = 1
NO_ENVIRONMENT = "no environment plays it"


class ComparisonError(PartsFailed):
    """Some tasks could not be played. `comparison` has the others and is written; its `failed` says what happened."""

    def __init__(self, comparison: Mapping[str, Any]):
        super().__init__(
            [f"playing {each['task']} failed ({each['part']}): {each['error']}" for each in comparison["failed"]]
        )
        self.comparison = comparison


def compare(
    *runs: Given,
    tasks: str | Task | Iterable[str | Task] = (),
    episodes: int | None = None,
    difference: float = 0.05,
    fail_if_worse: float | None = None,
    data: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] = "comparison",
    ray: str = "",
    quiet: bool = False,
    trust: str | Iterable[str] = (),
) -> dict[str, Any]:
    """Compare agents on the same episodes, each with the first, and write `compare.json` and `compare.html`.

    Episodes that finished evaluations have are read, what is missing is played, and called again with more episodes
    only the new ones are. docs/comparing.md says what the numbers mean.

    Args:
        *runs: two or more: a run directory (or `Run`), "RUN@UPDATE" or "RUN@best" for another checkpoint than the
            newest, and "RUN,RUN,RUN" (or a list) for runs of one configuration that differ in their training seed,
            which stand together on one side; the intervals then cover the luck of training too. "RUN:linear" is the
            linear policy that the run's evaluation has measured beside its agent; the same for every other there.
        tasks: one or several, by id or as they are; by default those that both sides were trained on.
        episodes: of each task, on the evaluation seeds; by default as the first run's experiment says.
        difference: of normalised score, of which is said how many episodes would find it.
        fail_if_worse: see `generalist.studies.comparison.gate`, whose result stands in each comparison's `gate`.
        data: demonstrations, for prompts; where each run found them by default.
        out: folder of compare.json and compare.html.
        ray: address of a Ray cluster that plays what is missing, "local" for one of this machine.
        quiet: show no progress.
        trust: modules that ids of the runs' tasks may have imported, see `generalist.envs.trust`.

    Returns:
        The contents of compare.json. A difference is the other side's mean score less the first's; normalised, 1 is the
        way from the random policy to the expert.

    Raises:
        ValueError: fewer than two sides, runs that cannot stand together on one side, or no task in common.
        FileNotFoundError: no run there, or prompts asked for and no demonstrations.
        ComparisonError: some tasks could not be played; the comparison of the others is written.

    Example:
        >>> import generalist
        >>> found = generalist.compare("runs/smoke@20", "runs/smoke", episodes=4, out="runs/compared", quiet=True)
        >>> overall = found["comparisons"][0]["overall"]
        >>> low, high = overall["ci95"]
        >>> low <= overall["difference"] <= high
        True
        >>> [task["id"] for task in found["comparisons"][0]["tasks"]]
        ['CartPole-v1', 'FrozenLake8x8-v1']
        >>> generalist.compare("runs/smoke", "runs/smoke", episodes=4, quiet=True)["comparisons"][0]["overall"]["ci95"]
        [0.0, 0.0]
    """
    keep_compilations()
    trust_modules(trust)
    if not difference > 0:
        raise ValueError(f"the difference that is to be found must be above 0, got {difference}")
    if fail_if_worse is not None and not fail_if_worse >= 0:
        raise ValueError(f"fail_if_worse is a fall of the normalised score, 0 or more, got {fail_if_worse}")
    sides, folder = sides_of(runs, episodes), Path(out)
    first, others = sides[0], sides[1:]
    check_writable(folder)
    asked = list({task.id: task for task in find_tasks(tasks)}.values())
    shared = [_shared(first, other, asked) for other in others]
    wanted = [
        (chosen, pair.tasks)
        for pair, other in zip(shared, others, strict=True)
        for side in (first, other)
        for chosen in side.chosen
    ]
    played = gather(wanted, data=None if data is None else Path(data), out=folder, ray=ray, quiet=quiet)
    # A task without an expert has no other end of its scale than the demonstrations of a policy that was given.
    ends = _scales(played, [task for pair in shared for task in pair.tasks], Path(data or first.chosen[0].run.data))
    options = {"size": difference, "fail_if_worse": fail_if_worse}
    comparisons = [
        _compared(first, other, pair, played, ends, options) for other, pair in zip(others, shared, strict=True)
    ]
    payload = ShownComparison(_payload(sides, comparisons, played, [task for pair in shared for task in pair.tasks]))
    payload["difference_to_find"] = difference
    write_json(folder / "compare.json", payload)
    write_page(folder / "compare.html", payload)
    if played.failed:
        raise ComparisonError(payload) from played.error
    return payload


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """What two sides have in common, and what is left out, with why."""

    tasks: tuple[Task, ...]
    left_out: dict[str, str]
    notices: tuple[str, ...]


def _shared(first: Side, other: Side, asked: Sequence[Task]) -> _Pair:
    """Raises ValueError where two sides have no task in common."""
    notices = _notices(first, other)
    if asked:
        for side in (first, other):
            if unknown := [task.id for task in asked if not side.knows(task.id)]:
                notices.append(f"{side.name} was not trained on {', '.join(unknown)}: played without a task embedding")
        return _Pair(tasks=tuple(asked), left_out={}, notices=tuple(notices))
    tasks: list[Task] = []
    left_out: dict[str, str] = {}
    ids = dict.fromkeys(id for side in (first, other) for each in side.chosen for id in each.run.layouts)
    for id in ids:
        if not (first.knows(id) and other.knows(id)):
            left_out[id] = f"only {(first if first.knows(id) else other).name} knows it"
            continue
        for each in (*first.chosen, *other.chosen):
            if is_made_here(each.run.directory):
                trust_task(id)
        try:
            tasks.append(task_in_file(id))
        except UntrustedModule:
            raise
        except UnknownTask:
            left_out[id] = NO_ENVIRONMENT
    if not tasks:
        why = "; ".join(f"{id}: {reason}" for id, reason in left_out.items())
        raise ValueError(f"{first.name} and {other.name} have no task in common that can be played ({why})")
    return _Pair(tasks=tuple(tasks), left_out=left_out, notices=tuple(notices))


def _notices(first: Side, other: Side) -> list[str]:
    """What makes two sides act differently besides their weights."""
    one, two = first.chosen[0], other.chosen[0]
    if AGENT not in (one.policy, two.policy) or one.policy != two.policy:
        return []
    if not (differing := acting_differences(one, two)):
        return []
    return [f"{one.name} and {two.name} are played as their own settings say, which differ: {'; '.join(differing)}"]


def _scales(played: Played, tasks: Sequence[Task], data: Path) -> dict[str, TaskRecord]:
    """Of each task, a record whose `scale` is that of normalised scores."""
    found = {}
    for task in tasks:
        if ends := played.ends.get(task.id):
            seeds = range(len(ends["random"].returns))
            record = TaskRecord.of(task, seeds, ends)
            found[task.id] = replace(record, demonstrated=demonstrated_mean(task, data))
    return found


def _compared(
    first: Side,
    other: Side,
    pair: _Pair,
    played: Played,
    ends: Mapping[str, TaskRecord],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """One entry of `comparisons`."""
    failed = {each["task"] for each in played.failed}
    left_out = pair.left_out | {task.id: played.unplayed[task.id] for task in pair.tasks if task.id in played.unplayed}
    scores = [
        _scores(task, first, other, played, ends[task.id])
        for task in pair.tasks
        if task.id not in failed and task.id not in left_out
    ]
    names = {"first": first.name, "second": other.name}
    listed = [{"task": id, "reason": reason} for id, reason in left_out.items()]
    if not scores:
        if played.failed:
            raise ComparisonError({"failed": played.failed}) from played.error
        raise ValueError(
            f"{first.name} and {other.name} have no task that can be compared: "
            + "; ".join(f"{id}: {reason}" for id, reason in left_out.items())
        )
    found = compare_scores(scores, same=first.same_as(other), **options)
    found["headline"] = headline(found, first.name, other.name)
    if found["gate"]:
        found["gate"]["words"] = gate_words(found["gate"], found, first.name, other.name)
    return {**names, **found, "left_out": listed, "notices": list(pair.notices)}


def _scores(task: Task, first: Side, other: Side, played: Played, ends: TaskRecord) -> TaskScores:
    def of(side: Side) -> np.ndarray:
        return np.stack([played.agents[each.identity][task.id].scores(task.score) for each in side.chosen])

    everyone = [played.agents[each.identity][task.id] for side in (first, other) for each in side.chosen]
    everyone += ends.policies.values()
    return TaskScores(
        id=task.id,
        family=task.family,
        score=task.score,
        binary=task.score == "success" or all(map(_is_success, everyone)),
        first=of(first),
        second=of(other),
        scale=ends.scale(),
        seeds=tuple(seeds_of(first.chosen[0].config)),
    )


def _is_success(record: PolicyRecord) -> bool:
    """Whether returns say no more than success: 1.0 with it, else 0.0."""
    return record.successes is not None and all(map(float.__eq__, record.returns, map(float, record.successes)))


def _payload(
    sides: Sequence[Side], comparisons: Sequence[dict[str, Any]], played: Played, tasks: Sequence[Task]
) -> dict[str, Any]:
    settings = sides[0].chosen[0].config
    agents = {each.identity: each for side in sides for each in side.chosen}
    by_id = {task.id: task for task in tasks}
    return plain(
        {
            "schema": SCHEMA,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "episodes": settings.episodes,
            "seeds": seeds_of(settings),
            "sides": [
                {
                    "name": side.name,
                    "runs": [
                        {"run": each.name, "step": each.step, "training_seed": each.run.config.seed}
                        for each in side.chosen
                    ],
                    "settings": {name: cattrs.unstructure(getattr(side.chosen[0].config, name)) for name in ACTING},
                }
                for side in sides
            ],
            "comparisons": comparisons,
            "played_now": played.episodes,
            "notices": played.notices,
            "failed": played.failed,
            "episodes_of": [
                {"run": agents[identity].name, "step": agents[identity].step, "task": id, **_episodes(record)}
                for identity, records in played.agents.items()
                for id, record in records.items()
            ],
            "ends": {
                id: {name: _episodes(record) for name, record in found.items()} for id, found in played.ends.items()
            },
            "versions": versions_of(by_id.values()),
        }
    )


def _episodes(record: PolicyRecord) -> dict[str, Any]:
    return {"returns": record.returns, "successes": record.successes, "lengths": record.lengths}
