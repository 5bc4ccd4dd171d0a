"""The model card of an export: README.md with the header that the Hugging Face Hub reads.

Made of what a run and its report say, without any path of this machine.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from generalist.envs.table import family_of
from generalist.eval.config import SPECIALISTS
from generalist.eval.report.page import BASELINES, FAMILY_NAMES, NAMES
from generalist.train.run import Run

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What the card says besides what the run's configuration and its report do.

    Args:
        name: of the export.
        step: the update whose checkpoint it is.
        parameters: their number.
        licence: identifier, as the Hub lists them.
        tokens: that it was trained on, padding not counted; None where that is not known.
        seconds: of training; None as before.
        foundation: name of the run that it began with; None of none.
        from_scratch: whether it has that run's statistics alone, and its parameters began anew.
        commands: lines of a shell that make it again; none where it follows no preset.
    """

    name: str
    step: int
    parameters: int
    licence: str
    tokens: int | None = None
    seconds: float | None = None
    foundation: str | None = None
    from_scratch: bool = False
    commands: tuple[str, ...] = field(default=())


def write_card(run: Run, facts: CardFacts, scores: Mapping[str, Any] | None) -> str:
    """The text of README.md.

    Args:
        scores: the contents of report.json; None where this checkpoint was not evaluated.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown, of a run of one's own
    )
    environment.filters |= {"quoted": lambda value: json.dumps(value), "number": lambda value: f"{value:,}"}
    tasks: dict[str, list[str]] = {}
    for task in run.layouts:
        tasks.setdefault(_family(family_of(task) or "others"), []).append(task)
    return environment.get_template("card.md.jinja").render(
        facts=facts,
        tasks=tasks,
        episodes=run.episodes,
        corpora=[each.corpus for each in run.config.documents],
        config=run.config,
        rows=[] if scores is None else _rows(scores),
        policies=[] if scores is None else [NAMES[name] for name in _measured(scores)],
        played=None if scores is None else _played(scores),
        families=sorted({family_of(task) or "others" for task in run.layouts}),
    )


def _family(name: str) -> str:
    return FAMILY_NAMES.get(name, name)


def _measured(scores: Mapping[str, Any]) -> list[str]:
    """Baselines of the report, those of the table."""
    return [name for name in (*BASELINES, *SPECIALISTS) if (scores["baselines"].get(name) or {}).get("overall")]


def _rows(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of all tasks together and of each family: tasks, score and interval of the agent, scores of the baselines."""
    found = []
    for family in ("overall", *scores["families"]):
        agent = scores["overall"] if family == "overall" else scores["families"][family]
        if agent["mean"] is None:
            continue
        others = []
        for name in _measured(scores):
            of = scores["baselines"][name]
            of = of["overall"] if family == "overall" else of["families"].get(family, {})
            others.append(_interval(of))
        row = {
            "id": "all" if family == "overall" else family,
            "family": "all" if family == "overall" else _family(family),
            "tasks": agent["tasks"],
        }
        found.append(row | {"value": round(agent["mean"], 4), "agent": _interval(agent), "others": others})
    return found


def _interval(of: Mapping[str, Any]) -> str:
    if of.get("mean") is None:
        return ""
    low, high = of["mean_ci95"]
    return f"{of['mean']:.2f} [{low:.2f}, {high:.2f}]"


def _played(scores: Mapping[str, Any]) -> dict[str, Any]:
    """How the scores were measured."""
    counts = sorted({task["episodes"] for task in scores["tasks"]})
    failed = [str(each.get("task")) for each in scores.get("failed", ())]
    packages = [f"{name} {version}" for name, version in scores["versions"].items()]
    return {"episodes": " or ".join(map(str, counts)), "failed": failed, "versions": packages}
