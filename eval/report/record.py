"""report.json: every episode of an evaluation, and the numbers that follow from them.

A `Report` holds only what was measured. `to_json` adds means, intervals, normalised scores and aggregates, and
`from_json` drops them again, so `recompute(payload) == payload` holds for every report we wrote, from the file alone.

Schema 1, beside `name`, `created`, `configuration`, `versions`, `timings`, `training` and a checksum:

    overall, families[name]     of the agent: mean, median, iqm, domain_mean (of the families' means) and at_50, at_80,
                                at_90 (share of tasks), each with *_ci95, over `tasks` defined tasks; success
    baselines[policy]           overall and families, the same way
    above_constant              overall and families of the agent where zero is max(random, best constant)
    tasks[i]                    id, family, score, horizon, episodes, seeds, agreement; normalized, normalized_ci95,
                                normalized_above_constant, success (of the agent); undefined (reason or null); and one
                                object per policy of `POLICIES`, null where it was not run (no key for
                                `SPECIALISTS`):
                                mean, ci95, normalized, normalized_ci95, normalized_above_constant, success,
                                return_mean, returns, successes, lengths, seconds, and its own details (of what was
                                fitted: fitted_on steps of fitted_on_episodes, parameters, fit_seconds)
                                demonstrated (where the task has no expert): mean return of a given policy's
                                demonstrations, which is 1 in its normalised scores
    failed[i]                   (where there are any) a task that could not be played: task, part, error
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from generalist.envs.files import read_json, write_json
from generalist.envs.task import Task
from generalist.eval.config import SPECIALISTS
from generalist.eval.report.statistics import THRESHOLDS, Aggregate, Scale, aggregate, bootstrap_mean_ci, expert_scale
from generalist.play.rollout import EpisodeResult

SCHEMA = 1

POLICIES = ("random", "expert", "constant", "linear", "nearest_neighbour", *SPECIALISTS, "agent")

STATISTICS = ("mean", "median", "iqm", "domain_mean", *(f"at_{round(100 * each)}" for each in THRESHOLDS))
"""Over tasks; `at_50` is the share of them that have half of the expert's score or more."""
DERIVED = ("mean", "ci95", "normalized", "normalized_ci95", "normalized_above_constant", "success", "return_mean")
MEASURED = ("returns", "successes", "lengths", "seconds")


@dataclass(frozen=True, kw_only=True)
class PolicyRecord:
    """One policy on one task, per episode in the order of the task's seeds.

    `seconds` is the time of all episodes together. `details` are values of the policy's own (a constant's action, how
    many steps a baseline was fitted on); their names must not be among `DERIVED` and `MEASURED`.
    """

    returns: tuple[float, ...]
    successes: tuple[bool, ...] | None
    lengths: tuple[int, ...]
    seconds: float
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        counts = {len(self.returns), len(self.lengths), len(self.returns if self.successes is None else self.successes)}
        if len(counts) != 1 or not self.returns:
            raise ValueError(f"returns, successes and lengths need one value per episode, got {sorted(counts)} values")
        if taken := {*self.details} & {*DERIVED, *MEASURED}:
            raise ValueError(f"details use the reserved names {sorted(taken)}; rename them")

    @classmethod
    def of(cls, results: Sequence[EpisodeResult], **details: Any) -> "PolicyRecord":
        """The record of a rollout. NumPy values among `details` become plain ones."""
        told = [result.success for result in results]
        return cls(
            returns=tuple(float(result.episode_return) for result in results),
            successes=None if None in told else tuple(bool(success) for success in told),
            lengths=tuple(result.length for result in results),
            seconds=float(sum(result.seconds for result in results)),
            details={name: plain(value) for name, value in details.items()},
        )

    def scores(self, kind: str) -> np.ndarray:
        """The score of every episode [E]: its return, or 1.0 for success and 0.0 without."""
        if kind == "return":
            return np.array(self.returns, np.float64)
        if self.successes is None:
            raise ValueError("the score is 'success' but the episodes report none; score by 'return'")
        return np.array(self.successes, np.float64)


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """One task: its seeds, and the record of every policy that was run on them.

    `agreement` is the share of the expert's actions that the agent would have taken (see `evaluate.py`), or None.
    `demonstrated` is the mean return of the demonstrations of a policy that was given, where the task has no expert:
    it then stands for the expert's in normalised scores.
    """

    id: str
    family: str
    score: str
    horizon: int
    seeds: tuple[int, ...]
    policies: Mapping[str, PolicyRecord]
    agreement: float | None = None
    demonstrated: float | None = None

    def __post_init__(self):
        if unknown := {*self.policies} - {*POLICIES}:
            raise ValueError(f"{self.id}: unknown policies {sorted(unknown)}; the report knows {', '.join(POLICIES)}")
        for name, record in self.policies.items():
            if len(record.returns) != len(self.seeds):
                raise ValueError(f"{self.id}: {name} has {len(record.returns)} episodes for {len(self.seeds)} seeds")

    @classmethod
    def of(
        cls, task: Task, seeds: Sequence[int], policies: Mapping[str, PolicyRecord], *, agreement: float | None = None
    ) -> "TaskRecord":
        return cls(
            id=task.id,
            family=task.family,
            score=task.score,
            horizon=task.horizon,
            seeds=tuple(int(seed) for seed in seeds),
            policies=dict(policies),
            agreement=agreement,
        )

    def mean(self, policy: str) -> float | None:
        """Mean score of a policy, None if it was not run."""
        record = self.policies.get(policy)
        return None if record is None else float(record.scores(self.score).mean())

    def scale(self, *, above_constant: bool = False) -> Scale:
        """The scale of normalised scores, from this evaluation's own random and expert episodes."""
        constant = self.mean("constant") if above_constant else None
        expert = self.mean("expert")
        if expert is None and self.score == "return":
            expert = self.demonstrated
        return expert_scale(random=self.mean("random"), expert=expert, constant=constant)


