"""scale.html: scale.json as one page that needs no network; the look is that of all pages (`eval.report.templates`).

This file turns numbers into texts and charts (`generalist.studies.plots`); how they look is in scale.html.jinja.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from generalist.envs.files import write_atomically
from generalist.eval.report.offline_page import significant, significant_interval
from generalist.eval.report.page import duration, interval, number, percent
from generalist.eval.report.templates import page_from
from generalist.studies import plots
from generalist.studies.plots import Axis, Plot
from generalist.studies.scale.grid import tokens_text
from generalist.tokenizers.printable import printable

COLOURS = 6
"""That lines of a plot have before they begin again."""
MEANINGS = {
    "a": "best size N grows as C to the a",
    "b": "best tokens D grow as C to the b",
    "alpha": "how the loss falls with size",
    "beta": "how the loss falls with tokens",
    "E": "nats that no size and no tokens remove",
    "A": "weight of the size's term",
    "B": "weight of the tokens' term",
}
KINDS = {"score": "normalised score", "success": "success rate"}


def write_page(path: str | os.PathLike, record: Mapping[str, Any]) -> None:
    """Writes scale.html, whole or not at all, from the contents of scale.json."""
    write_atomically(path, render_page(record).encode())


def render_page(record: Mapping[str, Any]) -> str:
    """The page as text."""
    filters = {"number": number, "interval": interval, "percent": percent, "seconds": duration}
    filters |= {"significant": significant, "significant_interval": significant_interval, "tokens": tokens_text}
    page = page_from(
        "scale/scale.html.jinja",
        filters,
        beside=Path(plots.__file__).parent,
        study=record,
        meanings=MEANINGS,
        kinds=KINDS,
        plots=[compute_plot(record), size_plot(record), token_plot(record), residual_plot(record)],
        scores=[score_plot(record, kind) for kind in KINDS if record["scores"][kind]],
        configuration=json.dumps(record["configuration"], indent=2, ensure_ascii=False),
    )
    return printable(page)


def _plot(*args: Any) -> Plot:
    return Plot(*args, x_text=_short)


def compute_plot(record: Mapping[str, Any]) -> Plot:
    """Loss over compute 6 N D: the runs of each size, the frontier with its band, and the run beyond."""
    runs, curves, beyond = record["runs"], record["curves"], record["beyond"]
    last = [beyond["came"]] if beyond else []
    ends = [end for each in (beyond,) if each for end in each["prediction"]["loss"]["interval"]]
    x = Axis([run["compute"] for run in (*runs, *last)], log=True)
    y = Axis([*(run["loss"] for run in (*runs, *last)), *ends], log=True)
    plot = _plot("Loss against compute", ("compute C = 6 N D, FLOPs", x), ("held-out loss, nats", y))
    shown = [i for i, compute in enumerate(curves["compute"]) if x.inside(compute)]
    axis, middle, low, high = (
        [values[i] for i in shown]
        for values in (curves["compute"], *(curves["frontier"][name] for name in ("value", "low", "high")))
    )
    plot.band(axis, low, high)
    plot.line(axis, middle, "frontier", "lowest loss of each compute by the law, with 95% band")
    for kind, label, members in _groups(runs, "parameters", lambda run: _size_text(run)):
        for seed in sorted({run["seed"] for run in members}):
            ordered = sorted((run for run in members if run["seed"] == seed), key=lambda run: run["compute"])
            plot.line([run["compute"] for run in ordered], [run["loss"] for run in ordered], f"{kind} thin")
        for run in members:
            plot.dot(run["compute"], run["loss"], kind, _run_text(run))
        plot.name(kind, label)
    if beyond:
        _add_beyond(plot, beyond, beyond["came"]["compute"], "loss")
    return plot


def size_plot(record: Mapping[str, Any]) -> Plot:
    """Loss over parameters, a line of the law for each token count."""
    return _law_plot(record, "parameters", "asked_tokens", "Loss against size", "parameters N", _tokens_label)


def token_plot(record: Mapping[str, Any]) -> Plot:
    """Loss over tokens, a line of the law for each size."""
    return _law_plot(record, "tokens", "parameters", "Loss against tokens", "tokens read D", _size_text)


def _law_plot(
    record: Mapping[str, Any], along: str, by: str, title: str, name: str, label: Callable[[Mapping[str, Any]], str]
) -> Plot:
    runs, beyond = record["runs"], record["beyond"]
    last = [beyond["came"]] if beyond else []
    x = Axis([run[along] for run in (*runs, *last)], log=True)
    ends = [end for each in (beyond,) if each for end in each["prediction"]["loss"]["interval"]]
    y = Axis([*(run[which] for run in (*runs, *last) for which in ("loss", "law_loss")), *ends], log=True)
    plot = _plot(title, (name, x), ("held-out loss, nats", y))
    low, high = (10 ** (end + sign * 0.02 * (x.high - x.low)) for end, sign in ((x.low, 1), (x.high, -1)))
    axis = [low * (high / low) ** (i / 30) for i in range(31)]
    other = "tokens" if along == "parameters" else "parameters"
    for kind, text, members in _groups(runs, by, label):
        fixed = sum(run[other] for run in members) / len(members)
        losses = [_law(record, **{along: value, other: fixed}) for value in axis]
        shown = [(value, loss) for value, loss in zip(axis, losses, strict=True) if plot.y.inside(loss)]
        if shown:
            plot.line([value for value, _ in shown], [loss for _, loss in shown], kind)
        for run in members:
            plot.dot(run[along], run["loss"], kind, _run_text(run))
        plot.name(kind, text)
    if beyond:
        _add_beyond(plot, beyond, beyond["came"][along], "loss")
    return plot


def residual_plot(record: Mapping[str, Any]) -> Plot:
    """Measured over the law's loss, in per cent, of every run."""
    runs, beyond = record["runs"], record["beyond"]
    everyone = [*runs, *([beyond["came"]] if beyond else [])]
    off = {run["name"]: 100 * math.expm1(run["residual"]) for run in everyone}
    reach = max(1e-3, *(abs(value) for value in off.values()))
    x = Axis([run["compute"] for run in everyone], log=True)
    plot = _plot(
        "Residuals",
        ("compute C = 6 N D, FLOPs", x),
        ("measured above (+) or below the law, %", Axis([-reach, reach], log=False)),
        lambda value: f"{value:+g}" if value else "0",
    )
    plot.level(0.0)
    for kind, label, members in _groups(runs, "parameters", _size_text):
        for run in members:
            plot.dot(run["compute"], off[run["name"]], kind, f"{_run_text(run)}: {off[run['name']]:+.2f}%")
        plot.name(kind, label)
    if beyond:
        came = beyond["came"]
        plot.dot(came["compute"], off[came["name"]], "came", f"{_run_text(came)}: {off[came['name']]:+.2f}%")
        plot.name("came", "run beyond the grid")
    return plot


