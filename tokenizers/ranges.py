"""The ends between which values lie that have no useful bounds: found in the data, by a rule that outliers do not move.

Of each value, the middle is what lies between the 1% and the 99% quantile of a sample. A value takes its range from the
data where its space says nothing of its size (no bounds, one, or bounds beyond 1e9), and also where it does, if the
middle fills less than a 64th of the bins (or, for one that never changes, if half a bin is off by more than 1% of it or
of 1). The range then holds all values of the data, those left out that lie farther from the middle than four and a half
times its width; they are clipped, and counted. A margin of 5% on either side, within the space's bounds, leaves room
for values that were not in the data. A value that is the same in all the data has a range without width.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import numpy as np

from generalist.tokenizers.continuous import (
    NOISE,
    ContinuousField,
    ContinuousTokenizer,
    Range,
    RangeRule,
    refuse_nan,
)
from generalist.tokenizers.discrete import DiscreteField, as_numbers, is_free
from generalist.tokenizers.space import pick

QUANTILE = 0.01
"""Share of the sample on either side of the middle."""
REACH = 4.5
"""Values within so many widths of the middle are held by the range: so the middle has a tenth of the bins at least."""
MARGIN = 0.05
ROUNDING = 1e-6
"""So little beyond a bound, as a part of what lies between the bounds, is not counted as clipped."""
FEWEST = 1 / 64
"""Part of the bins that the middle must fill for bounds to be kept."""
STILL = 20.0
"""The same for a value that never changes: bounds at most this many times as wide as it, or as 1, are kept."""
SAMPLE_ROWS = (256, 65_536)
SAMPLE_VALUES = 1 << 23
"""A sample has so many rows, least and most, and so many values where that is between them."""


def check_paths(what: str, given: Iterable[str], boxes: Sequence[str], where: str) -> None:
    """Raises ValueError for statistics or ranges of what has none, with the nearest paths that have."""
    for path in given:
        if path not in boxes:
            near = get_close_matches(path, boxes) or boxes
            raise ValueError(f"{what} name {path!r}, which is no float Box of {where}; there are {near}")


def ranged_fields(
    observed: Iterable[object], acted: Iterable[object], bins: ContinuousTokenizer, rule: RangeRule
) -> tuple[ContinuousField, ...]:
    """Of the fields of an observation and an action, those that may have a range, whole numbers as if they had bins."""
    found: list[ContinuousField] = []
    for parts, action in ((observed, False), (acted, True)):
        for part in parts:
            if isinstance(part, ContinuousField):
                found.append(part)
            elif isinstance(part, DiscreteField) and rule == "data" and is_free(part.leaf.space):
                leaf = replace(part.leaf, space=as_numbers(part.leaf.space))
                found.append(ContinuousField(leaf, bins, action, rule, part.whole_range))
    return tuple(found)


def sample_rows(count: int) -> int:
    """Rows of a sample of arrays of `count` values."""
    least, most = SAMPLE_ROWS
    return int(np.clip(SAMPLE_VALUES // max(count, 1), least, most))


def find_range(part: ContinuousField, sample: np.ndarray, chunks: Iterable[np.ndarray]) -> Range | None:
    """The range that the data gives a field, None where its space's own rule holds for every value and clips none.

    Args:
        part: without a range.
        sample: [n, *shape] rows of the data, see `sample_rows`.
        chunks: all of the data, [n, *shape] each, read once and only where a range is needed. NaN are the caller's to
            refuse.
    """
    rows = _finite(sample, part.count)
    low, high = middle(rows)
    needed = _needs_range(part, low, high)
    first, last = _with_slack(part)
    beyond = (~needed & ((rows < first) | (rows > last))).any()
    if not (needed.any() or beyond):
        return None
    low, high = _changes(rows, low, high, needed)
    with np.errstate(over="ignore"):
        width = high - low
        low, high = (
            np.where(width > 0, end + step * REACH * width, step * np.inf) for end, step in ((low, -1), (high, 1))
        )
    fences = np.where(needed, low, first), np.where(needed, high, last)
    least, most, clipped, total = _reach(chunks, fences)
    ends = _with_margin(part, least, most)
    low, high = (tuple(float(x) if given else None for x, given in zip(end, needed, strict=True)) for end in ends)
    return Range(low, high, tuple(clipped.tolist()), total)


def _with_slack(part: ContinuousField) -> tuple[np.ndarray, np.ndarray]:
    """The ends of a field, with room for what rounding adds."""
    first, last = part.ends
    slack = 2 * ROUNDING * (last / 2 - first / 2)
    return first - slack, last + slack


def fit_ranges(parts: Iterable[ContinuousField], observations: Any, actions: Any) -> dict[str, Range]:
    """By path, the ranges that stacked values give these fields; see `generalist.tokenizers.layout.Layout.fitted`."""
    found = {}
    for part in parts:
        values = np.asarray(pick(actions if part.action else observations, part.leaf), np.float64)
        refuse_nan(values, part.leaf.path, infinite=part.action)
        rows = min(len(values), sample_rows(part.count))
        chosen = np.sort(np.random.default_rng(0).choice(len(values), rows, replace=False))
        found[part.leaf.path] = find_range(part, values[chosen], [values])
    return {path: each for path, each in found.items() if each is not None}


def _finite(values: np.ndarray, count: int) -> np.ndarray:
    """float64[n, count], what is infinite as NaN."""
    x = np.asarray(values, np.float64).reshape(len(values), count)
    return np.where(np.isfinite(x), x, np.nan)


def middle(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64[count] each: the outer quantiles of each value of rows [n, *shape]; 0 where nothing is finite."""
    rows = _finite(sample, int(np.prod(np.shape(sample)[1:], dtype=np.int64)))
    if not rows.size:
        return np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column of NaN
        low = np.nanquantile(rows, QUANTILE, axis=0, method="lower")
        high = np.nanquantile(rows, 1 - QUANTILE, axis=0, method="higher")
    return np.nan_to_num(low), np.nan_to_num(high)