LISTS = ("corpora", "alone", "offline", "failed")
"""Parts of a report that only some have: entries of `generalist.eval.language.corpus_record`, of
`generalist.eval.alone`, of `generalist.eval.offline`, and of `generalist.eval.failures` (task, part, error)."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole evaluation. The mappings must be JSON: plain values, no NaN."""

    name: str
    created: str
    tasks: tuple[TaskRecord, ...]
    configuration: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    corpora: tuple[Mapping[str, Any], ...] = ()
    alone: tuple[Mapping[str, Any], ...] = ()
    offline: tuple[Mapping[str, Any], ...] = ()
    failed: tuple[Mapping[str, Any], ...] = ()


def to_json(report: Report) -> dict[str, Any]:
    """The payload of report.json, derived numbers included."""
    measured = [
        name for name in POLICIES if name not in SPECIALISTS or any(name in one.policies for one in report.tasks)
    ]
    others = [name for name in measured if name not in ("agent", "expert")]
    return {
        "schema": SCHEMA,
        "name": report.name,
        "created": report.created,
        **_aggregates(report.tasks, "agent"),
        "baselines": {name: _aggregates(report.tasks, name) for name in others},
        "above_constant": _aggregates(report.tasks, "agent", above_constant=True),
        "tasks": [task_to_json(task) for task in report.tasks],
        "training": plain(report.training),
        "configuration": plain(report.configuration),
        "versions": plain(report.versions),
        "timings": plain(report.timings),
        **{name: [plain(each) for each in found] for name in LISTS if (found := getattr(report, name))},
    }


def from_json(payload: Mapping[str, Any]) -> Report:
    """The measurements inside a payload.

    Raises:
        ValueError: another schema, or a payload that is no report.
    """
    if payload.get("schema") != SCHEMA:
        raise ValueError(f"report of schema {payload.get('schema')!r}, this version reads {SCHEMA}; evaluate again")
    return Report(
        name=payload["name"],
        created=payload["created"],
        tasks=tuple(task_from_json(task) for task in payload["tasks"]),
        **{name: tuple(payload.get(name, ())) for name in LISTS},
        **{name: payload[name] for name in ("configuration", "versions", "timings", "training")},
    )


