"""compare.html: compare.json as one page that needs no network; how it looks is in compare.html.jinja."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generalist.envs.files import write_atomically
from generalist.eval.report.page import breakable, family_name, interval, number
from generalist.eval.report.templates import page_from
from generalist.studies.comparison import TESTS
from generalist.tokenizers.printable import printable

HERE = Path(__file__).parent
MOST = 2.0
"""The axis ends here at the latest, in normalised score; what lies beyond stands at the edge."""


def write_page(path: Path, payload: Mapping[str, Any]) -> None:
    """Writes compare.html, whole or not at all."""
    write_atomically(path, render_page(payload).encode())


def render_page(payload: Mapping[str, Any]) -> str:
    """The page as text, from the payload of compare.json."""
    filters = {"number": number, "interval": interval, "breakable": breakable, "signed": signed, "p": p_words}
    filters["signed_interval"] = signed_interval
    page = page_from(
        "compare.html.jinja",
        filters,
        beside=HERE,
        payload=payload,
        comparisons=[_shown(each) for each in payload["comparisons"]],
        family_name=family_name,
        tests=TESTS,
    )
    return printable(page)


def _shown(comparison: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison with what its forest plot draws: rows from the best difference to the worst."""
    axis = Axis.around(comparison)
    drawn = [task for task in comparison["tasks"] if task["normalized_difference"] is not None]
    drawn.sort(key=lambda task: -task["normalized_difference"])
    overall = comparison["overall"]
    families = [(name, found) for name, found in comparison["families"].items() if found["ci95"] is not None]
    families.sort(key=lambda pair: -pair[1]["difference"])
    return {
        **comparison,
        "axis": axis,
        "top": axis.mark(overall["difference"], overall["ci95"]) if overall["ci95"] else None,
        "family_rows": [
            {"name": family_name(name), "tasks": found["tasks"], **axis.mark(found["difference"], found["ci95"])}
            for name, found in (families if len(families) > 1 else ())
        ],
        "rows": [{**task, **axis.mark(task["normalized_difference"], task["normalized_ci95"])} for task in drawn],
        "undrawn": [task for task in comparison["tasks"] if task["normalized_difference"] is None],
    }


class Axis:
    """The horizontal axis of differences in normalised score: as far to the left as to the right, 0 in the middle."""

    def __init__(self, end: float):
        self.end = end
        step = next((each for each in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if end / each <= 2.5), 1.0)
        count = int(end / step + 1e-9)
        self.ticks = [(tick * step, self.at(tick * step)) for tick in range(-count, count + 1)]
        self.labels = [self.ticks[0], self.ticks[count], self.ticks[-1]] if count else self.ticks

    @classmethod
    def around(cls, comparison: Mapping[str, Any]) -> "Axis":
        ends = [abs(end) for task in comparison["tasks"] for end in task["normalized_ci95"] or ()]
        ends += [abs(end) for end in comparison["overall"]["ci95"] or ()]
        return cls(min(MOST, max([0.02, *ends]) * 1.06))

    def at(self, value: float) -> float:
        """Position in per cent of the width, values outside at the edges."""
        return round(50 + 50 * min(max(value / self.end, -1.0), 1.0), 2)

    def mark(self, value: float, ends: tuple[float, float] | list[float]) -> dict[str, Any]:
        low, high = ends
        return {
            "value": value,
            "low": low,
            "high": high,
            "at": self.at(value),
            "from": self.at(low),
            "width": round(self.at(high) - self.at(low), 2),
            "outside": abs(value) > self.end,
        }


def signed(value: float | None, digits: int | None = None) -> str:
    """A difference: with its sign, three decimals where it is small."""
    if value is None:
        return number(None)
    digits = 3 if digits is None and abs(value) < 0.9995 else digits
    said = number(value, digits)
    return f"+{said}" if value > 0 and said.strip("0.,") else said


def signed_interval(ends: list[float] | None) -> str:
    return "" if ends is None else f"[{signed(ends[0])}, {signed(ends[1])}]"


def p_words(value: float) -> str:
    """A p that is not 0 however small it is."""
    return "< 0.001" if value < 0.001 else number(value, 3)
