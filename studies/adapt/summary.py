"""adapt.json: every episode of a study of adaptation, and the numbers that follow from them.

    foundation, settings, versions  of what and how; `scratch` is the name of that way
    tasks[i]                        id, score ("success" or "return"), means of the random policy and the expert
    ways[i]                         way, kind ("adapted", "scratch", "plain"), and by number of demonstrations:
                                    points[j]: number, steps (chosen), score and success, each value, ci95 and of each
                                    task; above_scratch, paired, the same way; above_plain too, and the `way` it is
                                    paired with: the plain policy with the highest score at this number; cost in
                                    seconds and parameters of a plain policy (means over draws and tasks)
                                    needed[k]: level, value, ci95 (null: not reached) in normalised score
    sweep[i]                        way, number, seed, steps, score on the selection seeds, chosen
    lost                            number, old tasks and the score each has, before, and ways[i]: way, steps, after
                                    and the paired difference, with ci95 and of each task
    episodes[i]                     way, number, draw, steps and the episodes by task

Scores are normalised: 0 is the random policy, 1 the expert, each by its own episodes on the same seeds. `success` is
null where a task has none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from generalist.studies.adapt.findings import (
    Draws,
    Ends,
    difference,
    ends_of_success,
    needed_interval,
    scaled,
    scores,
    summary,
)
from generalist.studies.adapt.settings import SCRATCH, WAYS, Settings

LEVELS = (0.5, 0.8)
SUCCESS = (0.0, 1.0)

Row = Mapping[str, Any]


def summarise(
    described: Mapping[str, Any],
    settings: Settings,
    kinds: Mapping[str, str],
    ends: Mapping[str, Any],
    rows: Sequence[Row],
    sweep: Sequence[Row],
    lost: Mapping[str, Any],
) -> dict[str, Any]:
    """The payload of adapt.json.

    Args:
        described: what the study is of.
        kinds: of every task, "success" or "return".
        ends: by new task, episodes of the random policy and the expert.
        rows: way, number, draw, steps and `tasks`: by id, the episodes.
        sweep: what was tried to choose budgets.
        lost: `number`, `before` and `after`, or nothing.
    """
    tasks, limits = list(ends), ends_of_success(ends, kinds)
    draws = Draws(settings.demonstration_seeds, len(tasks), settings.episodes)
    ways = list(dict.fromkeys(row["way"] for row in rows))
    values = {
        (way, number): _stacked(rows, way, number, lambda row: scaled(row["tasks"], ends, kinds), tasks)
        for way in ways
        for number in settings.numbers
    }
    return {
        **described,
        "tasks": [_task(task, kinds[task], ends[task]) for task in tasks],
        "ways": [_way(way, rows, values, settings, draws, limits, tasks) for way in ways],
        "sweep": list(sweep),
        "lost": _lost(lost, kinds) if lost else None,
        "episodes": list(rows),
    }


def _task(task: str, kind: str, ends: Mapping[str, Any]) -> dict[str, Any]:
    means = {name: float(np.mean(scores(record, kind))) for name, record in ends.items()}
    return {"id": task, "score": kind, "random": means["random"], "expert": means.get("expert")}


def _stacked(rows: Sequence[Row], way: str, number: int, read: Any, tasks: Sequence[str]) -> np.ndarray:
    """Float[draws, tasks, episodes] of one way at one number."""
    mine = sorted((row for row in rows if (row["way"], row["number"]) == (way, number)), key=lambda row: row["draw"])
    return np.stack([np.stack([found[task] for task in tasks]) for found in map(read, mine)])


def _way(
    way: str,
    rows: Sequence[Row],
    values: Mapping[tuple[str, int], np.ndarray],
    settings: Settings,
    draws: Draws,
    limits: Ends,
    tasks: Sequence[str],
) -> dict[str, Any]:
    points, curves = [], []
    for number in settings.numbers:
        mine = [row for row in rows if (row["way"], row["number"]) == (way, number)]
        found = values[way, number]
        curves.append(draws.means(found))
        point = {"number": number, "steps": mine[0]["steps"], "score": summary(found, limits)}
        point["success"] = _success(mine, tasks)
        point["above_scratch"] = None if way == SCRATCH else difference(found, values[SCRATCH, number], limits)
        point["above_plain"] = None if way in settings.plain else _above_plain(found, values, number, settings, limits)
        points.append(point | _cost(mine))
    means = np.array([point["score"]["value"] for point in points])
    kind = "adapted" if way in WAYS else "scratch" if way == SCRATCH else "plain"
    needed = [needed_interval(settings.numbers, means, np.stack(curves, axis=1), level) for level in LEVELS]
    return {"way": way, "kind": kind, "points": points, "needed": needed}


def _above_plain(
    found: np.ndarray, values: Mapping[tuple[str, int], np.ndarray], number: int, settings: Settings, limits: Ends
) -> dict[str, Any] | None:
    """Against the plain policy with the highest score, which its own luck helped to choose; None without any."""
    if not settings.plain:
        return None
    best = max(settings.plain, key=lambda name: float(values[name, number].mean()))
    return {"way": best, **difference(found, values[best, number], limits)}


def _success(rows: Sequence[Row], tasks: Sequence[str]) -> dict[str, Any] | None:
    """Share of successful episodes; None where a task has no success."""
    told = [[row["tasks"][task]["successes"] for task in tasks] for row in sorted(rows, key=lambda row: row["draw"])]
    if any(each is None for row in told for each in row):
        return None
    return summary(np.asarray(told, np.float64), [SUCCESS] * len(tasks))


def _cost(rows: Sequence[Row]) -> dict[str, Any]:
    """Of a plain policy, its fit: means over draws and tasks."""
    records = [record for row in rows for record in row["tasks"].values() if "fit_seconds" in record]
    if not records:
        return {}
    names = {"seconds": "fit_seconds", "parameters": "parameters"}
    return {"cost": {name: float(np.mean([each[of] for each in records])) for name, of in names.items()}}


def _lost(lost: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    """Old tasks are scored by success or return as they are: there is no expert beside them."""
    old = list(lost["before"])
    before = np.stack([scores(lost["before"][task], kinds[task]) for task in old])[None]
    limits: Ends = [SUCCESS if kinds[task] == "success" else None for task in old]
    ways = []
    for row in lost["after"]:
        after = np.stack([scores(row["tasks"][task], kinds[task]) for task in old])[None]
        ways.append(
            {
                "way": row["way"],
                "steps": row["steps"],
                "after": summary(after, limits),
                "difference": difference(after, before, limits),
            }
        )
    return {
        "number": lost["number"],
        "tasks": old,
        "scores": [kinds[task] for task in old],
        "before": summary(before, limits),
        "ways": ways,
    }
