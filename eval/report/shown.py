"""The contents of report.json as `generalist.evaluate` gives them: a dict that a notebook shows as tables."""

from collections.abc import Mapping
from typing import Any

from generalist.envs.html import html_grid
from generalist.eval.report.language_page import score_rows
from generalist.eval.report.page import NAMES

MOST_TASKS = 60
"""Of more tasks the policies are shown alone."""
BESIDE = ("linear", "nearest_neighbour", "mlp", "gru", "constant")
"""Policies whose scores stand beside the agent's, where they were played."""


class ShownReport(dict[str, Any]):
    """A dict like any other, with a look."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What IPython prints where it shows no tables."""
        printer.text(f"report of {len(self['tasks'])} tasks")

    def _repr_html_(self) -> str:
        everyone = {"agent": self, **{name: self["baselines"][name] for name in BESIDE if name in self["baselines"]}}
        groups = {name: found["overall"] for name, found in everyone.items()}
        played = {name: group for name, group in groups.items() if group["mean"] is not None}
        heads = ("policy", "mean", "95% interval", "median", "IQM", "tasks at 0.5", "at 0.9")
        rows = [
            (
                NAMES[name],
                _number(group["mean"]),
                _interval(group["mean_ci95"]),
                *(_number(group[each]) for each in ("median", "iqm")),
                *(f"{100 * group[each]:.0f}%" for each in ("at_50", "at_90")),
            )
            for name, group in played.items()
        ]
        tables = [html_grid("Expert-normalised scores: 0 random, 1 expert", heads, rows)] if rows else []
        if 0 < len(self["tasks"]) <= MOST_TASKS:
            tables.append(self._tasks([name for name in BESIDE if name in played]))
        if corpora := self.get("corpora"):
            tables.append(_corpora([row for entry in corpora for row in score_rows(entry)]))
        return "".join(tables) or "<p>nothing was measured</p>"

    def _tasks(self, beside: list[str]) -> str:
        heads = ("task", "score", "95% interval", "success", *(NAMES[name] for name in beside), "episodes")
        rows = [
            (
                task["id"],
                *(_number(task["normalized"]), _interval(task["normalized_ci95"]), _number(task["success"])),
                *(_number(_normalized(task, name)) for name in beside),
                task["episodes"],
            )
            for task in self["tasks"]
        ]
        return html_grid("Each task", heads, rows)


def _corpora(rows: list[dict[str, Any]]) -> str:
    heads = ("corpus", "split", "measure", "agent", "95% interval", "beside it", "documents")
    shown = [
        (
            *(row["corpus"], row["split"], row["score"]),
            *((_number(row["agent"]["value"]), _interval(row["agent"]["ci95"])) if row["agent"] else ("", "")),
            ", ".join(f"{one['name']} {one['value']:.3f}" for one in row["baselines"]),
            row["documents"],
        )
        for row in rows
    ]
    return html_grid("Texts and pictures, beside plain baselines on the same documents", heads, shown)


def _normalized(task: Mapping[str, Any], policy: str) -> float | None:
    return (task.get(policy) or {}).get("normalized")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(ends: list[float] | None) -> str:
    return f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else ""
