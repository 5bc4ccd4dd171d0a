"""Series in time as documents: what is known, and what comes after it. Split by time.

Of each series the last fifth is the test split: what is to be forecast there lies in no training document, though what
is known may reach back before. Nothing is shuffled across that line.
"""

import csv
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from generalist.corpora.corpus import Measure, Split
from generalist.corpora.files import open_source
from generalist.corpora.packages import folder_of
from generalist.tokenizers.parts import Document
from generalist.tokenizers.series import Series

TEST_SHARE = 0.2


@dataclass(frozen=True, kw_only=True)
class Known:
    """A series that a package holds.

    Args:
        package, path: the file.
        column: name of the series in it; "" where each row is a year, with a column for each month after its number.
        period: numbers of a season; 1 for none.
        context, horizon: numbers that are known and that are asked for.
        said: what it is, with its source, for who reads this.
    """

    package: str
    path: str
    column: str
    period: int
    context: int
    horizon: int
    said: str


KNOWN = {
    "elnino": Known(
        package="statsmodels",
        path="datasets/elnino/elnino.csv",
        column="",
        period=12,
        context=72,
        horizon=12,
        said="sea surface temperature of the tropical Pacific by month, 1950 to 2010 (NOAA)",
    ),
    "sunspots": Known(
        package="statsmodels",
        path="datasets/sunspots/sunspots.csv",
        column="SUNACTIVITY",
        period=11,
        context=66,
        horizon=11,
        said="sunspots by year, 1700 to 2008 (NOAA)",
    ),
    "co2": Known(
        package="statsmodels",
        path="datasets/co2/co2.csv",
        column="co2",
        period=52,
        context=156,
        horizon=26,
        said="carbon dioxide over Mauna Loa by week, 1958 to 2001 (Scripps)",
    ),
    "sp500": Known(
        package="arch",
        path="data/sp500/sp500.csv.gz",
        column="Adj Close",
        period=5,
        context=80,
        horizon=10,
        said="the S&P 500 by trading day, 1999 to 2018",
    ),
    "wti": Known(
        package="arch",
        path="data/wti/wti.csv.gz",
        column="DCOILWTICO",
        period=5,
        context=80,
        horizon=10,
        said="the price of crude oil (WTI) by trading day, 1986 to 2019 (EIA)",
    ),
}
"""By name. Extra `series`."""

CONTEXT, HORIZON = 64, 16
"""Of a file's series."""


@dataclass(frozen=True, eq=False)
class SeriesCorpus:
    """Windows of one series, in their order.

    Args:
        values: float64[n], the whole series.
        period: numbers of a season; 1 for none.
        context, horizon: numbers of a window that are known and that are asked for.
        missing: numbers that lie on a line between others.
    """

    values: np.ndarray
    period: int
    context: int
    horizon: int
    split: Split
    missing: int = 0

    @property
    def measure(self) -> Measure:
        return "series"

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    @property
    def note(self) -> str:
        return f"{self.missing} numbers of the series are missing and lie on a line between others" * bool(self.missing)

    @cached_property
    def starts(self) -> range:
        """Where each window begins: of training at every number, of test so that nothing is asked for twice."""
        cut = self.cut
        if self.split == "train":
            return range(max(0, cut - self.context - self.horizon + 1))
        return range(cut - self.context, len(self.values) - self.context - self.horizon + 1, self.horizon)

    @property
    def cut(self) -> int:
        """The first number that is only in the test split."""
        return int(len(self.values) * (1 - TEST_SHARE))

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> Document:
        """(what is known, what comes after it)."""
        known, future = self.window(index)
        centre, scale = Series.units_of(known)
        return Series(known, centre, scale), Series(future, centre, scale)

    def window(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """float64[context] and float64[horizon]."""
        start = self.starts[index]
        middle = start + self.context
        return self.values[start:middle], self.values[middle : middle + self.horizon]

    def history(self, index: int) -> np.ndarray:
        """float64: all that lies before what is asked for, from the beginning of the series."""
        return self.values[: self.starts[index] + self.context]


def open_corpus(path: str, split: Split) -> SeriesCorpus:
    """The windows of a series of `KNOWN`, or of a file FILE.csv, or FILE.csv@PERIOD with the numbers of a season.

    A file has a row for each time, in its order, under a line of names; the last column is the series.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another split, no numbers, or too few for a window of each split.
        MissingExtra: without the extra `series`.
    """
    if split not in ("train", "test"):
        raise ValueError(f"series:{path} has the splits train and test, not {split}")
    known = KNOWN.get(path)
    if known is not None:
        file = folder_of(known.package, "series") / known.path
        found, period, context, horizon = read(file, known.column), known.period, known.context, known.horizon
    else:
        name, _, season = path.partition("@")
        if season and not (season.isdigit() and int(season) > 0):
            raise ValueError(f"series:{path}: after @ stands how many numbers a season has, got {season!r}")
        found, period, context, horizon = read(Path(name), None), int(season or 1), CONTEXT, HORIZON
    values, missing = _filled(found, path)
    corpus = SeriesCorpus(values, period, context, horizon, split, missing)
    if corpus.cut < context + horizon or not len(corpus):
        raise ValueError(
            f"series:{path} has {len(values)} numbers; windows of {context} and {horizon} of both splits need "
            f"{int(max((context + horizon) / (1 - TEST_SHARE), horizon / TEST_SHARE)) + 1}"
        )
    return corpus


def read(path: Path, column: str | None) -> np.ndarray:
    """float64[n] of a column of a CSV, NaN where it is empty; the last for None, all but the first by row for "".

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such column, or what is no number, with its line.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no series {path}; known are {', '.join(KNOWN)}, or give a file FILE.csv")
    with open_source(path).open() as file:
        text = file.read().decode("utf-8-sig", "replace")
    names, *rows = csv.reader(io.StringIO(text)) if text.strip() else [[]]
    if column == "":
        return np.asarray([_number(cell, path, row + 2) for row, cells in enumerate(rows) for cell in cells[1:]])
    if column is not None and column not in names:
        raise ValueError(f"{path} has the columns {', '.join(names)}, not {column}")
    at = len(names) - 1 if column is None else names.index(column)
    return np.asarray([_number(_cell(cells, at), path, row + 2) for row, cells in enumerate(rows) if cells])


def _cell(cells: list[str], at: int) -> str:
    return cells[at] if at < len(cells) else ""


def _number(cell: str, path: Path, line: int) -> float:
    if cell.strip() in ("", ".", "NA", "NaN", "nan"):
        return float("nan")
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"{path}:{line}: {cell!r} is no number") from None
    if not np.isfinite(value):
        raise ValueError(f"{path}:{line}: {cell!r} is not finite")
    return value


def _filled(values: np.ndarray, name: str) -> tuple[np.ndarray, int]:
    """Numbers on a line between those beside them where some are missing, and how many were."""
    there = np.isfinite(values)
    if not there.any():
        raise ValueError(f"series:{name} has no numbers")
    at = np.arange(len(values))
    return np.interp(at, at[there], values[there]), int((~there).sum())
