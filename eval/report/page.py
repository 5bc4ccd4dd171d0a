"""report.html: report.json as one page that needs no network, for a laptop and a phone, light and dark.

This file turns numbers into texts and positions in per cent; how they look is in report.html.jinja.
"""

import base64
import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

import markupsafe

from generalist.envs.files import write_atomically
from generalist.eval.config import SPECIALISTS
from generalist.eval.report.language_page import language_section
from generalist.eval.report.offline_page import offline_section, significant, significant_interval
from generalist.eval.report.profile import profile
from generalist.eval.report.templates import page_from
from generalist.play.films import Film
from generalist.tokenizers.printable import printable

NAMES = {
    "agent": "agent",
    "linear": "linear policy",
    "nearest_neighbour": "1-nearest neighbour",
    "mlp": "MLP of one task",
    "gru": "GRU of one task",
    "constant": "best constant action",
    "random": "random policy",
    "expert": "expert",
}
BASELINES = ("linear", "nearest_neighbour", "constant")
COLUMNS = {
    "random": "Random",
    "constant": "Constant",
    "linear": "Linear",
    "nearest_neighbour": "1-NN",
    "mlp": "MLP",
    "gru": "GRU",
    "agent": "Agent",
    "expert": "Expert",
}
"""Policies in the table of scores, with the heads of their columns; specialists only where they were measured."""
FAMILY_NAMES = {
    "classic_control": "Classic control",
    "toy_text": "Toy text",
    "mujoco": "MuJoCo",
    "babyai": "BabyAI",
    "metaworld": "Meta-World",
    "gym": "Gymnasium",
}
EN_DASH = "\N{EN DASH}"

FILM_BYTES = 5_200_000
"""All animations together; the largest beyond it are shown as still pictures. As text they are a third larger."""


def write_page(path: str | os.PathLike, payload: Mapping[str, Any], films: Sequence[Film] = ()) -> None:
    """Writes report.html, whole or not at all; arguments as for `render_page`."""
    write_atomically(path, render_page(payload, films).encode())


def render_page(payload: Mapping[str, Any], films: Sequence[Film] = ()) -> str:
    """The page as text; what environments and corpora put into it is made printable, see `tokenizers.printable`.

    Args:
        payload: of report.json, as `report.to_json` and `report.load_report` give it.
        films: in any order; those of tasks without one are simply not there.
    """
    filters = {"number": number, "seconds": duration, "interval": interval, "percent": percent}
    filters |= {"short": _short, "breakable": breakable}
    filters |= {"significant": significant, "significant_interval": significant_interval}
    there = [name for name in SPECIALISTS if name in payload["baselines"]]
    page = page_from(
        "report.html.jinja",
        filters,
        report=payload,
        names=NAMES,
        columns={name: head for name, head in COLUMNS.items() if name not in SPECIALISTS or name in there},
        marked=("agent", *there, *BASELINES),
        axis=(axis := Axis.around(payload)),
        verdict=verdict(payload, BASELINES),
        specialists=verdict(payload, there) if there else None,
        fitted=fitted_rows(payload),
        bars=[_track(axis, None, _policies(payload, None))],
        profile=profile(payload, ("random", *reversed(BASELINES), *there, "agent")),
        families=[_family(axis, payload, name) for name in payload["families"]],
        curves=loss_charts(payload["training"]),
        films=_films(payload, films),
        language=language_section(payload),
        offline=offline_section(payload),
        configuration=json.dumps(payload["configuration"], indent=2, ensure_ascii=False),
        family_name=family_name,
        episode_range=_episode_range(payload),
    )
    return printable(page)  # as a whole: escape sequences, and lone surrogates that no file could hold


class Axis:
    """The horizontal axis of normalised scores: 0 and 1 always inside, the agent's too, wild baselines at the edge."""

    def __init__(self, low: float, high: float):
        self.low, self.high = low, high
        self.ticks = [(tick, self.at(tick)) for tick in (0.0, 0.25, 0.5, 0.75, 1.0)]

    @classmethod
    def around(cls, payload: Mapping[str, Any]) -> "Axis":
        ends = [end for task in payload["tasks"] for end in task["normalized_ci95"] or ()]
        return cls(max(-0.5, min([-0.08, *ends]) - 0.02), min(1.5, max([1.08, *ends]) + 0.02))

    def at(self, value: float) -> float:
        """Position in per cent of the width, values outside at the edges."""
        return round(100 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0), 2)

    def outside(self, value: float) -> bool:
        return not self.low <= value <= self.high


def _policies(payload: Mapping[str, Any], family: str | None) -> dict[str, Mapping[str, Any]]:
    """Aggregates of every policy, overall or of one family."""
    everyone = {"agent": payload, **payload["baselines"]}
    return {
        name: found["overall"] if family is None else found["families"].get(family, {})
        for name, found in everyone.items()
    }


