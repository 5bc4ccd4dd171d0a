"""Continuous values as 1024 uniform bins of mu-law companded numbers, and as normalised vectors.

Reed et al. 2022, sec. 2.1 and appendix B: F(x) = sgn(x) log(|x| mu + 1) / log(M mu + 1), mu = 100, M = 256, clipped to
[-1, 1], then 1024 uniform bins. The paper compands "if not already in [-1, 1]" in one place and always in another; here
bounded actions never are, and observations where their bounds lie within +-256. F saturates beyond, so other values lie
evenly between their bounds or, where those say nothing of their size, between ends found in the data: a `Range`, which
`generalist.tokenizers.ranges` finds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from generalist.tokenizers.space import Leaf

MU, M = 100.0, 256.0
LARGEST = 1e30
"""Vector inputs beyond this are clipped, so that no arithmetic overflows."""
LARGEST_SCORE = 1e6
"""Normalised vector values beyond this are clipped; F(1e6) = 1.82 is the largest entry of a vector."""
SMALLEST_STD, NOISE = 1e-6, 1e-9
"""A standard deviation below the first, relative to |mean|, or below the second is rounding noise: the value is only
centred."""
FARTHEST_BOUND = 1e9
"""A bound beyond this is there because a Box needs one; it says nothing of the values."""

RangeRule = Literal["data", "mu-law"]
Statistics = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def compand(x: np.ndarray) -> np.ndarray:
    """F(x) in float64. F(256) = 1; inputs of any size are fine except NaN."""
    x = np.asarray(x, np.float64)
    return np.sign(x) * np.log1p(np.abs(x) * MU) / np.log1p(M * MU)


def expand(y: np.ndarray) -> np.ndarray:
    """The inverse of `compand`."""
    y = np.asarray(y, np.float64)
    return np.sign(y) * np.expm1(np.abs(y) * np.log1p(M * MU)) / MU


def refuse_nan(x: np.ndarray, path: str, *, infinite: bool = False) -> np.ndarray:
    """`x` [n, ...]. Raises ValueError for NaN, and if `infinite` for infinities, with the path and the first place."""
    wrong = ~np.isfinite(x) if infinite else np.isnan(x)
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        found = "NaN" if np.isnan(x[where]) else "an infinite value"
        raise ValueError(f"{path}: {found} at index {where} (first axis: timestep); drop or repair this episode")
    return x


@dataclass(frozen=True)
class Range:
    """The ends that the values of a float Box lie between, one of each per value in row-major order, as plain data.

    Args:
        low, high: None where the space's own rule holds (its bounds, or mu-law), see `ContinuousField`.
        clipped: values of the data that lie beyond the ends, infinite ones among them.
        values: that were looked at, of each.
    """

    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    clipped: tuple[int, ...]
    values: int

    def to_json(self) -> dict[str, Any]:
        return {"low": [*self.low], "high": [*self.high], "clipped": [*self.clipped], "values": self.values}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Range":
        """Raises KeyError or TypeError where it is none."""
        low, high = (tuple(None if end is None else float(end) for end in stored[side]) for side in ("low", "high"))
        return cls(low, high, tuple(int(count) for count in stored["clipped"]), int(stored["values"]))


@dataclass(frozen=True)
class ContinuousTokenizer:
    """Uniform bins on [-1, 1], ids [start, start + bins). Decodes to the bin's centre (the edge would be biased)."""

    start: int
    bins: int = 1024

    @property
    def range(self) -> tuple[int, int]:
        return self.start, self.start + self.bins

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Any shape, clipped to [-1, 1] -> int32 ids. 1.0 falls in the last bin. NaN is the caller's to refuse."""
        index = np.floor((np.clip(x, -1.0, 1.0) + 1.0) * (self.bins / 2))
        return np.minimum(index, self.bins - 1).astype(np.int32) + np.int32(self.start)

    def decode(self, ids: np.ndarray) -> np.ndarray:
        """Ids, clipped to the range -> float64 centres in (-1, 1)."""
        index = np.clip(np.asarray(ids, np.int64) - self.start, 0, self.bins - 1)
        return (2 * index + 1) / self.bins - 1.0


