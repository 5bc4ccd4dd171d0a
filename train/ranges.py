"""The ranges of values without useful bounds, found in the columns of the episodes that are trained on.

The rule is `generalist.tokenizers.ranges`: a sample drawn with a fixed seed says where the middle of the data lies, and
one pass over all of it, a part in memory at a time, says how far it goes. Equal data give equal ranges.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from generalist.demonstrations.columns import Columns
from generalist.envs.spaces import space_leaves
from generalist.tokenizers.continuous import ContinuousField, Range
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.ranges import find_range, sample_rows

CHUNK_VALUES = 1 << 22
"""Values that are looked at together."""


def with_ranges(layout: Layout, columns: Columns, episodes: np.ndarray) -> Layout:
    """The layout with the ranges of these episodes.

    Raises:
        ValueError: NaN or an infinite action where a range is needed, with episode and step; a damaged file, named.
    """
    found = {part.leaf.path: _range(part, columns, episodes) for part in layout.continuous_fields}
    return replace(layout, ranges={path: each for path, each in found.items() if each is not None})


def _range(part: ContinuousField, columns: Columns, episodes: np.ndarray) -> Range | None:
    if part.rule == "mu-law" or not part.count or not len(episodes):
        return None
    name, space = ("action", columns.action_space) if part.action else ("observation", columns.observation_space)
    index = [path for path, _ in space_leaves(space)].index(part.leaf.keys)
    ends = np.cumsum(columns.lengths[episodes])
    total = int(ends[-1])
    chosen = np.random.default_rng(0).choice(total, min(total, sample_rows(part.count)), replace=False)
    sample = columns.rows(name, index, _steps(columns, episodes, ends, np.sort(chosen)))

    def chunks() -> Iterator[np.ndarray]:
        rows = max(1, CHUNK_VALUES // part.count)
        for start in range(0, total, rows):
            steps = _steps(columns, episodes, ends, np.arange(start, min(start + rows, total)))
            values = columns.rows(name, index, steps)
            wrong = ~np.isfinite(values) if part.action else np.isnan(values)
            if wrong.any():
                at, *where = (int(i) for i in np.argwhere(wrong)[0])
                what = "NaN" if np.isnan(values[(at, *where)]) else "an infinite value"
                raise ValueError(f"{part.leaf.path}{where or ''}: {what} in {columns.place(int(steps[at]))}")
            yield values

    return find_range(part, sample, chunks())


def _steps(columns: Columns, episodes: np.ndarray, ends: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Of the steps of these episodes, end to end, those with these numbers, as steps of the columns."""
    which = np.searchsorted(ends, numbers, side="right")
    begin = ends[which] - columns.lengths[episodes][which]
    return columns.starts[episodes[which]] + numbers - begin