def _track(axis: Axis, label: str | None, policies: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Any]:
    """A row of the chart from each policy's `mean` and `mean_ci95` (normalised)."""
    marks = []
    for name in ("random", *reversed(BASELINES), *reversed(SPECIALISTS), "agent"):
        found = policies.get(name) or {}
        if (value := found.get("mean")) is None:
            continue
        low, high = found.get("mean_ci95") or (value, value)
        marks.append(
            {
                "policy": name,
                "value": value,
                "low": low,
                "high": high,
                "at": axis.at(value),
                "from": axis.at(low),
                "width": round(axis.at(high) - axis.at(low), 2),
                "outside": axis.outside(value),
                "text": f"{NAMES[name]} {number(value)} {interval([low, high])}",
            }
        )
    return {"label": label, "marks": marks, "agent": next((mark for mark in marks if mark["policy"] == "agent"), None)}


def _family(axis: Axis, payload: Mapping[str, Any], name: str) -> dict[str, Any]:
    tasks = [task for task in payload["tasks"] if task["family"] == name]
    return {
        "id": name,
        "name": family_name(name),
        "numbers": payload["families"][name],
        "track": _track(axis, family_name(name), _policies(payload, name)),
        "tasks": [{"track": _track(axis, _short(task["id"]), _normalized(task)), **task} for task in tasks],
    }


def _normalized(task: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        name: {"mean": task[name]["normalized"], "mean_ci95": task[name]["normalized_ci95"]}
        for name in ("agent", "random", *BASELINES, *SPECIALISTS)
        if task.get(name) is not None
    }


def _short(id: str) -> str:
    """The id without its family, which stands beside it: "push-v3" of "metaworld/push-v3"."""
    return id.rpartition("/")[2]


def family_name(name: str) -> str:
    return FAMILY_NAMES.get(name, name.replace("_", " "))


def verdict(payload: Mapping[str, Any], policies: Sequence[str]) -> dict[str, Any] | None:
    """The agent's overall mean against the best of these policies'; None where either is undefined."""
    agent = payload["overall"]["mean"]
    means = {name: payload["baselines"][name]["overall"]["mean"] for name in policies}
    known = {name: mean for name, mean in means.items() if mean is not None}
    if agent is None or not known:
        return None
    best = max(known, key=lambda name: known[name])
    ahead = [
        task["id"]
        for task in payload["tasks"]
        if task["agent"] and all(task["agent"]["mean"] > task[name]["mean"] for name in policies if task.get(name))
    ]
    level = [
        task["id"]
        for task in payload["tasks"]
        if task["agent"]
        and max((task[name]["mean"] for name in policies if task.get(name)), default=-math.inf) == task["agent"]["mean"]
    ]
    return {
        "policy": best,
        "name": NAMES[best],
        "mean": known[best],
        "ci95": payload["baselines"][best]["overall"]["mean_ci95"],
        "difference": agent - known[best],
        "ahead": len(ahead),
        "level": len(level),
        "behind": len(payload["tasks"]) - len(ahead) - len(level),
    }


