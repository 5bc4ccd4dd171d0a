"""adapt.html: adapt.json as one page that needs no network; the look is that of all pages (`eval.report.templates`).

This file chooses what is said and turns it into texts; charts are in `generalist.studies.adapt.charts`, how all looks
is in adapt.html.jinja.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from generalist.envs.files import write_atomically
from generalist.eval.report.page import NAMES, breakable, duration, interval, number, percent
from generalist.eval.report.templates import page_from
from generalist.studies import plots
from generalist.studies.adapt.charts import normalised, task_chart, way_chart
from generalist.studies.adapt.settings import KEPT, SCRATCH
from generalist.studies.compare_page import signed, signed_interval
from generalist.tokenizers.printable import printable

HEADLINE = 10
"""The number of demonstrations in the headline, or the nearest that was studied, in ratio."""
WAY_NAMES = {
    "full": "adapted, all parameters",
    "lora": "adapted, LoRA",
    "head": "adapted, token table and norm",
    "embedding": "adapted, task embedding",
    SCRATCH: "same network from scratch",
}
RIVALS = {"above_scratch": "scratch", "above_plain": "the best plain policy"}
HARDEST = 8
"""Old tasks in the table of those that lost most."""
ML45_TEST = frozenset(
    f"metaworld/{name}-v3" for name in ("bin-picking", "box-close", "door-lock", "door-unlock", "hand-insert")
)
REGENT = {
    "1-nearest neighbour": (0.46, 0.55, 0.60, 0.67),
    "REGENT without fine-tuning": (0.61, 0.73, 0.79, 0.83),
    "REGENT fine-tuned": (0.63, 0.76, 0.85, 0.86),
}
"""Sridhar et al. 2025, Fig. 4, read off the plot: mean of the five tasks with 25, 50, 75 and 100 demonstrations."""


def write_page(path: str | os.PathLike, record: Mapping[str, Any]) -> None:
    """Writes adapt.html, whole or not at all, from the contents of adapt.json."""
    write_atomically(path, render_page(record).encode())


def render_page(record: Mapping[str, Any]) -> str:
    """The page as text."""
    names = way_names(record)
    filters = {"number": number, "interval": interval, "percent": percent, "seconds": duration, "signed": signed}
    filters |= {"signed_interval": signed_interval, "breakable": breakable, "words": listed, "verdict": verdict}
    filters |= {"needed": needed_text, "short": short, "begun": begun}
    tasks, ways = record["tasks"], {way["way"]: way for way in record["ways"]}
    page = page_from(
        "adapt/adapt.html.jinja",
        filters,
        beside=Path(plots.__file__).parent,
        study=record,
        names=names,
        headline=_headline(record),
        chart_of_score=way_chart(record, "score", "Score against demonstrations", names),
        chart_of_success=way_chart(record, "success", "Success against demonstrations", names),
        has_success=all(point["success"] for way in record["ways"] for point in way["points"]),
        task_charts=[task_chart(record, at, short(task["id"]), names) for at, task in enumerate(tasks)],
        task_bars=[_bars(record, record["settings"]["numbers"][0], at) for at in range(len(tasks))],
        adapted=[way for way in record["ways"] if way["kind"] == "adapted"],
        at_same=lambda name, at: ways[name]["points"][at]["score"]["value"],
        worse=[_worse(record, rival) for rival in RIVALS if _compared(record, rival)],
        raw=[task["id"] for task in tasks if not normalised(task)],
        costs=[way for way in record["ways"] if "cost" in way["points"][-1]],
        sweep=_sweep(record),
        fewest=min(record["there"].values()),
        most=max(record["there"].values()),
        lost=_lost(record),
        regent=REGENT if {task["id"] for task in tasks} == ML45_TEST else None,
        configuration=json.dumps(_configuration(record), indent=2, ensure_ascii=False),
    )
    return printable(page)


def way_names(record: Mapping[str, Any]) -> dict[str, str]:
    """Of every way, what the page calls it."""
    settings = record["settings"]
    kept = f"{WAY_NAMES['full']}, {percent(settings['keep'])} old data"
    return {**NAMES, **WAY_NAMES, KEPT: kept}


def short(task: str) -> str:
    """The id without its family: "push-v3" of "metaworld/push-v3"."""
    return task.rpartition("/")[2]


def begun(name: str) -> str:
    """As a sentence begins."""
    return name[:1].upper() + name[1:]


def verdict(found: Mapping[str, Any] | None) -> str:
    """A difference in a word: by its interval above 0, below, or neither."""
    if found is None:
        return ""
    low, high = (round(end, 6) for end in found["ci95"])  # an end at 0 may have come out a little beside it
    return "above" if low > 0 else "below" if high < 0 else "open"


def needed_text(found: Mapping[str, Any], smallest: int) -> dict[str, str]:
    """Demonstrations needed for a level, and the interval, none where it was never reached: None is not reached."""

    def said(value: float | None) -> str:
        if value is None:
            return "not reached"
        return f"\N{LESS-THAN OR EQUAL TO} {smallest}" if value <= smallest else number(value, 1 if value < 10 else 0)

    ends = found["ci95"]
    reached = any(end is not None for end in (found["value"], *ends))
    return {"value": said(found["value"]), "interval": f"[{', '.join(map(said, ends))}]" if reached else ""}


def listed(words: Sequence[Any]) -> str:
    """ "1, 5 and 10"."""
    said = [str(word) for word in words]
    return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)


def _headline(record: Mapping[str, Any]) -> dict[str, Any]:
    """At one number of demonstrations: the way that was named first, from scratch, and the best plain policy."""
    numbers = record["settings"]["numbers"]
    count = min(numbers, key=lambda each: abs(math.log(each / HEADLINE)))
    points = {way["way"]: _point(way, count) for way in record["ways"]}
    first = record["settings"]["ways"][0]
    plain = points[first]["above_plain"]
    return {
        "number": count,
        "way": first,
        "points": points,
        "plain": plain["way"] if plain else None,
        "bars": _bars(record, count),
        "sentences": [
            {"way": way["way"], "rival": said, "found": _by_verdict(way, rival)}
            for way in record["ways"]
            if way["kind"] == "adapted"
            for rival, said in RIVALS.items()
            if way["points"][0][rival]
        ],
        "needed": {way["way"]: way["needed"] for way in record["ways"] if way["way"] in (first, SCRATCH)},
    }


def _point(way: Mapping[str, Any], count: int) -> Mapping[str, Any]:
    return next(point for point in way["points"] if point["number"] == count)


def _by_verdict(way: Mapping[str, Any], rival: str) -> dict[str, list[int]]:
    """Numbers of demonstrations at which a way is above its rival, below, or neither."""
    found: dict[str, list[int]] = {"above": [], "open": [], "below": []}
    for point in way["points"]:
        found[verdict(point[rival])].append(point["number"])
    return found


def _bars(record: Mapping[str, Any], count: int, task: int | None = None) -> list[dict[str, Any]]:
    """A bar of each way at one number of demonstrations, of all tasks or of one; positions in per cent."""
    found = {}
    for way in record["ways"]:
        score = _point(way, count)["score"]
        found[way["way"]] = score if task is None else score["tasks"][task]
    most = max(1.0, *(end for score in found.values() for end in score["ci95"]))

    def at(value: float) -> float:
        return round(100 * min(max(value / most, 0.0), 1.0), 2)

    rows = []
    for name, score in found.items():
        low, high = map(at, score["ci95"])
        rows.append({"way": name, **score, "at": at(score["value"]), "from": low, "width": round(high - low, 2)})
    return rows


def _compared(record: Mapping[str, Any], rival: str) -> bool:
    return any(way["kind"] == "adapted" and way["points"][0][rival] for way in record["ways"])


def _worse(record: Mapping[str, Any], rival: str) -> dict[str, Any]:
    """Where adapting came out below a rival, its interval below 0: tasks, and all together; and never above it."""
    rows, count, ahead = [], 0, set()
    for way in (way for way in record["ways"] if way["kind"] == "adapted"):
        for point in way["points"]:
            difference = point[rival]
            named = [("all tasks", difference)]
            named += list(zip((task["id"] for task in record["tasks"]), difference["tasks"], strict=True))
            count += len(named)
            ahead |= {name for name, found in named if verdict(found) == "above"}
            for name, found in named:
                if verdict(found) == "below":
                    rows.append({"way": way["way"], "number": point["number"], "task": name, **_ends(found)})
    never = [task["id"] for task in record["tasks"] if task["id"] not in ahead]
    return {"rival": RIVALS[rival], "rows": rows, "count": count, "never": never}


def _ends(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": found["value"], "ci95": found["ci95"]}


def _sweep(record: Mapping[str, Any]) -> dict[str, Any]:
    """What every budget came to, by way and number; and where the largest was the best, so that more may be better."""
    rows: dict[tuple[str, int], dict[int, Mapping[str, Any]]] = {}
    ways = list(dict.fromkeys(row["way"] for row in record["sweep"]))
    for row in sorted(record["sweep"], key=lambda row: (ways.index(row["way"]), row["number"])):
        rows.setdefault((row["way"], row["number"]), {})[row["steps"]] = row
    largest = max(record["settings"]["steps"])
    at_end: dict[str, list[int]] = {}
    for row in record["sweep"]:
        if row["chosen"] and row["steps"] == largest:
            at_end.setdefault(row["way"], []).append(row["number"])
    several = len(record["settings"]["steps"]) > 1
    return {"rows": rows, "at_end": at_end if several else {}, "largest": largest}


def _lost(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The foundation's own tasks beside the new ones, and those that lost most in any way."""
    lost = record["lost"]
    if not lost:
        return None
    hardest, ways = [], {way["way"]: way for way in record["ways"]}
    for at, task in enumerate(lost["tasks"]):
        changes = [way["difference"]["tasks"][at] for way in lost["ways"]]
        afters = [way["after"]["tasks"][at] for way in lost["ways"]]
        row = {"id": task, "score": lost["scores"][at], "before": lost["before"]["tasks"][at]["value"]}
        pairs = list(zip(afters, changes, strict=True))
        hardest.append(row | {"ways": pairs, "most": min(change["value"] for change in changes)})
    hardest = sorted((row for row in hardest if row["most"] < 0), key=lambda row: row["most"])
    return {
        **lost,
        "ways": [way | {"new": _point(ways[way["way"]], lost["number"])["score"]} for way in lost["ways"]],
        "hardest": hardest[:HARDEST],
        "worse": len(hardest),
        "mixed": set(lost["scores"]) != {"success"},
    }


def _configuration(record: Mapping[str, Any]) -> dict[str, Any]:
    return {"foundation": record["foundation"], "settings": record["settings"]}
