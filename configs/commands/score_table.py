"""The scores of an evaluation as the tables that `generalist eval` prints: the report in short, computed elsewhere."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from generalist.eval.report.language_page import SPLITS, score_rows
from generalist.eval.report.offline_page import PLAIN, significant
from generalist.eval.report.profile import FEWEST

BASELINES = {"linear": "linear", "nearest_neighbour": "1-NN", "constant": "constant"}
"""Policies beside the agent, with the heads of their columns."""

SPECIALISTS = {"mlp": "MLP", "gru": "GRU"}
"""The same of those that are measured when they are asked for."""

SHOWN = 16
"""Dimensions of an action that the terminal shows of a task."""

MOST_TASKS = 10
"""Of more tasks the terminal shows no dimensions."""

MOST_ROWS = 60
"""Of more tasks it shows the families alone."""

LEFT = ("task", "policy", "unit", "corpus", "split", "measure", "dimension")
"""Columns of words."""


def print_scores(report: Mapping[str, Any], out: Console) -> None:
    """Print normalised scores of the tasks that have one, mean scores in their own unit of those that have none, and
    the scores of language and vision where any were measured.
    """
    tasks = report["tasks"]
    normalized = [task for task in tasks if task["normalized"] is not None]
    others = [task for task in tasks if task["normalized"] is None]
    if normalized:
        out.print(_normalized_table(report, normalized))
        if len(normalized) >= FEWEST:
            _print_shares(report, out)
    for task in normalized:
        if "demonstrated" in task:
            mean = _number(task["demonstrated"])
            out.print(f"{task['id']} has no expert: 1 is the mean return of its demonstrations, {mean}", soft_wrap=True)
    if others:
        out.print(_own_unit_table(others))
    if offline := report.get("offline"):
        _print_offline(offline, out)
    if corpora := report.get("corpora"):
        out.print(_language_table(corpora))
    for other in report.get("alone", ()):
        ours, alone = report["overall"], other["overall"]
        out.print(
            f"control: {_number(ours['mean'])} ({_interval(ours['mean_ci95'])}); trained on control alone "
            f"({other['run']}): {_number(alone['mean'])} ({_interval(alone['mean_ci95'])})",
            highlight=False,
        )


def _beside_it(tasks: list[Mapping[str, Any]]) -> dict[str, str]:
    """The policies that these tasks were played by beside the agent."""
    return BASELINES | {name: head for name, head in SPECIALISTS.items() if any(task.get(name) for task in tasks)}


def _normalized_table(report: Mapping[str, Any], tasks: list[Mapping[str, Any]]) -> Table:
    others = _beside_it(tasks)
    heads = ("task", "score", "95% interval", "success", *others.values(), "episodes")
    rows = _table("expert-normalised scores (0 random, 1 expert)", heads)
    for task in tasks if len(tasks) <= MOST_ROWS else ():
        rows.add_row(
            task["id"],
            _number(task["normalized"]),
            _interval(task["normalized_ci95"]),
            _number(task["success"]),
            *(_number((task.get(name) or {}).get("normalized")) for name in others),
            str(task["episodes"]),
        )
    rows.add_section()
    baselines = report["baselines"]
    groups = {**report["families"], "overall": report["overall"]}
    for name, group in groups.items():
        if group["mean"] is None:
            continue
        beside = [
            baselines[key]["overall"] if name == "overall" else baselines[key]["families"][name] for key in others
        ]
        rows.add_row(
            name,
            _number(group["mean"]),
            _interval(group["mean_ci95"]),
            _number(group["success"]),
            *(_number(other["mean"]) for other in beside),
        )
    return rows


def _print_shares(report: Mapping[str, Any], out: Console) -> None:
    """How many tasks reach how much, of the agent and of each baseline."""
    heads = ("policy", "mean", "95% interval", "over families", "median", "IQM", "at 0.5", "at 0.8", "at 0.9")
    rows = _table(f"{report['overall']['tasks']} tasks; the last columns are shares of them that reach a score", heads)
    everyone = {"agent": report, **{name: report["baselines"].get(name) for name in _beside_it(report["tasks"])}}
    for name, found in everyone.items():
        if found is None or (group := found["overall"])["mean"] is None:
            continue
        rows.add_row(
            {**BASELINES, **SPECIALISTS}.get(name, name),
            _number(group["mean"]),
            _interval(group["mean_ci95"]),
            *(_number(group[each]) for each in ("domain_mean", "median", "iqm")),
            *(f"{100 * group[each]:.0f}%" for each in ("at_50", "at_80", "at_90")),
        )
    out.print(rows)
    if len(report["tasks"]) > MOST_ROWS:
        out.print("every task is in report.html", markup=False)


def _own_unit_table(tasks: list[Mapping[str, Any]]) -> Table:
    others = _beside_it(tasks)
    rows = _table(
        "mean scores, not normalised: that needs an expert better than the random policy",
        ("task", "unit", "agent", "95% interval", "random", *others.values(), "episodes"),
    )
    for task in tasks:
        agent = task["agent"] or {}
        rows.add_row(
            task["id"],
            task["score"],
            _number(agent.get("mean")),
            _interval(agent.get("ci95")),
            *(_number((task.get(name) or {}).get("mean")) for name in ("random", *others)),
            str(task["episodes"]),
        )
    return rows


def _print_offline(entries: list[Mapping[str, Any]], out: Console) -> None:
    """Errors on demonstrations, of the whole action and of each of its dimensions."""
    heads = ("task", "agent", "95% interval", *(BASELINES[name] for name in PLAIN), "episodes", "held-out loss")
    rows = _table("measured offline: errors relative to the best constant", heads)
    for entry in entries:
        relative = entry["relative"]
        seen = entry["measured_in_training"]
        rows.add_row(
            escape(entry["id"]),
            *(_error(relative.get("agent")), _ends(relative.get("agent"))),
            *(_error(relative.get(name)) for name in PLAIN),
            f"{entry['episodes']}{'' if entry['held_out'] else ' (trained on)'}",
            f"{seen['loss']:.3f}" if seen else "",
        )
    out.print(rows)
    heads = ("task", "dimension", "measure", "agent", "95% interval", *(BASELINES[name] for name in PLAIN), "spread")
    rows = _table("of each dimension: mean absolute error, or share of other choices", heads)
    for entry in entries:
        for one in entry["dimensions"][:SHOWN]:
            found = one["policies"]
            rows.add_row(
                escape(entry["id"]),
                *(escape(one["name"]), "error" if one["kind"] == "error" else "other choice"),
                *(_error(found["agent"]), _ends(found["agent"])),
                *(_error(found[name]) for name in PLAIN),
                significant(one["spread"]),
            )
    if len(entries) > MOST_TASKS:
        out.print("every dimension of their actions is in report.html", markup=False)
    elif rows.row_count:
        out.print(rows)
    for entry in entries:
        if len(entry["dimensions"]) > SHOWN and len(entries) <= MOST_TASKS:
            left = len(entry["dimensions"]) - SHOWN
            out.print(f"{entry['id']}: {left} more dimensions are in report.json", markup=False)
        if not entry["held_out"]:
            out.print(f"{entry['id']}: nothing was held out, these are errors on what it was trained on", markup=False)


def _error(found: Mapping[str, Any] | None) -> str:
    return significant(found["value"]) if found else ""


def _ends(found: Mapping[str, Any] | None) -> str:
    return " to ".join(map(significant, found["ci95"])) if found and found["ci95"] else ""


def _language_table(corpora: list[Mapping[str, Any]]) -> Table:
    heads = ("corpus", "split", "measure", "agent", "95% interval", "baselines", "documents")
    rows = _table("language and vision, beside plain baselines on the same documents", heads)
    for entry in corpora:
        for row in score_rows(entry):
            agent = row["agent"] or {}
            rows.add_row(
                row["corpus"],
                row["split"],
                row["score"],
                _number(agent.get("value")),
                _interval(agent.get("ci95")),
                "\n".join(f"{name} {_number(value)}" for name, value in _beside(row)) or "none",
                str(row["documents"]),
            )
        if not entry["documents"]:
            rows.add_row(entry["corpus"], SPLITS[entry["split"]], "no document could be measured", "", "", "", "0")
    return rows


def _beside(row: Mapping[str, Any]) -> list[tuple[str, float]]:
    """What stands beside the agent: baselines, and the same model trained on this part alone."""
    alone = [("this part alone", row["alone"]["value"])] if row["alone"] else []
    return [(one["name"], one["value"]) for one in row["baselines"]] + alone


def _table(title: str, heads: tuple[str, ...]) -> Table:
    rows = Table(title=title, title_justify="left")
    for name in heads:
        rows.add_column(name, justify="left" if name in LEFT else "right")
    return rows


def _number(value: float | None) -> str:
    return "" if value is None else f"{round(value, 9):,.2f}"  # a mean of one may differ from it in the last bit


def _interval(ends: list[float] | None) -> str:
    return f"{_number(ends[0])} to {_number(ends[1])}" if ends else ""
