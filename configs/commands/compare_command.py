"""The command `generalist compare`: agents on the same episodes, as tables, compare.json and compare.html."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from generalist.configs.commands.task_commands import Flag, Sets, TaskIds, with_sets
from generalist.configs.commands.terminal import console, print_error, print_notice

FAILED = 1
"""Exit code where --fail-if-worse finds a run worse."""


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Are two runs different? The same episodes for each: paired differences, tests, compare.json and compare.html.

    RUN is a run directory, RUN@UPDATE or RUN@best another checkpoint of it than the newest, and RUN,RUN,RUN training
    seeds of one configuration, which stand on one side together. RUN:linear is what the run's evaluation has measured
    beside its agent: linear, nearest_neighbour, constant, mlp, gru, random, expert. More than two: each with the first.
    Episodes of finished evaluations are read, only what is missing is played. An export stands as its folder,
    pretrained:NAME or hf:USER/NAME[@REVISION]; its episodes are kept in the folder of the comparison.
    docs/comparing.md says what the numbers mean.
    """

    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN RUN...")] = ()
    """What is compared: the first, and one or more with it."""
    task: TaskIds = ()
    """Compare on these tasks instead of all that both sides know; give it again for more."""
    sets: Sets = ()
    """Compare on all tasks of this named set; give it again for more."""
    episodes: int | None = None
    """Episodes of each task; more than before plays only the new ones. Default: as the first run is evaluated."""
    difference: float = 0.05
    """A difference of normalised score, of which is said how many episodes would find it."""
    fail_if_worse: float | None = None
    """Exit with code 1 where a run is worse than the first by more than this in mean normalised score: where the upper
    end of the difference's 95% interval lies below minus this number."""
    data: Path | None = None
    """Folder of the demonstrations, for prompts; default: where each run found them."""
    out: Path = Path("comparison")
    """Folder of compare.json and compare.html."""
    ray: str = ""
    """Play on a Ray cluster: its HOST:PORT, `auto` for the one of this machine, `local` to start one here."""
    quiet: Flag = False
    """Show no progress."""

    def __call__(self) -> None:
        if not self.quiet:
            print_notice(f"comparing {' '.join(self.runs)}: loading")
        from generalist.studies.compare import ComparisonError, compare

        try:
            found = compare(
                *self.runs,
                tasks=with_sets(self.task, self.sets),
                episodes=self.episodes,
                difference=self.difference,
                fail_if_worse=self.fail_if_worse,
                data=self.data,
                out=self.out,
                ray=self.ray,
                quiet=self.quiet,
            )
        except ComparisonError as error:
            if "comparisons" in error.comparison:
                self._print(error.comparison)
            raise
        self._print(found)
        failed = [each["gate"]["words"] for each in found["comparisons"] if each["gate"] and each["gate"]["failed"]]
        for words in failed:
            print_error(words)
        if failed:
            raise SystemExit(FAILED)

    def _print(self, found: Mapping[str, Any]) -> None:
        out = console()
        print_comparison(found, out)
        where = f"report: {self.out / 'compare.html'}  numbers: {self.out / 'compare.json'}"
        out.print(f"\n{where}", markup=False, soft_wrap=True)


def print_comparison(found: Mapping[str, Any], out: Console) -> None:
    """Of each comparison a table, its headline and what there is to know; the numbers were computed elsewhere."""
    for one in found["comparisons"]:
        out.print(_table(one))
        for each in one["left_out"]:
            out.print(f"left out: {each['task']}: {each['reason']}", markup=False, soft_wrap=True)
        luck = "and the luck of training" if one["pooled"] else "not the luck of training"
        out.print(f"95% intervals cover the choice of episodes, {luck}", markup=False, highlight=False, soft_wrap=True)
        for notice in one["notices"]:
            out.print(notice, markup=False, highlight=False, soft_wrap=True)
        out.print(one["headline"], style="bold", markup=False, highlight=False, soft_wrap=True)
        if needed := _needed(one["overall"], found["difference_to_find"]):
            out.print(needed, markup=False, soft_wrap=True)
        if one["gate"] and not one["gate"]["failed"]:
            out.print(f"passed: {one['gate']['words']}", markup=False, highlight=False, soft_wrap=True)
    for notice in found["notices"]:
        out.print(notice, markup=False, soft_wrap=True)


def _table(one: Mapping[str, Any]) -> Table:
    from generalist.studies.compare_page import p_words  # here, so that help is quick

    rows = Table(title=escape(f"{one['second']} less {one['first']}"), title_justify="left")
    for name in ("task", "first", "second", "difference", "95% interval", "normalised", "p (Holm)", "verdict"):
        rows.add_column(name, justify="left" if name in ("task", "verdict") else "right")
    for task in one["tasks"]:
        rows.add_row(
            escape(task["id"]),
            *(_number(task[name]) for name in ("first", "second", "difference")),
            _interval(task["ci95"]),
            _number(task["normalized_difference"], 3),
            p_words(task["p_holm"]),
            escape(task["words"]),
        )
    rows.add_section()
    families = one["families"] if len(one["families"]) > 1 else {}
    for name, group in {**families, "all, normalised": one["overall"]}.items():
        if group["ci95"] is None:
            continue
        numbers = [_number(group[key], 3) for key in ("first", "second", "difference")]
        verdict = group["verdict"] if name not in families else ""
        rows.add_row(escape(name), *numbers, _interval(group["ci95"], 3), "", "", verdict)
    return rows


def _needed(overall: Mapping[str, Any], difference: float) -> str:
    """How many more would settle what is open, in words."""
    found = (
        (overall["episodes_to_settle"], "episodes a task would settle the overall difference"),
        (overall["runs_to_settle"], "training runs a side would settle the overall difference"),
        (overall["episodes_to_find"], f"episodes a task would find one of {difference:g} in 4 of 5 comparisons"),
    )
    return "; ".join(f"{count:,} {what}" for count, what in found if count)


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{round(value, 9):,.{digits}f}"


def _interval(ends: list[float] | None, digits: int = 2) -> str:
    return f"{_number(ends[0], digits)} to {_number(ends[1], digits)}" if ends else ""
