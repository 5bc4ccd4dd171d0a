"""What two agents' scores on the same episodes say: numbers, tests and verdicts, task by task and over all.

Verdicts: a task is "better" or "worse" where its test, corrected over the tasks of the comparison (Holm), is below 5%,
else "open"; "same" where both sides are one agent. Over all tasks, which is one question asked beforehand, it is the
95% interval that must not hold 0. Families have intervals and no verdict: they are not corrected for their number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from generalist.eval.report.page import number
from generalist.eval.report.statistics import Interval, Scale
from generalist.studies.paired import (
    Estimate,
    Pair,
    count_to_find,
    count_to_settle,
    estimate,
    holm,
    mcnemar,
    runs_to_settle,
    sign_flips,
)

LEVEL = 0.05
TESTS = {
    "mcnemar": "McNemar's exact test",
    "sign flips": "paired permutation test",
    "runs": "t over training runs and episodes",
    "same": "none: one agent",
}


@dataclass(frozen=True, kw_only=True)
class TaskScores:
    """One task, played by both sides on the same seeds.

    Args:
        score: which number it is, "return" or "success".
        binary: scores are 1.0 or 0.0: success, or a return that is nothing else.
        first, second: [runs, episodes]: the score of every episode.
        scale: of normalised scores.
        seeds: one per episode.
    """

    id: str
    family: str
    score: str
    binary: bool
    first: Float[np.ndarray, "K E"]
    second: Float[np.ndarray, "L E"]
    scale: Scale
    seeds: tuple[int, ...]

    @property
    def factor(self) -> float | None:
        """From a difference in the task's own unit to a normalised one."""
        return None if self.scale.problem else 1 / (self.scale.one - self.scale.zero)

    def pair(self, scale: float = 1.0) -> Pair:
        return Pair(first=self.first, second=self.second, success=self.binary, scale=scale)


def compare_scores(
    tasks: Sequence[TaskScores], *, same: bool = False, size: float = 0.05, fail_if_worse: float | None = None
) -> dict[str, Any]:
    """All numbers of one comparison, as they stand in compare.json under `comparisons`.

    Args:
        tasks: at least one.
        same: both sides are one agent, so that every difference is 0 whatever is played.
        size: the normalised difference of which is said how many episodes find it.
        fail_if_worse: see `gate`.

    Raises:
        ValueError: a gate was asked for, and no task has a normalised score.
    """
    pooled = max(max(len(task.first), len(task.second)) for task in tasks) > 1
    rows = [_task(task, same=same, pooled=pooled, size=size, among=len(tasks)) for task in tasks]
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
        row["verdict"] = "same" if same else _verdict(row["difference"], adjusted)
        row["words"] = _words(row, pooled)
    families = dict.fromkeys(task.family for task in tasks)
    overall = _group(tasks, same=same, pooled=pooled, size=size)
    return {
        "same": same,
        "pooled": pooled,
        "episodes": max(len(task.seeds) for task in tasks),
        "overall": overall,
        "families": {
            name: _group([task for task in tasks if task.family == name], same=same, pooled=pooled, size=size)
            for name in families
        },
        "counts": {name: sum(row["verdict"] == name for row in rows) for name in ("better", "worse", "open", "same")},
        "gate": None if fail_if_worse is None else gate(overall, fail_if_worse),
        "tasks": rows,
    }


def _task(task: TaskScores, *, same: bool, pooled: bool, size: float, among: int) -> dict[str, Any]:
    found, factor, count = estimate([task.pair()]), task.factor, len(task.seeds)
    unplanned = factor is None or pooled or same
    test = "same" if same else "runs" if pooled else "mcnemar" if task.binary else "sign flips"
    differences = task.pair().differences
    interval = _nothing() if same else found.interval()
    return {
        "id": task.id,
        "family": task.family,
        "score": task.score,
        "first": float(task.first.mean()),
        "second": float(task.second.mean()),
        "difference": interval.value,
        "ci95": [interval.low, interval.high],
        "normalized_first": None if factor is None else float(task.scale(float(task.first.mean()))),
        "normalized_second": None if factor is None else float(task.scale(float(task.second.mean()))),
        "normalized_difference": None if factor is None else interval.value * factor,
        "normalized_ci95": None if factor is None else [interval.low * factor, interval.high * factor],
        "undefined": task.scale.problem,
        "episodes": count,
        "second_ahead": int(np.sum(differences > 0)),
        "first_ahead": int(np.sum(differences < 0)),
        "level": int(np.sum(differences == 0)),
        "test": test,
        "p": _p(task, test, found),
        **_counts(found, task, same=same, among=among),
        "episodes_to_find": None
        if unplanned
        else count_to_find(
            size * abs(task.scale.one - task.scale.zero), found.variance, count, tests=among, exact=True
        ),
    }


def _nothing() -> Interval:
    return Interval(value=0.0, low=0.0, high=0.0)


def _p(task: TaskScores, test: str, found: Estimate) -> float:
    if test == "same":
        return 1.0
    if test == "runs":
        return found.p
    return mcnemar(task.first[0], task.second[0]) if test == "mcnemar" else sign_flips(task.pair().differences)


def _counts(found: Estimate, task: TaskScores, *, same: bool, among: int) -> dict[str, int | None]:
    """How many episodes, or where there are training runs how many of those on each side, would settle it."""
    runs = len(task.first), len(task.second)
    episodes = trained = None
    if not same and max(runs) > 1:
        trained = runs_to_settle(found.value, found.variance, runs, tests=among)
    elif not same:
        episodes = count_to_settle(found.value, found.variance, len(task.seeds), tests=among)
    return {"episodes_to_settle": episodes, "runs_to_settle": trained}


