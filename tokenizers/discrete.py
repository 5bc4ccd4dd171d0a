"""Whole numbers as exact digits: Discrete, MultiDiscrete, MultiBinary and integer or bool Boxes.

A value in [low, high] is written as value - low in base `discrete_size`, most significant digit first, with as many
digits as high - low needs: one token up to 1024 values (Reed et al. 2022, sec. 2.1), seven for a full int64. Where a
Box has the bounds of its dtype, or some beyond 1e9, they say nothing of its values: a `Range` found in the data does,
and low and high are its ends, so that no digit stands for numbers that never occur.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from gymnasium import spaces

from generalist.tokenizers.continuous import FARTHEST_BOUND, Range
from generalist.tokenizers.space import Leaf


@dataclass(frozen=True)
class DiscreteTokenizer:
    """Values [0, size) as ids [start, start + size)."""

    start: int
    size: int = 1024

    @property
    def range(self) -> tuple[int, int]:
        return self.start, self.start + self.size

    def encode(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values).astype(np.int32) + np.int32(self.start)

    def decode(self, ids: np.ndarray) -> np.ndarray:
        """Ids, clipped to the range -> uint64."""
        return np.clip(np.asarray(ids, np.int64) - self.start, 0, self.size - 1).astype(np.uint64)


@dataclass(frozen=True)
class DiscreteField:
    """A space of whole numbers, `count` tokens in row-major order of its values, digits of a value together.

    Offsets value - low are computed modulo 2**64, which is exact for every pair of int64 or uint64 bounds. Values of
    the space beyond the ends of a range become the nearest end.
    """

    leaf: Leaf
    tokenizer: DiscreteTokenizer
    range: Range | None = None
    _low: np.ndarray = field(init=False, repr=False, compare=False)
    _high: np.ndarray = field(init=False, repr=False, compare=False)
    _limit: np.ndarray = field(init=False, repr=False, compare=False)
    element: np.ndarray = field(init=False, repr=False, compare=False)
    _power: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        low, high = self._ends()
        limit = _offset(high, low)
        powers = [_powers(int(most), self.tokenizer.size) for most in limit]
        put = object.__setattr__
        put(self, "_low", low)
        put(self, "_high", high)
        put(self, "_limit", limit)
        put(self, "element", np.repeat(np.arange(len(limit)), [len(p) for p in powers]))
        put(self, "_power", np.asarray([power for p in powers for power in p], np.uint64))

    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        """`bounds`, those that say nothing replaced by the ends of the range, to the nearest whole numbers."""
        low, high = bounds(self.leaf.space)
        if self.range is None:
            return low, high
        if len(self.range.low) != len(low):
            said = f"a range of {len(low)} values is required, got one of {len(self.range.low)}"
            raise ValueError(f"{self.leaf.path}: {said}")
        low, high = low.copy(), high.copy()
        for at in np.flatnonzero(without_bounds(self.leaf.space)):
            first, last = self.range.low[at], self.range.high[at]
            if first is not None and last is not None:
                least, most = int(low[at]), int(high[at])
                low[at] = min(max(round(first), least), most)
                high[at] = max(min(round(last), most), int(low[at]))
        return low, high

    @property
    def whole_range(self) -> Range | None:
        """The range with the whole numbers that its ends mean."""
        if self.range is None:
            return None
        low, high = (
            tuple(None if end is None else float(whole) for end, whole in zip(ends, wholes, strict=True))
            for ends, wholes in ((self.range.low, self._low), (self.range.high, self._high))
        )
        return replace(self.range, low=low, high=high)

    @property
    def count(self) -> int:
        return len(self.element)

    @property
    def ranges(self) -> np.ndarray:
        """int32[count, 2]: the first digit of a value is bounded by its largest, the others are free."""
        digits = np.minimum(self._limit[self.element] // self._power, np.uint64(self.tokenizer.size - 1))
        start = np.full(self.count, self.tokenizer.start, np.int32)
        return np.stack([start, start + digits.astype(np.int32) + 1], axis=-1).reshape(self.count, 2)

    @property
    def digits(self) -> dict[str, Any]:
        """What `encode` and `decode` reckon with: ends of each value, and of each token its element and place value.

        Plain data; whole numbers beyond 2**53 as text.
        """
        ends = {"low": self._low, "high": self._high, "power": self._power}
        texts = {name: [str(int(each)) for each in values] for name, values in ends.items()}
        return {**texts, "element": self.element.tolist(), "wide": str(self._low.dtype)}

    def encode(self, values: np.ndarray) -> np.ndarray:
        """[n, *shape] -> int32[n, count].

        Raises:
            ValueError: a value that is not a whole number of the space.
        """
        x = self._whole(np.asarray(values)).reshape(len(values), len(self._low))
        if self.range is not None:
            x = np.clip(x.astype(self._low.dtype), self._low, self._high)
        offset = _offset(x, self._low)
        digits = offset[:, self.element] // self._power % np.uint64(self.tokenizer.size)
        return self.tokenizer.encode(digits)

    def _whole(self, x: np.ndarray) -> np.ndarray:
        path, space = self.leaf.path, self.leaf.space
        if x.dtype.kind == "f" and np.isfinite(x).all() and (x == np.rint(x)).all() and (np.abs(x) < 2**53).all():
            x = x.astype(np.int64)
        if x.dtype.kind not in "iub":
            raise ValueError(f"{path}: whole numbers are required for {space}, got dtype {x.dtype}")
        flat = x.reshape(len(x), len(self._low))
        low, high = bounds(space)
        wrong = (flat < low) | (flat > high)
        if wrong.any():
            step, index = (int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(
                f"{path}: value {flat[step, index]} at timestep {step}, element {index} is outside "
                f"[{low[index]}, {high[index]}] of {space}"
            )
        return x

    def decode(self, ids: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        """ids [n, count] -> [n, *shape] inside the space; digits beyond the largest value give the largest value."""
        digits = self.tokenizer.decode(ids)
        offset = np.zeros((len(digits), len(self._low)), np.uint64)
        over = np.zeros(offset.shape, bool)
        base = np.uint64(self.tokenizer.size)
        for place in range(int(np.bincount(self.element).max(initial=0))):
            at, element = self._tokens_at(place)
            prefix, digit = offset[:, element] * base, digits[:, at]
            # The leading digits of the largest value bound every prefix; one that passes them saturates for good.
            most = self._limit[element] // self._power[at]
            beyond = digit > most - prefix
            over[:, element] |= beyond
            offset[:, element] = np.where(beyond, most, prefix + digit)
        whole = np.where(over, self._limit, offset) + self._low.astype(np.uint64)
        space = self.leaf.space
        return whole.astype(self._low.dtype).astype(space.dtype).reshape(len(ids), *space.shape)

    def _tokens_at(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Token indices and elements of every value that has a digit number `place`, counted from its first."""
        first = np.searchsorted(self.element, np.arange(len(self._low)))
        digits = np.bincount(self.element, minlength=len(self._low))
        element = np.flatnonzero(digits > place)
        return first[element] + place, element


