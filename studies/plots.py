"""Charts of the studies' pages: values to positions in a box of 100 x 100; how they look is in plots.html.jinja."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal


class Axis:
    """Values to positions from 0 to 100, logarithmic or linear, with a margin around what is shown.

    Ticks are round values, or those of `marks` that are inside and leave room for their texts.
    """

    def __init__(
        self, values: Sequence[float], *, log: bool, margin: float = 0.06, marks: Sequence[float] | None = None
    ):
        self._log, self._marks = log, marks
        low, high = (self._scaled(end) for end in (min(values), max(values)))
        room = (high - low) * margin or 0.05
        self.low, self.high = low - room, high + room

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self._log else value

    def at(self, value: float) -> float:
        return round(100 * (self._scaled(value) - self.low) / (self.high - self.low), 2)

    def inside(self, value: float) -> bool:
        return self.low <= self._scaled(value) <= self.high

    def ticks(self, text: Callable[[float], str], most: int = 6) -> list[tuple[str, float]]:
        """Round values inside, at most so many, as (text, position)."""
        if self._marks is not None:
            return [(text(value), self.at(value)) for value in self._apart(self._marks)]
        found = self._round_values()
        step = math.ceil(len(found) / most)
        return [(text(value), self.at(value)) for value in found[::step]]

    def _apart(self, marks: Sequence[float], gap: float = 8.0) -> list[float]:
        """From the last to the first, what is at least so far from the one before it."""
        found: list[float] = []
        for value in sorted(filter(self.inside, marks), reverse=True):
            if not found or self.at(found[-1]) - self.at(value) >= gap:
                found.append(value)
        return found[::-1]

    def _round_values(self) -> list[float]:
        if not self._log:
            return _linear(self.low, self.high)
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
            found = [step * 10.0**power for power in powers for step in steps]
            inside = [value for value in found if self.inside(value)]
            if len(inside) >= 3:
                return inside
        return _linear(10**self.low, 10**self.high)


def _linear(low: float, high: float) -> list[float]:
    step = 10.0 ** math.floor(math.log10((high - low) / 2))
    step = next(step * many for many in (1, 2, 5, 10) if (high - low) / (step * many) <= 5)
    first = math.ceil(low / step)
    return [round(count * step, 12) for count in range(first, math.floor(high / step) + 1)]


class Plot:
    """Dots, lines and bands in a box, with axes around all of them."""

    def __init__(
        self,
        title: str,
        x: tuple[str, Axis],
        y: tuple[str, Axis],
        y_text: Callable[[float], str] = "{:g}".format,
        x_text: Callable[[float], str] = "{:g}".format,
    ):
        self.title, self.x_name, self.y_name = title, x[0], y[0]
        self.x, self.y = x[1], y[1]
        self._x_text, self._y_text = x_text, y_text
        self.lines: list[dict[str, Any]] = []
        self.bands: list[dict[str, str]] = []
        self.dots: list[dict[str, Any]] = []
        self.shapes: list[dict[str, Any]] = []
        self.bars: list[dict[str, Any]] = []
        self.legend: list[dict[str, str]] = []
        self.levels: list[dict[str, Any]] = []

    @property
    def x_ticks(self) -> list[tuple[str, float]]:
        return self.x.ticks(self._x_text)

    @property
    def y_ticks(self) -> list[tuple[str, float]]:
        return [(text, 100 - at) for text, at in self.y.ticks(self._y_text)]

    def line(self, xs: Sequence[float], ys: Sequence[float], kind: str, label: str = "") -> None:
        self.lines.append({"points": self._points(xs, ys), "kind": kind})
        if label:
            self.legend.append({"kind": kind, "text": label, "mark": "line"})

    def band(self, xs: Sequence[float], low: Sequence[float], high: Sequence[float], kind: str = "") -> None:
        points = f"{self._points(xs, high)} {self._points(xs[::-1], low[::-1])}"
        self.bands.append({"points": points, "kind": kind})

    def dot(self, x: float, y: float, kind: str, text: str) -> None:
        self.dots.append(self._mark(x, y, kind, text))

    def shape(self, x: float, y: float, kind: str, text: str) -> None:
        """A dot with the shape that `kind` has in shapes.html.jinja."""
        self.shapes.append(self._mark(x, y, kind, text))

    def _mark(self, x: float, y: float, kind: str, text: str) -> dict[str, Any]:
        return {"x": self.x.at(x), "y": round(100 - self.y.at(y), 2), "kind": kind, "text": text}

    def bar(self, x: float, ends: Sequence[float], text: str) -> None:
        low, high = (round(100 - self.y.at(end), 2) for end in ends)
        self.bars.append({"x": self.x.at(x), "low": low, "high": high, "text": text})

    def level(self, y: float, text: str = "") -> None:
        self.levels.append({"at": round(100 - self.y.at(y), 2), "text": text})

    def name(self, kind: str, text: str, mark: Literal["dot", "line", "shape"] = "dot") -> None:
        self.legend.append({"kind": kind, "text": text, "mark": mark})

    def _points(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        return " ".join(f"{self.x.at(x):.2f},{100 - self.y.at(y):.2f}" for x, y in zip(xs, ys, strict=True))