def score_plot(record: Mapping[str, Any], kind: str) -> Plot:
    """Score or success over loss, with the fitted curve, its band, and the best plain baseline."""
    runs, curves, beyond = record["runs"], record["curves"], record["beyond"]
    last = [beyond["came"]] if beyond else []
    x = Axis([run["loss"] for run in (*runs, *last)], log=False, margin=0.1)
    ends = [end for each in (beyond,) if each for end in each["prediction"].get(kind, {}).get("interval", ())]
    best = runs[0]["best_baseline"] if kind == "score" else None
    level = [best[1]] if best else []
    y = Axis([0.0, 1.0, *(run[kind] for run in (*runs, *last)), *ends, *level], log=False)
    plot = _plot(f"Loss to {KINDS[kind]}", ("held-out loss, nats", x), (KINDS[kind], y))
    shown = [i for i, loss in enumerate(curves["loss"]) if x.inside(loss)]
    axis, middle, low, high = (
        [values[i] for i in shown]
        for values in (curves["loss"], *(curves[kind][name] for name in ("value", "low", "high")))
    )
    plot.band(axis, low, high)
    plot.line(axis, middle, "frontier", "fitted curve, with 95% band")
    if best:
        plot.level(best[1], f"best plain baseline ({best[0].replace('_', ' ')})")
    for colour, label, members in _groups(runs, "parameters", _size_text):
        for run in members:
            plot.dot(run["loss"], run[kind], colour, f"{_run_text(run)}, {KINDS[kind]} {run[kind]:.3f}")
        plot.name(colour, label)
    if beyond and kind in beyond["prediction"]:
        _add_beyond(plot, beyond, beyond["came"]["loss"], kind)
    return plot


def _add_beyond(plot: Plot, beyond: Mapping[str, Any], x: float, kind: str) -> None:
    foretold, came = beyond["prediction"][kind], beyond["came"]
    ends = foretold["interval"]
    plot.bar(x, ends, f"foretold {foretold['value']:.4g} [{ends[0]:.4g}, {ends[1]:.4g}]")
    plot.dot(x, came[kind], "came", f"came: {_run_text(came)}")
    plot.name("came", "run beyond the grid, at the interval that was foretold")


def _groups(
    runs: Sequence[Mapping[str, Any]], by: str, label: Callable[[Mapping[str, Any]], str]
) -> list[tuple[str, str, list[Mapping[str, Any]]]]:
    """Runs by a field, ascending, each with its colour and label."""
    values = sorted({run[by] for run in runs})
    several = [[run for run in runs if run[by] == value] for value in values]
    return [(f"c{at % COLOURS}", label(members[0]), members) for at, members in enumerate(several)]


def _law(record: Mapping[str, Any], parameters: float, tokens: float) -> float:
    law = record["law"]
    value = {name: law["values"][name]["value"] for name in ("E", "alpha", "beta")}
    size = math.exp(law["log_A"] - value["alpha"] * math.log(parameters))
    return value["E"] + size + math.exp(law["log_B"] - value["beta"] * math.log(tokens))


def _short(value: float) -> str:
    if value >= 1e9:
        return f"{value:.0e}".replace("e+", "e")
    return tokens_text(value) if value >= 1000 else f"{value:g}"


def _size_text(run: Mapping[str, Any]) -> str:
    return f"{tokens_text(run['parameters'])} ({run['width']} wide, {run['layers']} layers)"


def _tokens_label(run: Mapping[str, Any]) -> str:
    return f"{tokens_text(run['asked_tokens'])} tokens"


def _run_text(run: Mapping[str, Any]) -> str:
    return f"{tokens_text(run['parameters'])} parameters, {tokens_text(run['tokens'])} tokens, loss {run['loss']:.4f}"