def without_bounds(space) -> np.ndarray:
    """bool[values]: of a Box of whole numbers, those whose bounds are there because a Box needs some.

    They lie beyond 1e9, or one is the end of a dtype of two bytes or more (but the zero of unsigned numbers).
    """
    low, high = bounds(space)
    if not isinstance(space, spaces.Box) or space.dtype.kind not in "iu" or space.dtype.itemsize < 2:
        return np.zeros(len(low), bool)
    limits = np.iinfo(str(space.dtype))
    ends = (high == limits.max) | ((low == limits.min) & (low < 0))
    return ends | (low.astype(np.float64) < -FARTHEST_BOUND) | (high.astype(np.float64) > FARTHEST_BOUND)


def is_free(space) -> bool:
    """Whether it is a Box of whole numbers some of which have no useful bounds."""
    return isinstance(space, spaces.Box) and bool(without_bounds(space).any())


def as_numbers(space) -> spaces.Box:
    """A Box of whole numbers as one of float64, infinite where its own bounds say nothing."""
    low, high = (bound.astype(np.float64).reshape(space.shape) for bound in bounds(space))
    free = without_bounds(space).reshape(space.shape)
    low, high = np.where(free & (low < 0), -np.inf, low), np.where(free, np.inf, high)
    return spaces.Box(low, high, space.shape, np.float64)


def bounds(space) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest value per element, flat, both int64 or both uint64."""
    if isinstance(space, spaces.Discrete):
        # Python's integers: start + n - 1 may pass the end of the dtype on the way.
        low, high = int(space.start), int(space.start) + int(space.n) - 1
        wide = np.uint64 if high > np.iinfo(np.int64).max else np.int64
        return np.asarray([low], wide), np.asarray([high], wide)
    if isinstance(space, spaces.MultiDiscrete):
        low, size = np.asarray(space.start).reshape(-1), np.asarray(space.nvec).reshape(-1)
        wide = np.uint64 if low.dtype.kind == "u" else np.int64
        return low.astype(wide), low.astype(wide) + (size.astype(wide) - wide(1))
    if isinstance(space, spaces.MultiBinary):
        size = int(np.prod(space.shape, dtype=np.int64))
        return np.zeros(size, np.int64), np.ones(size, np.int64)
    wide = np.uint64 if space.dtype.kind == "u" else np.int64
    return space.low.reshape(-1).astype(wide), space.high.reshape(-1).astype(wide)


def _offset(values: np.ndarray, low: np.ndarray) -> np.ndarray:
    """values - low as uint64, exact although either may be anywhere in int64 or uint64."""
    return values.astype(np.uint64) - low.astype(np.uint64)


def _powers(limit: int, base: int) -> list[int]:
    """Place values of the digits that [0, limit] needs, most significant first."""
    powers = [1]
    while limit // powers[0] >= base:
        powers.insert(0, powers[0] * base)
    return powers
