"""Put the scores of a report into a page of the documentation, and draw them.

    python docs/make_scores.py RUN/report.json docs/local.md [--picture docs/local.png]

In the page, what stands between `<!-- NAME -->` and `<!-- end -->` is replaced, for the names of `TABLES`.
"""

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from generalist.eval.report.page import NAMES, family_name
from generalist.eval.report.profile import profile
from generalist.eval.report.record import load_report, recompute

JAT = Path(__file__).parent / "jat_scores.json"
"""Random and expert means of tasks that JAT has too (huggingface/jat, `jat/eval/rl/scores_dict.json`, Apache 2.0)."""
POLICIES = ("agent", "mlp", "gru", "nearest_neighbour", "linear", "constant", "random")
COLOURS = {"agent": "#1a5fd0", "mlp": "#b0276b", "gru": "#6b6a12", "nearest_neighbour": "#0b7468", "linear": "#b4500b"}
COLOURS |= {"constant": "#7a3fb0", "random": "#8a929c"}


def measured(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The agent and the baselines that were played: `overall` and `families` of each."""
    everyone = {"agent": report, **report["baselines"]}
    return {name: everyone[name] for name in POLICIES if name in everyone and everyone[name]["overall"]["tasks"]}


def headline(report: Mapping[str, Any]) -> list[str]:
    head = ("", "mean over tasks", "over families", "median", "IQM", "tasks at 0.5", "at 0.8", "at 0.9")
    rows = []
    for name, found in measured(report).items():
        group = found["overall"]
        shares = [f"{100 * group[each]:.1f}%" for each in ("at_50", "at_80", "at_90")]
        cells = [with_interval(group, each) for each in ("mean", "domain_mean", "median", "iqm")]
        label = f"{NAMES[name]}{'' if name in ('agent', 'random', 'mlp', 'gru') else ', one per task'}"
        rows.append([f"**{label}**" if name == "agent" else label, *cells, *shares])
    return table(head, rows)


def families(report: Mapping[str, Any]) -> list[str]:
    found = measured(report)
    head = ("family", "tasks", *(NAMES[name] for name in found), "agent's success", "tasks at 0.5", "at 0.9")
    rows = []
    for family, ours in report["families"].items():
        if not ours["tasks"]:
            continue
        means = [with_interval(each["families"][family], "mean", name == "agent") for name, each in found.items()]
        success = "" if ours["success"] is None else f"{ours['success']:.2f}"
        shares = [f"{100 * ours[each]:.0f}%" for each in ("at_50", "at_90")]
        rows.append([family_name(family), str(ours["tasks"]), *means, success, *shares])
    return table(head, rows)


def tasks(report: Mapping[str, Any]) -> list[str]:
    found = measured(report)
    head = ("task", *(NAMES[name] for name in found if name != "random"), "episodes")
    rows = []
    for task in report["tasks"]:
        if task["undefined"]:
            continue
        beside = [task.get(name) or {} for name in found if name not in ("agent", "random")]
        cells = [number(each.get("normalized")) for each in beside]
        low, high = task["normalized_ci95"]
        rows.append(
            [task["id"], f"{number(task['normalized'])} [{low:.2f}, {high:.2f}]", *cells, str(task["episodes"])]
        )
    return table(head, rows)


def jat(report: Mapping[str, Any]) -> list[str]:
    """On the scale of JAT's own random and expert means, by its domains."""
    scales, by_domain = json.loads(JAT.read_text()), {}
    for task in report["tasks"]:
        if (scale := scales.get(task["id"])) and task["episodes"] > 1:
            returns = np.array(task["agent"]["returns"])
            normalised = (returns - scale["random"]) / (scale["expert"] - scale["random"])
            by_domain.setdefault(scale["name"].split("-")[0], []).append(normalised)
    rows = []
    for domain, each in by_domain.items():
        spread = np.sqrt(sum(one.var(ddof=1) / len(one) for one in each)) / len(each)
        mean = float(np.mean([one.mean() for one in each]))
        rows.append([domain, str(len(each)), f"{mean:.3f} [{mean - 1.96 * spread:.3f}, {mean + 1.96 * spread:.3f}]"])
    return table(("domain", "tasks", "on JAT's scale"), rows)


TABLES: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "headline": headline,
    "families": families,
    "tasks": tasks,
    "jat": jat,
}