def _verdict(difference: float, p: float) -> str:
    return "open" if p >= LEVEL or not difference else "better" if difference > 0 else "worse"


def _group(tasks: Sequence[TaskScores], *, same: bool, pooled: bool, size: float) -> dict[str, Any]:
    """Mean normalised difference over the tasks that have one, each weighing the same."""
    scaled = [(task, factor) for task in tasks if (factor := task.factor) is not None]
    if not scaled:
        names = ("first", "second", "difference", "ci95", "p", "verdict")
        names = (*names, "episodes_to_settle", "runs_to_settle", "episodes_to_find")
        return {"tasks": 0} | dict.fromkeys(names)
    found = estimate([task.pair(factor) for task, factor in scaled])
    interval = _nothing() if same else found.interval()
    settled = not interval.low <= 0 <= interval.high
    counts = _counts(found, scaled[0][0], same=same or settled, among=1)
    now = min(len(task.seeds) for task, _ in scaled)
    return {
        "tasks": len(scaled),
        "first": float(np.mean([float(task.scale(float(task.first.mean()))) for task, _ in scaled])),
        "second": float(np.mean([float(task.scale(float(task.second.mean()))) for task, _ in scaled])),
        "difference": interval.value,
        "ci95": [interval.low, interval.high],
        "p": 1.0 if same else found.p,
        "verdict": "same" if same else "open" if not settled else "better" if interval.value > 0 else "worse",
        **counts,
        "episodes_to_find": None if pooled or same else count_to_find(size, found.variance, now),
    }


def gate(overall: Mapping[str, Any], allowed: float) -> dict[str, Any]:
    """Whether the second agent is worse than the first by more than `allowed`.

    It is (`failed`) when the upper end of the 95% interval of the overall difference, in normalised score, lies below
    -`allowed`: when chance alone would show this in at most 1 of 40 comparisons of agents that are `allowed` apart. An
    interval that reaches above it passes, so few episodes pass what many would not: `fails_below` is the difference
    that would have failed with an interval as wide as this one.

    Raises:
        ValueError: `allowed` is negative, or no task has a normalised score.
    """
    if not allowed >= 0:
        raise ValueError(f"--fail-if-worse is a fall of the normalised score that is allowed, 0 or more, got {allowed}")
    if overall["ci95"] is None:
        raise ValueError("--fail-if-worse needs normalised scores, and no task here has one: see `undefined`")
    high = overall["ci95"][1]
    return {
        "allowed": allowed,
        "failed": high < -allowed,
        "upper_end": high,
        "fails_below": -allowed - (high - overall["difference"]),
    }


def _words(row: Mapping[str, Any], pooled: bool) -> str:
    """The verdict on a task in words, in the task's own unit."""
    (low, high), value = row["ci95"], row["difference"]
    if row["verdict"] == "same":
        return "the same agent"
    ends = f"{number(min(abs(low), abs(high)))} to {number(max(abs(low), abs(high)))}"
    if low < 0 < high:  # the test may see what the interval does not
        ends = f"{number(low)} to {number(high)}"
    if row["verdict"] != "open":
        return f"{row['verdict']} by {number(abs(value))} ({ends})"
    if low > 0 or high < 0:
        how = "better" if low > 0 else "worse"
        said = f"open: {number(abs(value))} {how} ({ends}), which may be chance among so many tasks"
    elif low == high == 0:
        said = "open: no difference in any episode"
    else:
        said = f"open: between {number(-low)} worse and {number(high)} better"
    needed = row["runs_to_settle"] if pooled else row["episodes_to_settle"]
    return f"{said}; {needed:,} {'runs a side' if pooled else 'episodes'} would settle it" if needed else said


def headline(comparison: Mapping[str, Any], first: str, second: str) -> str:
    """One sentence about a comparison."""
    overall, counts = comparison["overall"], comparison["counts"]
    tasks = len(comparison["tasks"])
    many = f"{tasks} task{'s' if tasks != 1 else ''}, {comparison['episodes']} episodes each"
    if comparison["same"]:
        return f"{second} and {first} are the same agent, so nothing differs ({many})."
    by_task = ", ".join(f"{name} on {counts[name]}" for name in ("better", "worse", "open") if counts[name])
    if overall["ci95"] is None:
        return f"{second} beside {first}: {by_task} of {many}; no task has a normalised score."
    low, high = overall["ci95"]
    ends = f"{_signed(overall['difference'])} [{_signed(low)}, {_signed(high)}]"
    how = {"better": "is better than", "worse": "is worse than", "open": "cannot be told from"}[overall["verdict"]]
    return f"{second} {how} {first}: {ends} in mean normalised score; {by_task} of {many}."


def _signed(value: float) -> str:
    """Three decimals: differences are small."""
    said = number(value, 3)
    return f"+{said}" if value > 0 and said.strip("0.") else said


def gate_words(gate: Mapping[str, Any], comparison: Mapping[str, Any], first: str, second: str) -> str:
    """One line: what was asked, what was found, and, where it passed, what would have failed."""
    low, high = comparison["overall"]["ci95"]
    found = f"{_signed(comparison['overall']['difference'])}, 95% interval {_signed(low)} to {_signed(high)}"
    allowed = number(gate["allowed"], 3)
    if gate["failed"]:
        return f"{second} is worse than {first} by more than {allowed} in mean normalised score: {found}"
    return (
        f"{second} is not shown to be worse than {first} by more than {allowed}: {found}; "
        f"a difference below {number(gate['fails_below'], 3)} would have been"
    )
