"""The contents of compare.json as `generalist.compare` gives them: a dict that a notebook shows as tables."""

from html import escape
from typing import Any

from generalist.envs.html import html_grid


class ShownComparison(dict[str, Any]):
    """A dict like any other, with a look."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What IPython prints where it shows no tables."""
        printer.text(f"comparison of {len(self['comparisons']) + 1} sides")

    def _repr_html_(self) -> str:
        return "".join(map(_shown, self["comparisons"]))


def _shown(comparison: dict[str, Any]) -> str:
    """What is said of all tasks, and of each the difference of normalised scores with its interval and verdict."""
    rows = [
        (task["id"], _signed(task["normalized_difference"]), _interval(task["normalized_ci95"]), task["verdict"])
        for task in comparison["tasks"]
    ]
    title = f"{comparison['second']} against {comparison['first']}"
    heads = ("task", "difference", "95% interval", "verdict")
    return f"<p>{escape(comparison['headline'])}</p>{html_grid(title, heads, rows)}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.3f}"


def _interval(ends: list[float] | None) -> str:
    return f"{ends[0]:+.3f} to {ends[1]:+.3f}" if ends else ""