def with_interval(group: Mapping[str, Any], name: str, interval: bool = True) -> str:
    if group.get(name) is None:
        return ""
    low, high = group[f"{name}_ci95"]
    return f"{group[name]:.3f} [{low:.3f}, {high:.3f}]" if interval else f"{group[name]:.3f}"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]


def filled(page: str, report: Mapping[str, Any]) -> str:
    for name, make in TABLES.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if pattern.search(page):
            made = "\n".join(make(report))
            page = pattern.sub(lambda found, made=made: f"{found[1]}\n{made}\n\n{found[2]}", page)
    return page


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Left: how many tasks reach a score. Right: the families' means, the agent as a bar with its interval.

    Of one family alone there is only the left.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = measured(report)
    names = [family for family, group in report["families"].items() if group["tasks"]]
    curves = profile(report, [name for name in reversed(POLICIES) if name in found])
    several = len(names) > 1
    sides = {"figsize": (11, 4.2), "width_ratios": (1.1, 1)} if several else {"figsize": (6.2, 4.2)}
    figure, both = plt.subplots(1, 1 + several, squeeze=False, layout="constrained", **sides)
    left = both[0, 0]
    for name, line in (curves or {"lines": {}})["lines"].items():
        points = np.array([[float(value) for value in point.split(",")] for point in line.split()])
        width = 2.6 if name == "agent" else 1.3
        left.plot(1.2 * points[:, 0] / 100, 100 - points[:, 1], color=COLOURS[name], lw=width, label=NAMES[name])
    left.set(
        xlabel="normalised score (0 random, 1 expert)", ylabel="tasks that reach it, %", xlim=(0, 1.2), ylim=(0, 101)
    )
    left.legend(
        reversed(left.get_legend_handles_labels()[0]), reversed(left.get_legend_handles_labels()[1]), fontsize=8
    )
    left.grid(color="#e2e4e7")
    if several:
        _draw_families(both[0, 1], report, found, names)
    for axes in both.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
    figure.savefig(path, dpi=110)


def _draw_families(right: Any, report: Mapping[str, Any], found: Mapping[str, Any], names: Sequence[str]) -> None:
    places = np.arange(len(names))[::-1]
    for name in reversed(found):
        groups = [found[name]["families"][family] for family in names]
        if name == "agent":
            ends = np.array([each["mean_ci95"] for each in groups])
            means = np.array([each["mean"] for each in groups])
            right.barh(places, means, color=COLOURS[name], alpha=0.35, height=0.62)
            right.errorbar(means, places, xerr=np.abs(ends.T - means), fmt="o", color=COLOURS[name], ms=5)
        elif name != "random":
            means = [each["mean"] for each in groups]
            right.plot(means, places, "D", mfc="none", color=COLOURS[name], ms=5)
    labels = [f"{family_name(family)} ({report['families'][family]['tasks']})" for family in names]
    right.set(yticks=places, yticklabels=labels, xlabel="mean normalised score", xlim=(-0.1, 1.15))
    right.axvline(1, color="#59626e", lw=0.8)
    right.grid(axis="x", color="#e2e4e7")


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("report", type=Path)
    options.add_argument("page", type=Path)
    options.add_argument("--picture", type=Path)
    given = options.parse_args()
    report = recompute(load_report(given.report))
    given.page.write_text(filled(given.page.read_text(), report))
    if given.picture:
        draw(report, given.picture)


if __name__ == "__main__":
    main()
