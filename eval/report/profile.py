"""Performance profiles (Agarwal et al. 2021): for every score, the share of tasks in which a policy reaches it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

FEWEST = 10
"""Tasks; of fewer the steps say less than the list of tasks does."""
RIGHT = 1.2
"""The highest score drawn; from 0 on."""


def profile(payload: Mapping[str, Any], policies: Sequence[str]) -> dict[str, Any] | None:
    """Polylines in a 100 x 100 box of the policies that were played, and the ticks of the axes; None for few tasks.

    Args:
        payload: of report.json.
        policies: in the order in which they are drawn, "agent" among them.
    """
    lines = {name: _steps(found) for name in policies if len(found := _scores(payload, name)) >= FEWEST}
    if "agent" not in lines:
        return None
    return {
        "lines": lines,
        "across": [(score, round(100 * score / RIGHT, 1)) for score in (0.0, 0.25, 0.5, 0.75, 1.0)],
        "up": [(share, round(100 * (1 - share), 1)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)],
        "tasks": len(_scores(payload, "agent")),
    }


def _scores(payload: Mapping[str, Any], policy: str) -> np.ndarray:
    tasks = [task[policy] for task in payload["tasks"] if task["undefined"] is None and task.get(policy)]
    return np.sort([task["normalized"] for task in tasks])


def _steps(scores: np.ndarray) -> str:
    """From the left: a step down at every task's score."""
    inside = np.clip(scores, 0.0, RIGHT)
    shares = 1 - np.arange(len(scores) + 1) / len(scores)
    corners = [(0.0, shares[0])]
    for at, score in enumerate(inside):
        corners += [(score, shares[at]), (score, shares[at + 1])]
    corners = [corner for corner in corners if corner[0] < RIGHT] + [(RIGHT, float(np.mean(scores >= RIGHT)))]
    return " ".join(f"{100 * x / RIGHT:.1f},{100 * (1 - y):.1f}" for x, y in corners)
