"""The ranges of values without useful bounds, found in the columns of the episodes that are trained on.

The rule is `generalist.tokenizers.ranges`: a sample drawn with a fixed seed says where the middle of the data lies, and
one pass over all of it, a part in memory at a time, says how far it goes. Equal data give equal ranges.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from generalist.demonstrations.columns import Columns
from generalist.envs.spaces import space_leaves
from generalist.tokenizers.continuous import ContinuousField, Range, VectorField
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.ranges import find_range, middle, sample_rows
from generalist.tokenizers.space import Leaf

CHUNK_VALUES = 1 << 22
"""Values that are looked at together."""


FAR = 100.0
"""A standard deviation so many times as wide as the middle of the data is that of its outliers."""


def with_ranges(layout: Layout, columns: Columns, episodes: np.ndarray) -> Layout:
    """The layout with the ranges of these episodes, and statistics that outliers do not spoil.

    Where a few values of a vector lie so far out that all others would be one to the network (see `FAR`), the middle of
    the data takes the place of mean and standard deviation.

    Raises:
        ValueError: NaN or an infinite action where a range is needed, with episode and step; a damaged file, named.
    """
    found = {part.leaf.path: _range(part, columns, episodes) for part in layout.continuous_fields}
    statistics = dict(layout.statistics)
    for part in (each for each in layout.tensor_fields if isinstance(each, VectorField)):
        if part.count and len(episodes):
            statistics[part.leaf.path] = _without_outliers(part, middle(_sample(part.leaf, columns, episodes)))
    ranges = {path: each for path, each in found.items() if each is not None}
    return replace(layout, statistics=statistics, ranges=ranges)


def _without_outliers(part: VectorField, ends: tuple[np.ndarray, np.ndarray]) -> tuple[list[float], list[float]]:
    mean, std = np.asarray(part.mean), np.asarray(part.std)
    low, high = ends
    half = high / 2 - low / 2
    spoilt = (half > 0) & (std / FAR > 2 * half)
    return np.where(spoilt, low + half, mean).tolist(), np.where(spoilt, half / 2, std).tolist()


def _sample(leaf: Leaf, columns: Columns, episodes: np.ndarray) -> np.ndarray:
    """Rows of some steps of these episodes, always the same."""
    count = int(np.prod(leaf.space.shape, dtype=np.int64))
    ends = np.cumsum(columns.lengths[episodes])
    total = int(ends[-1])
    chosen = np.random.default_rng(0).choice(total, min(total, sample_rows(count)), replace=False)
    return columns.rows(*_column(leaf, columns), _steps(columns, episodes, ends, np.sort(chosen)))


def _column(leaf: Leaf, columns: Columns) -> tuple[str, int]:
    """Which leaf of the columns it is."""
    part = leaf.path.split("/")[0]
    space = columns.action_space if part == "action" else columns.observation_space
    return part, [path for path, _ in space_leaves(space)].index(leaf.keys)


def _range(part: ContinuousField, columns: Columns, episodes: np.ndarray) -> Range | None:
    if not part.count or not len(episodes):
        return None
    ends = np.cumsum(columns.lengths[episodes])
    total = int(ends[-1])

    def chunks() -> Iterator[np.ndarray]:
        rows = max(1, CHUNK_VALUES // part.count)
        for start in range(0, total, rows):
            steps = _steps(columns, episodes, ends, np.arange(start, min(start + rows, total)))
            values = columns.rows(*_column(part.leaf, columns), steps)
            wrong = ~np.isfinite(values) if part.action else np.isnan(values)
            if wrong.any():
                at, *where = (int(i) for i in np.argwhere(wrong)[0])
                what = "NaN" if np.isnan(values[(at, *where)]) else "an infinite value"
                raise ValueError(f"{part.leaf.path}{where or ''}: {what} in {columns.place(int(steps[at]))}")
            yield values

    return find_range(part, _sample(part.leaf, columns, episodes), chunks())


def _steps(columns: Columns, episodes: np.ndarray, ends: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Of the steps of these episodes, end to end, those with these numbers, as steps of the columns."""
    which = np.searchsorted(ends, numbers, side="right")
    begin = ends[which] - columns.lengths[episodes][which]
    return columns.starts[episodes[which]] + numbers - begin
