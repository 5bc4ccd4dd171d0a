"""Continuous values as 1024 uniform bins of mu-law companded numbers, and as normalised vectors.

Reed et al. 2022, sec. 2.1 and appendix B: F(x) = sgn(x) log(|x| mu + 1) / log(M mu + 1), mu = 100, M = 256, clipped to
[-1, 1], then 1024 uniform bins. The paper compands "if not already in [-1, 1]" in one place and always in another; here
observations are always companded and bounded actions never, so that one number always has one meaning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from gymnasium import spaces

from generalist.tokenizers.space import Leaf

MU, M = 100.0, 256.0
LARGEST = 1e30
"""Vector inputs beyond this are clipped, so that no arithmetic overflows."""
LARGEST_SCORE = 1e6
"""Normalised vector values beyond this are clipped; F(1e6) = 1.82 is the largest entry of a vector."""
SMALLEST_STD = 1e-6
"""A standard deviation below this, relative to max(1, |mean|), is rounding noise: the value is only centred."""

Statistics = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def compand(x: np.ndarray) -> np.ndarray:
    """F(x) in float64. F(256) = 1; inputs of any size are fine except NaN."""
    x = np.asarray(x, np.float64)
    return np.sign(x) * np.log1p(np.abs(x) * MU) / np.log1p(M * MU)


def expand(y: np.ndarray) -> np.ndarray:
    """The inverse of `compand`."""
    y = np.asarray(y, np.float64)
    return np.sign(y) * np.expm1(np.abs(y) * np.log1p(M * MU)) / MU


def refuse_nan(x: np.ndarray, path: str) -> np.ndarray:
    if np.isnan(x).any():
        where = tuple(int(i) for i in np.argwhere(np.isnan(x))[0])
        raise ValueError(f"{path}: NaN at index {where} (first axis: timestep); drop or repair this episode")
    return x


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

    An action value with two finite bounds is mapped linearly to [-1, 1]; every other value is companded, and saturates
    at +-256. A bound at the largest number of its dtype counts as infinite. Infinite values fall in the outer bins.
    """

    leaf: Leaf
    tokenizer: ContinuousTokenizer
    action: bool
    _bounded: np.ndarray = field(init=False, repr=False, compare=False)
    _centre: np.ndarray = field(init=False, repr=False, compare=False)
    _half: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        space = self.leaf.space
        low, high = (np.asarray(bound, np.float64).reshape(-1) for bound in (space.low, space.high))
        most = float(np.finfo(space.dtype).max)
        bounded = (np.abs(low) < most) & (np.abs(high) < most) & self.action
        low, high = np.where(bounded, low, -1.0), np.where(bounded, high, 1.0)
        object.__setattr__(self, "_bounded", bounded)
        object.__setattr__(self, "_centre", low / 2 + high / 2)
        object.__setattr__(self, "_half", high / 2 - low / 2)

    @property
    def count(self) -> int:
        return int(np.prod(self.leaf.space.shape, dtype=np.int64))

    @property
    def ranges(self) -> np.ndarray:
        """int32[count, 2] legal half-open id ranges."""
        return np.tile(np.asarray([self.tokenizer.range], np.int32), (self.count, 1))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """[n, *shape] -> int32[n, count].

        Raises:
            ValueError: NaN.
        """
        return self.tokenizer.encode(self.squash(values))

    def squash(self, values: np.ndarray) -> np.ndarray:
        """[n, *shape] -> float64[n, count] in [-1, 1]."""
        x = refuse_nan(np.asarray(values, np.float64), self.leaf.path).reshape(len(values), self.count)
        companded = compand(np.clip(x, -M, M))
        if not self._bounded.any():
            return companded
        inside = np.clip(x, self._centre - self._half, self._centre + self._half)
        linear = (inside - self._centre) / np.where(self._half > 0, self._half, 1.0)
        return np.clip(np.where(self._bounded, linear, companded), -1.0, 1.0)

    def decode(self, ids: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        """ids [n, count] -> [n, *shape] inside the space; `values` in [-1, 1] stand in for the bin centres."""
        y = self.tokenizer.decode(ids) if values is None else np.clip(np.asarray(values, np.float64), -1.0, 1.0)
        space = self.leaf.space
        x = np.where(self._bounded, self._centre + self._half * y, expand(y)).reshape(len(ids), *space.shape)
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
        std = np.where(std > SMALLEST_STD * np.maximum(1.0, np.abs(mean)), std, 1.0)
        score = (np.clip(x, -LARGEST, LARGEST) - np.clip(mean, -LARGEST, LARGEST)) / std
        return compand(np.clip(score, -LARGEST_SCORE, LARGEST_SCORE)).astype(np.float32)


def is_float_box(space) -> bool:
    return isinstance(space, spaces.Box) and space.dtype.kind == "f"
