"""Charts of a study of adaptation: scores over demonstrations, a line with a band for each way."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from generalist.eval.report.page import interval, number
from generalist.studies.plots import Axis, Plot

LEVELS = (0.5, 0.8, 1.0)
MARKS = (-2.0, -1.5, -1.0, -0.5, 0.0, *LEVELS, 1.5, 2.0)
"""What an axis of normalised scores names, as far as it goes: the levels, 0 and 1 among them."""
WIDEST = 4.0
"""An axis that is longer than this has round values instead."""
Kind = Literal["score", "success", "raw"]
Y_NAMES: Mapping[Kind, str] = {
    "score": "normalised score: 0 random policy, 1 expert",
    "success": "success rate",
    "raw": "score, not normalised",
}
X_NAME = "demonstrations of each task (logarithmic)"


def normalised(task: Mapping[str, Any]) -> bool:
    """Whether 0 is random and 1 the expert on it, as `findings.scaled` does it."""
    return task["expert"] is not None and task["expert"] > task["random"]


def way_chart(
    study: Mapping[str, Any], kind: Literal["score", "success"], title: str, names: Mapping[str, str]
) -> Plot | None:
    """All tasks together, with bands; None where there is no such score, or a single number of demonstrations."""
    lines = {way["way"]: [point[kind] for point in way["points"]] for way in study["ways"]}
    if kind == "score" and not all(map(normalised, study["tasks"])):
        return _chart(study, lines, "raw", title, names, bands=True)
    return _chart(study, lines, kind, title, names, bands=True)


def task_chart(study: Mapping[str, Any], at: int, title: str, names: Mapping[str, str]) -> Plot | None:
    """One task, the intervals in the texts of its marks alone."""
    lines = {way["way"]: [point["score"]["tasks"][at] for point in way["points"]] for way in study["ways"]}
    kind = "score" if normalised(study["tasks"][at]) else "raw"
    chart = _chart(study, lines, kind, title, names, bands=False)
    if chart is not None:
        chart.legend.clear()  # that of all tasks stands above
    return chart


def _chart(
    study: Mapping[str, Any],
    lines: Mapping[str, Sequence[Mapping[str, Any] | None]],
    kind: Kind,
    title: str,
    names: Mapping[str, str],
    *,
    bands: bool,
) -> Plot | None:
    numbers = study["settings"]["numbers"]
    points = {way: [point for point in found if point is not None] for way, found in lines.items()}
    if len(numbers) < 2 or any(len(found) < len(numbers) for found in points.values()):
        return None
    ends = [end for found in points.values() for point in found for end in (*point["ci95"], point["value"])]
    y = _vertical(min(0.0, *ends), max(1.0, *ends), kind)
    plot = Plot(title, (X_NAME, Axis(numbers, log=True, marks=numbers)), (Y_NAMES[kind], y), _tick)
    for level in LEVELS if kind == "score" else ():
        plot.level(level)
    ordered = list(reversed(points))  # those that matter most come first, and are drawn last
    for way in ordered if bands else ():
        low, high = zip(*(point["ci95"] for point in points[way]), strict=True)
        plot.band(numbers, low, high, way)
    for way in ordered:
        plot.line(numbers, [point["value"] for point in points[way]], way)
        for count, point in zip(numbers, points[way], strict=True):
            said = f"{names[way]}, {count}: {number(point['value'])} {interval(point['ci95'])}"
            plot.shape(count, point["value"], way, said)
    for way in points:
        plot.name(way, names[way], "shape")
    return plot


def _vertical(low: float, high: float, kind: Kind) -> Axis:
    marks = MARKS if kind == "score" and high - low <= WIDEST else None
    return Axis([low, high], log=False, margin=0.04, marks=marks)


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")
