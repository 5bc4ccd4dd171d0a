"""Loss curves of a run, from the lines of its metrics.jsonl to the few points that the report keeps and draws."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

POINTS = 120


def summarize(metrics: Sequence[Mapping[str, Any]], *, points: int = POINTS) -> dict[str, Any]:
    """Curves of at most `points` points, each the mean of equally many consecutive lines of metrics.jsonl.

    Returns:
        {"steps": [P], "loss": [P], "tokens_per_second": [P], "sources": {id: {"loss": [P], "accuracy": [P],
        "tokens": total}}}; None where a source had no tokens in any line of a point. {} for no lines.
    """
    if not metrics:
        return {}
    groups = np.array_split(np.arange(len(metrics)), min(points, len(metrics)))
    sources = list(dict.fromkeys(id for row in metrics for id in row.get("sources", {})))

    def curve(values: Sequence[float | None]) -> list[float | None]:
        return [_mean([values[index] for index in group]) for group in groups]

    return {
        "steps": [int(metrics[group[-1]]["step"]) for group in groups],
        "loss": curve([row["loss"] for row in metrics]),
        "tokens_per_second": curve([row.get("tokens_per_second") for row in metrics]),
        "sources": {
            id: {name: curve([row.get("sources", {}).get(id, {}).get(name) for row in metrics]) for name in _CURVES}
            | {"tokens": sum(row.get("sources", {}).get(id, {}).get("tokens") or 0 for row in metrics)}
            for id in sources
        },
    }


_CURVES = ("loss", "accuracy")


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean of the finite values, None if there are none."""
    finite = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(finite)) if finite else None
