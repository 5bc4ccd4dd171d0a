"""Loss curves of a run, from its metrics.jsonl to the few points that the report keeps and draws."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

POINTS = 120


def read_metrics(path: str | os.PathLike) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl by step; [] if there is none.

    A run that was killed and resumed wrote some steps twice: the later line counts. A last line that was cut short by
    the kill is left out.

    Raises:
        ValueError: a line other than the last is not JSON, with its number.
    """
    if not Path(path).exists():
        return []
    lines = Path(path).read_text().splitlines()
    found: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as problem:
            if number == len(lines):
                break
            raise ValueError(
                f"{path}, line {number} is damaged ({problem}); restore it or delete that line"
            ) from problem
        if "step" in row and "loss" in row:
            found[int(row["step"])] = row
    return [found[step] for step in sorted(found)]


def summarize(metrics: Sequence[Mapping[str, Any]], *, points: int = POINTS) -> dict[str, Any]:
    """Curves of at most `points` points, each the mean of equally many consecutive lines.

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
