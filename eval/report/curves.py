"""Loss curves of a run, from the lines of its metrics.jsonl to the few points that the report keeps and draws."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

POINTS = 120
CURVES = ("loss", "accuracy")
HELD_OUT_CURVES = (*CURVES, "error_in_bins")


def summarize(metrics: Sequence[Mapping[str, Any]], *, points: int = POINTS) -> dict[str, Any]:
    """Curves of at most `points` points, each the mean of equally many consecutive lines of metrics.jsonl.

    Returns:
        {"steps": [P], "loss": [P], "tokens_per_second": [P], "sources": {id: {"loss": [P], "accuracy": [P],
        "tokens": total}}}; None where a source had no tokens in any line of a point. {} for no lines.
        "held_out" is the same of what was measured on held-out episodes: {} for nothing, else {"steps": [Q],
        "loss": [Q], "sources": {id: {"loss": [Q], "accuracy": [Q], "error_in_bins": [Q]}}}.
    """
    if not metrics:
        return {}
    evaluated = [{"step": line["step"], **line["held_out"]} for line in metrics if "held_out" in line]
    found = _curves(metrics, points, CURVES)
    for id, curves in found["sources"].items():
        curves["tokens"] = sum(row.get("sources", {}).get(id, {}).get("tokens") or 0 for row in metrics)
    speed = [_mean([metrics[at].get("tokens_per_second") for at in group]) for group in _groups(metrics, points)]
    held_out = _curves(evaluated, points, HELD_OUT_CURVES) if evaluated else {}
    return found | {"tokens_per_second": speed, "held_out": held_out}


def _groups(rows: Sequence[Mapping[str, Any]], points: int) -> list[np.ndarray]:
    """Indices of the rows of each point."""
    return np.array_split(np.arange(len(rows)), min(points, len(rows)))


def _curves(rows: Sequence[Mapping[str, Any]], points: int, names: Sequence[str]) -> dict[str, Any]:
    """`steps`, `loss` and, by source, the curves `names`."""
    groups = _groups(rows, points)
    sources = list(dict.fromkeys(id for row in rows for id in row.get("sources", {})))

    def curve(values: Sequence[float | None]) -> list[float | None]:
        return [_mean([values[index] for index in group]) for group in groups]

    return {
        "steps": [int(rows[group[-1]]["step"]) for group in groups],
        "loss": curve([row["loss"] for row in rows]),
        "sources": {
            id: {name: curve([row.get("sources", {}).get(id, {}).get(name) for row in rows]) for name in names}
            for id in sources
        },
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean of the finite values, None if there are none."""
    finite = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(finite)) if finite else None