def fitted_rows(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each fitted baseline learned from and cost, over all tasks; none of reports that do not say it."""
    rows = []
    for name in ("constant", "linear", "nearest_neighbour", *SPECIALISTS):
        found = [task[name] for task in payload["tasks"] if task.get(name) and "fitted_on_episodes" in task[name]]
        if not found:
            continue
        row = {"name": NAMES[name], "tasks": len(found)}
        for key in ("fitted_on_episodes", "fitted_on", "parameters", "fit_seconds"):
            values = [each[key] for each in found if key in each]
            row[key] = sum(values) if values else None
        rows.append(row)
    return rows


def loss_charts(training: Mapping[str, Any]) -> dict[str, Any] | None:
    """Polylines in a 100 x 100 box, all on one logarithmic axis; None if there are no curves.

    Each of the training and, where something was held out, of that.
    """
    sources = {id: curves for id, curves in training.get("sources", {}).items() if any(map(_drawn, curves["loss"]))}
    held_out = training.get("held_out") or {"steps": [], "loss": [], "sources": {}}
    drawn = [training.get("loss", []), *(curves["loss"] for curves in sources.values())]
    drawn += [held_out["loss"], *(curves["loss"] for curves in held_out["sources"].values())]
    known = [value for curve in drawn for value in curve if _drawn(value)]
    if not known:
        return None
    low, high = math.log10(min(known)), math.log10(max(known))
    low, high = (low, high) if high - low > 0.1 else (low - 0.05, high + 0.05)
    first = min([*training["steps"][:1], *held_out["steps"][:1]])
    last = max(training["steps"][-1], first + 1)

    def line(steps: Sequence[int], values: Sequence[float | None]) -> str:
        """A single point twice, so that it is drawn as a dot."""
        points = [
            f"{100 * (step - first) / (last - first):.1f},{100 * (high - math.log10(value)) / (high - low):.1f}"
            for step, value in zip(steps, values, strict=True)
            if _drawn(value)
        ]
        return " ".join(points * 2 if len(points) == 1 else points)

    decades = [(value, round(100 * (high - math.log10(value)) / (high - low), 1)) for value in _ticks(low, high)]
    return {
        "total": line(training["steps"], training["loss"]),
        "held_out": line(held_out["steps"], held_out["loss"]),
        "final": _last(training["loss"]),
        "final_held_out": _last(held_out["loss"]),
        "steps": training["steps"][-1],
        "speed": _last(training.get("tokens_per_second", [])),
        "ticks": decades,
        "sources": [
            {
                "id": id,
                "name": _short(id),
                "line": line(training["steps"], curves["loss"]),
                "loss": _last(curves["loss"]),
                "accuracy": _last(curves["accuracy"]),
                "held_out": _held_out_chart(held_out, id, line),
            }
            for id, curves in sources.items()
        ],
    }


def _held_out_chart(held_out: Mapping[str, Any], id: str, line: Callable[..., str]) -> dict[str, Any] | None:
    """Of one source; None where nothing of it is held out."""
    if (curves := held_out["sources"].get(id)) is None:
        return None
    last = {name: _last(curves[name]) for name in ("loss", "accuracy", "error_in_bins")}
    return last | {"line": line(held_out["steps"], curves["loss"])}


def _drawn(value: float | None) -> TypeGuard[float]:
    return value is not None and value > 0


def _last(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def _ticks(low: float, high: float) -> list[float]:
    """Round values between two powers of ten: 1-2-5 steps where there are few decades."""
    steps = (1, 2, 5) if high - low < 2.2 else (1,)
    found = [step * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for step in steps]
    return [value for value in found if low <= math.log10(value) <= high]


def _films(payload: Mapping[str, Any], films: Sequence[Film]) -> list[dict[str, Any]]:
    """Cards in the order of the tasks; the largest animations become stills when all are too large for a page."""
    by_task = {one.task_id: one for one in films}
    shown = [by_task[task["id"]] for task in payload["tasks"] if task["id"] in by_task]
    shown += [one for one in films if one.task_id not in {task["id"] for task in payload["tasks"]}]
    still: set[str] = set()
    for one in sorted(shown, key=lambda one: len(one.animation or b""), reverse=True):
        if sum(len(other.animation or b"") for other in shown if other.task_id not in still) <= FILM_BYTES:
            break
        still.add(one.task_id)
    families = {task["id"]: family_name(task["family"]) for task in payload["tasks"]}
    return [_film(one, families.get(one.task_id), one.task_id in still) for one in shown]


def _film(one: Film, family: str | None, only_still: bool) -> dict[str, Any]:
    animation = one.still if only_still else one.animation
    return {
        "id": one.task_id,
        "name": _short(one.task_id),
        "family": family,
        "animation": _data_uri(animation),
        "still": _data_uri(one.still),
        "only_still": only_still,
        "width": one.width,
        "height": one.height,
        "result": one.result,
        "reason": one.reason,
    }


def _data_uri(picture: bytes | None) -> str | None:
    return None if picture is None else "data:image/webp;base64," + base64.b64encode(picture).decode()


def _episode_range(payload: Mapping[str, Any]) -> str:
    counts = sorted({task["episodes"] for task in payload["tasks"]})
    return f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0] if counts else 0)


def number(value: float | None, digits: int | None = None) -> str:
    """A number for people: two decimals, fewer for large ones, a true minus sign, a dash for None."""
    if value is None:
        return EN_DASH
    if not math.isfinite(value):
        return str(value)
    value = round(value, 9)  # a mean of one value may differ from it in the last bit
    text = f"{value:,.{_digits(value) if digits is None else digits}f}"
    if not text.strip("-0."):
        text = text.removeprefix("-")
    return text.replace("-", "\N{MINUS SIGN}")


def _digits(value: float) -> int:
    return 2 if abs(value) < 99.995 else (1 if abs(value) < 999.95 else 0)


def interval(ends: Sequence[float] | None) -> str:
    """Two ends with as many decimals as the larger of them needs."""
    if ends is None:
        return ""
    digits = min(_digits(end) for end in ends)
    return f"[{number(ends[0], digits)}, {number(ends[1], digits)}]"


def breakable(name: str) -> markupsafe.Markup:
    """A name that may be broken between words (MountainCarContinuous) where the line is too short for it."""
    return markupsafe.Markup("<wbr>").join(re.split(r"(?<=[a-z])(?=[A-Z])", name))


def percent(value: float | None) -> str:
    return EN_DASH if value is None else f"{100 * value:.0f}%"


def duration(seconds: Any) -> str:
    """Seconds as 0.4 s, 12 s, 3 min 20 s, 2 h 05 min; anything that is no number as it is."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return str(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