@dataclass(frozen=True)
class ContinuousField:
    """A float Box, one token per value in row-major order.

    Each value has one of three forms. `mu-law` is F, which saturates at +-256; `bounds` is linear between the space's
    bounds, `data` linear between the ends of a `Range`. By the rule "mu-law" (the paper's), an action value with two
    finite bounds has the second form and every other value the first. By the rule "data", a value with a range has the
    third. Without one, an observation whose bounds lie within +-256 has the first, any other value whose bounds do not
    pass `FARTHEST_BOUND` the second, and the rest cannot be encoded. What lies beyond the ends falls in the outer bins,
    infinite observations too. A bound at the largest number of its dtype counts as infinite.
    """

    leaf: Leaf
    tokenizer: ContinuousTokenizer
    action: bool
    rule: RangeRule = "data"
    range: Range | None = None
    forms: np.ndarray = field(init=False, repr=False, compare=False)
    _linear: np.ndarray = field(init=False, repr=False, compare=False)
    _centre: np.ndarray = field(init=False, repr=False, compare=False)
    _half: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        low, high = self.bounds
        forms = self._own_forms(low, high)
        if self.range is not None:
            self._check_range()
            given = [each is not None for each in self.range.low]
            low, high = (
                np.where(given, np.asarray(ends, np.float64), own)
                for ends, own in ((self.range.low, low), (self.range.high, high))
            )
            forms = np.where(given, "data", forms)
        linear = (forms == "bounds") | (forms == "data")
        low, high = np.where(linear, low, -1.0), np.where(linear, high, 1.0)
        for name, value in (("forms", forms), ("_linear", linear)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_centre", low / 2 + high / 2)
        object.__setattr__(self, "_half", high / 2 - low / 2)

    def _own_forms(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """What the space alone says of each value: "mu-law", "bounds", or "" where it says too little."""
        farthest = np.maximum(np.abs(low), np.abs(high))
        if self.rule == "mu-law":
            finite = farthest < float(np.finfo(self.leaf.space.dtype).max)
            return np.where(finite & self.action, "bounds", "mu-law")
        forms = np.where(farthest <= FARTHEST_BOUND, "bounds", "")
        return forms if self.action else np.where(farthest <= M, "mu-law", forms)

    def _check_range(self) -> None:
        path, given, count = self.leaf.path, self.range, self.count
        assert given is not None
        if self.rule == "mu-law" and any(each is not None for each in given.low):
            raise ValueError(f'{path}: a range is given, and LayoutOptions.ranges is "mu-law", which has none')
        if not len(given.low) == len(given.high) == len(given.clipped) == count:
            raise ValueError(f"{path}: a range of {count} values is required, got one of {len(given.low)}")
        for low, high in zip(given.low, given.high, strict=True):
            if (low is None) != (high is None) or (
                low is not None and high is not None and not -np.inf < low <= high < np.inf
            ):
                raise ValueError(f"{path}: the ends of a range must be finite and in order, got {low} and {high}")

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """float64[count] each: of the space."""
        space = self.leaf.space
        return np.asarray(space.low, np.float64).reshape(-1), np.asarray(space.high, np.float64).reshape(-1)

    @property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """float64[count] each: the smallest and the largest value that the outer bins stand for."""
        reach = np.where(self._linear, self._half, M)
        return self._centre - reach, self._centre + reach

    @property
    def count(self) -> int:
        return int(np.prod(self.leaf.space.shape, dtype=np.int64))

    @property
    def ranges(self) -> np.ndarray:
        """int32[count, 2] legal half-open id ranges."""
        return np.tile(np.asarray([self.tokenizer.range], np.int32), (self.count, 1))

    @property
    def scale(self) -> dict[str, list]:
        """What `scaled` and `decode` reckon with, of each value, and the space's ends: plain data."""
        (low, high), names = self.bounds, ("linear", "centre", "half", "low", "high")
        values = (self._linear, self._centre, self._half, low, high)
        return {name: value.tolist() for name, value in zip(names, values, strict=True)}

    def encode(self, values: np.ndarray) -> np.ndarray:
        """[n, *shape] -> int32[n, count].

        Raises:
            ValueError: NaN, an infinite action, or a value of which neither space nor data say how large it is.
        """
        return self.tokenizer.encode(self.squash(values))

    def squash(self, values: np.ndarray) -> np.ndarray:
        """[n, *shape] -> float64[n, count] in [-1, 1]. Raises as `encode`."""
        self.check()
        x = refuse_nan(np.asarray(values, np.float64), self.leaf.path, infinite=self.action)
        return self.scaled(x.reshape(len(values), self.count))

    def scaled(self, x: np.ndarray) -> np.ndarray:
        """`squash` of float64[n, count] without its checks; values without a form give any number in [-1, 1]."""
        companded = compand(np.clip(x, -M, M))
        if not self._linear.any():
            return companded
        inside = np.clip(x, self._centre - self._half, self._centre + self._half)
        linear = (inside - self._centre) / np.where(self._half > 0, self._half, 1.0)
        return np.clip(np.where(self._linear, linear, companded), -1.0, 1.0)

    def check(self) -> None:
        """Raises ValueError where a value has no form, with the ways out."""
        if (self.forms == "").any():
            at = int(np.argmax(self.forms == ""))
            low, high = (float(bound[at]) for bound in self.bounds)
            raise ValueError(
                f"{self.leaf.path}: value {at} has the bounds {low:g} and {high:g}, which do not say how large it is: "
                "its range must come from data (Layout.fitted, or ranges= of Layout.from_spaces; training finds it), "
                'or LayoutOptions(ranges="mu-law") takes the paper\'s fixed scale, which ends at +-256'
            )

    def decode(self, ids: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        """ids [n, count] -> [n, *shape] inside the space; `values` in [-1, 1] stand in for the bin centres.

        Raises as `encode`.
        """
        self.check()
        y = self.tokenizer.decode(ids) if values is None else np.clip(np.asarray(values, np.float64), -1.0, 1.0)
        space = self.leaf.space
        x = np.where(self._linear, self._centre + self._half * y, expand(y)).reshape(len(ids), *space.shape)
        most = float(np.finfo(space.dtype).max)
        return np.clip(np.clip(x, -most, most).astype(space.dtype), space.low, space.high)


@dataclass(frozen=True)
class VectorField:
    """A float Box as one vector: (x - mean) / std per value, then F without a clip at 1.

    F grows slowly enough that nothing but `LARGEST_SCORE` need bound it. Without statistics, mean 0 and std 1.
    """

    leaf: Leaf
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, leaf: Leaf, statistics: Statistics) -> "VectorField":
        """From the statistics of the leaf's path, if there are any."""
        count = int(np.prod(leaf.space.shape, dtype=np.int64))
        mean, std = statistics.get(leaf.path, ([0.0] * count, [1.0] * count))
        return cls(leaf, tuple(np.ravel(mean).tolist()), tuple(np.ravel(std).tolist()))

    def __post_init__(self):
        path, count, mean, std = self.leaf.path, self.count, self.mean, self.std
        if len(mean) != count or len(std) != count:
            raise ValueError(
                f"{path}: statistics of {count} values are required, got {len(mean)} means and {len(std)} standard "
                "deviations; take those of the demonstrations' columns (Columns.statistics)"
            )
        if not (np.isfinite(mean).all() and np.isfinite(std).all() and min(std, default=0) >= 0):
            raise ValueError(f"{path}: statistics must be finite and std >= 0, got mean {mean} and std {std}")

    @property
    def count(self) -> int:
        """Values in the vector."""
        return int(np.prod(self.leaf.space.shape, dtype=np.int64))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """[n, *shape] -> float32[n, count] in [-1.82, 1.82].

        Raises:
            ValueError: NaN.
        """
        x = refuse_nan(np.asarray(values, np.float64), self.leaf.path).reshape(len(values), self.count)
        mean, std = np.asarray(self.mean), np.asarray(self.std)
        std = np.where(std > np.maximum(SMALLEST_STD * np.abs(mean), NOISE), std, 1.0)
        score = (np.clip(x, -LARGEST, LARGEST) - np.clip(mean, -LARGEST, LARGEST)) / std
        return compand(np.clip(score, -LARGEST_SCORE, LARGEST_SCORE)).astype(np.float32)


def is_float_box(space) -> bool:
    return isinstance(space, spaces.Box) and space.dtype.kind == "f"