def recompute(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The same payload with every derived number computed anew from its episodes."""
    return to_json(from_json(payload))


def task_to_json(task: TaskRecord) -> dict[str, Any]:
    """One entry of `tasks`; alone it serves to keep finished tasks of an interrupted evaluation."""
    scale, above = task.scale(), task.scale(above_constant=True)
    there = [name for name in POLICIES if name not in SPECIALISTS or name in task.policies]
    policies = {name: _policy_to_json(task, task.policies.get(name), scale, above) for name in there}
    agent = policies["agent"] or {}
    return {
        "id": task.id,
        "family": task.family,
        "score": task.score,
        "horizon": task.horizon,
        "episodes": len(task.seeds),
        "seeds": list(task.seeds),
        "normalized": agent.get("normalized"),
        "normalized_ci95": agent.get("normalized_ci95"),
        "normalized_above_constant": agent.get("normalized_above_constant"),
        "success": agent.get("success"),
        "agreement": task.agreement,
        "undefined": scale.problem,
        **({} if task.demonstrated is None else {"demonstrated": task.demonstrated}),
        **policies,
    }


def task_from_json(entry: Mapping[str, Any]) -> TaskRecord:
    """The record inside one entry of `tasks`."""
    return TaskRecord(
        id=entry["id"],
        family=entry["family"],
        score=entry["score"],
        horizon=entry["horizon"],
        seeds=tuple(entry["seeds"]),
        policies={name: _policy_from_json(entry[name]) for name in POLICIES if entry.get(name) is not None},
        agreement=entry["agreement"],
        demonstrated=entry.get("demonstrated"),
    )


def _policy_to_json(task: TaskRecord, record: PolicyRecord | None, scale: Scale, above: Scale) -> dict | None:
    if record is None:
        return None
    interval = bootstrap_mean_ci(record.scores(task.score))
    defined = scale.problem is None
    return {
        "mean": interval.value,
        "ci95": [interval.low, interval.high],
        "normalized": float(scale(interval.value)) if defined else None,
        "normalized_ci95": [float(scale(interval.low)), float(scale(interval.high))] if defined else None,
        "normalized_above_constant": float(above(interval.value)) if above.problem is None else None,
        "success": None if record.successes is None else float(np.mean(record.successes)),
        "return_mean": float(np.mean(record.returns)),
        "returns": list(record.returns),
        "successes": None if record.successes is None else list(record.successes),
        "lengths": list(record.lengths),
        "seconds": record.seconds,
        **record.details,
    }


def _policy_from_json(entry: Mapping[str, Any]) -> PolicyRecord:
    return PolicyRecord(
        returns=tuple(entry["returns"]),
        successes=None if entry["successes"] is None else tuple(entry["successes"]),
        lengths=tuple(entry["lengths"]),
        seconds=entry["seconds"],
        details={name: value for name, value in entry.items() if name not in (*DERIVED, *MEASURED)},
    )


def _aggregates(tasks: Sequence[TaskRecord], policy: str, *, above_constant: bool = False) -> dict[str, Any]:
    """`overall` and `families` of one policy."""
    families = list(dict.fromkeys(task.family for task in tasks))
    inside = {name: [task for task in tasks if task.family == name] for name in families}
    return {
        "overall": _aggregate(tasks, policy, above_constant),
        "families": {name: _aggregate(members, policy, above_constant) for name, members in inside.items()},
    }


def _aggregate(tasks: Sequence[TaskRecord], policy: str, above_constant: bool) -> dict[str, Any]:
    played = [(task, task.policies[policy]) for task in tasks if policy in task.policies]
    scaled = [(task.scale(above_constant=above_constant), record.scores(task.score)) for task, record in played]
    defined = [at for at, (scale, _) in enumerate(scaled) if scale.problem is None]
    episodes = [np.asarray(scaled[at][0](scaled[at][1])) for at in defined]
    found = aggregate(episodes, [played[at][0].family for at in defined])
    successes = [np.mean(record.successes) for _, record in played if record.successes is not None]
    return {**_statistics(found), "success": float(np.mean(successes)) if successes else None}


def _statistics(found: Aggregate | None) -> dict[str, Any]:
    if found is None:
        return {"tasks": 0} | {key: None for name in STATISTICS for key in (name, f"{name}_ci95")}
    each = (found.mean, found.median, found.iqm, found.domain_mean, *found.at_least.values())
    intervals = dict(zip(STATISTICS, each, strict=True))
    return {
        "tasks": found.tasks,
        **{name: interval.value for name, interval in intervals.items()},
        **{f"{name}_ci95": [interval.low, interval.high] for name, interval in intervals.items()},
    }


def plain(value: Any) -> Any:
    """NumPy values, tuples and mappings as JSON's own kinds; infinities and NaN as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


def write_report(path: str | os.PathLike, report: Report) -> dict[str, Any]:
    """Writes report.json whole or not at all, and returns its payload."""
    payload = to_json(report)
    write_json(path, payload)
    return payload


def load_report(path: str | os.PathLike) -> dict[str, Any]:
    """The payload of a report.json.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, or of another schema.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no {path}; evaluate a run first")
    payload = read_json(Path(path), "", "restore it from a copy, or evaluate again")
    if not isinstance(payload, dict) or payload.get("schema") != SCHEMA:
        found = payload.get("schema") if isinstance(payload, dict) else None
        raise ValueError(f"{path} has schema {found!r}, this version reads {SCHEMA}; evaluate again")
    return payload