def _needs_range(part: ContinuousField, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """bool[count]: values whose space's own rule does not do, by the middle of the data."""
    unknown = part.forms == ""
    if part.rule == "mu-law" or not part.count or unknown.all():
        return unknown & (part.rule == "data")
    first, last = part.ends
    within = np.clip(np.stack([low, high]), first, last)
    filled = _own_squash(part, within[1]) - _own_squash(part, within[0])
    magnitude = np.maximum(np.abs(low), np.abs(high))
    with np.errstate(over="ignore"):
        still = high - low <= NOISE * np.maximum(magnitude, 1.0)
    wide = (last / 2 - first / 2) / (STILL / 2) > np.maximum(magnitude, 1.0)
    few = np.where(still, wide & (part.forms == "bounds"), filled < 2 * FEWEST)
    return unknown | few


def _own_squash(part: ContinuousField, row: np.ndarray) -> np.ndarray:
    """One row of values in [-1, 1] by the space's own rule; values that it says nothing of are any number."""
    own = ContinuousField(part.leaf, part.tokenizer, part.action, part.rule)
    return own.scaled(row[None])[0]


def _changes(rows: np.ndarray, low: np.ndarray, high: np.ndarray, needed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middle; of a value that is nearly always the same, that of its changes and what it is else."""
    low, high = low.copy(), high.copy()
    for at in np.flatnonzero(needed & (low == high)):
        column = rows[:, at]
        others = column[np.isfinite(column) & (column != low[at])]
        if len(others):
            first, last = middle(others[:, None])
            low[at], high[at] = min(low[at], first[0]), max(high[at], last[0])
    return low, high


def _reach(
    chunks: Iterable[np.ndarray], fences: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Smallest and largest value between the fences, values beyond them, and rows; 0 where nothing is between them."""
    count = len(fences[0])
    least, most, clipped, total = np.full(count, np.inf), np.full(count, -np.inf), np.zeros(count, np.int64), 0
    for chunk in chunks:
        rows = np.asarray(chunk, np.float64).reshape(len(chunk), count)
        inside = np.isfinite(rows) & (rows >= fences[0]) & (rows <= fences[1])
        least = np.minimum(least, np.where(inside, rows, np.inf).min(axis=0, initial=np.inf))
        most = np.maximum(most, np.where(inside, rows, -np.inf).max(axis=0, initial=-np.inf))
        clipped += (~inside).sum(axis=0)
        total += len(rows)
    nothing = least > most
    return np.where(nothing, 0.0, least), np.where(nothing, 0.0, most), clipped, total


def _with_margin(part: ContinuousField, least: np.ndarray, most: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A little beyond the data, but not beyond the space, and finite."""
    low, high = part.bounds
    largest = float(np.finfo(np.float64).max)
    with np.errstate(over="ignore"):
        margin = MARGIN * 2 * (most / 2 - least / 2)
        first, last = (
            np.maximum(least - margin, np.minimum(low, least)),
            np.minimum(most + margin, np.maximum(high, most)),
        )
    return np.clip(first, -largest, largest), np.clip(last, -largest, largest)


@dataclass(frozen=True, kw_only=True)
class RangeRow:
    """The ends of some values of one array, for people.

    Args:
        path: of the array; `values` which of its values, in row-major order, as "0" or "2-5".
        form: "data", "bounds" or "mu-law", see `ContinuousField`; "" where the range is still to be found.
        clipped: of the data, `of` values together.
    """

    path: str
    values: str
    form: str
    low: float
    high: float
    clipped: int
    of: int

    def __str__(self) -> str:
        where = f"{self.path}[{self.values}]" if self.values else self.path
        told = self.form == "data" or self.clipped
        clipped = f", {self.clipped:,} of {self.of:,} beyond and clipped" if told else ""
        ends = f"{self.low:.4g} to {self.high:.4g}" if self.form else "to be found in the data"
        return f"{where}: {ends}{clipped}"


MOST_ROWS = 8
"""Of one array; with more, one row tells of all its values of one form."""


def range_rows(parts: Iterable[ContinuousField], forms: Sequence[str] = ("data", "")) -> list[RangeRow]:
    """Rows of the values that have one of these forms or are clipped, alike neighbours in one row."""
    found: list[RangeRow] = []
    for part in parts:
        rows = _rows(part, forms, alike=True)
        found += rows if len(rows) <= MOST_ROWS else _rows(part, forms, alike=False)
    return found


def _rows(part: ContinuousField, forms: Sequence[str], *, alike: bool) -> list[RangeRow]:
    low, high = part.ends
    clipped = np.asarray(part.range.clipped if part.range else np.zeros(part.count), np.int64)
    groups: list[list[int]] = []
    for at in range(part.count):
        same = groups and part.forms[groups[-1][-1]] == part.forms[at] and groups[-1][-1] == at - 1
        if same and (not alike or (low[at], high[at]) == (low[at - 1], high[at - 1])):
            groups[-1].append(at)
        else:
            groups.append([at])
    return [
        RangeRow(
            path=part.leaf.path,
            values="" if not part.leaf.space.shape else str(each[0]) if len(each) == 1 else f"{each[0]}-{each[-1]}",
            form=str(part.forms[each[0]]),
            low=float(low[each].min()),
            high=float(high[each].max()),
            clipped=int(clipped[each].sum()),
            of=(part.range.values if part.range else 0) * len(each),
        )
        for each in groups
        if part.forms[each[0]] in forms or clipped[each].any()
    ]
