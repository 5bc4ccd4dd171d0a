"""How many tokens each timestep of a source has, without a table of all timesteps.

Only texts differ in length from one timestep to the next, and few differ from each other.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from generalist.demonstrations.columns import Columns
from generalist.envs.spaces import space_leaves
from generalist.tokenizers.encoding import texts_due
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.space import Leaf, pick
from generalist.train.windows import Window

CHUNK = 1 << 20
"""Timesteps that are looked at together."""


@dataclass(frozen=True, kw_only=True)
class CutTexts:
    """The different texts of one leaf of the observation of which only the beginning is shown.

    Args:
        path: of the leaf; `limit` ids of a text are shown.
        texts: different ones, `cut` of them longer; the longest has `longest` ids.
        alike: of those that are cut, how many show the same as another text.
        timesteps: that show a cut one, of `of`.
    """

    path: str
    limit: int
    texts: int
    cut: int
    longest: int
    alike: int
    timesteps: int
    of: int


@dataclass(frozen=True)
class StepTokens:
    """Fewest, most and mean tokens of a timestep; `of(steps)` gives those of timesteps int[n] with texts, int[n].

    Args:
        cut: the texts that are longer than the layout shows.
        every: see `LayoutOptions.text_every`; the mean is that of texts which stay as they are.
        bare: tokens of a timestep that shows no text.
        places: where the texts of timesteps int[n] lie, int[n, leaves]; needed where not every timestep shows them.
    """

    least: int
    most: int
    mean: float
    of: Callable[[np.ndarray], np.ndarray]
    cut: tuple[CutTexts, ...] = ()
    every: int = 1
    bare: int = 0
    places: Callable[[np.ndarray], np.ndarray] | None = None

    def in_window(self, window: Window) -> np.ndarray:
        """int[n]: the most tokens that each timestep of a window may have there."""
        counts = self.of(window.steps)
        if self.every == 1 or self.places is None:
            return counts
        places = self.places(window.steps)
        alike = np.r_[True, (places[1:] == places[:-1]).all(axis=1)][: len(places)]
        return np.where(texts_due(self.every, window.timesteps, window.segments, alike), counts, self.bare)

    @classmethod
    def known(cls, tokens: np.ndarray) -> "StepTokens":
        """Of a table int[steps]."""
        return cls(int(tokens.min()), int(tokens.max()), float(tokens.mean()), partial(np.take, tokens))


def fixed_tokens(layout: Layout) -> int:
    """Tokens of a timestep that has empty texts."""
    return layout.body_tokens + max(len(layout.text_leaves) - 1, 0)


def token_counts(layout: Layout, observations: Any, steps: int) -> np.ndarray:
    """int[steps]: tokens of each timestep of stacked observations."""
    counts = np.full(steps, fixed_tokens(layout))
    for leaf, limit in zip(layout.text_leaves, layout.text_limits, strict=True):
        texts, index = np.unique(np.asarray(pick(observations, leaf), str), return_inverse=True)
        counts += np.asarray([min(len(layout.text.encode(text)), limit) for text in texts], int)[index.reshape(-1)]
    return counts


def column_tokens(layout: Layout, columns: Columns) -> StepTokens:
    """Tokens of the timesteps of a data set. Raises ValueError for a damaged file."""
    fixed = fixed_tokens(layout)
    order = [path for path, _ in space_leaves(layout.observation_space)]
    limited = zip(layout.text_leaves, layout.text_limits, strict=True)
    tables = [_table(layout, leaf, limit, columns, order.index(leaf.keys)) for leaf, limit in limited]
    if not tables:
        return StepTokens(fixed, fixed, float(fixed), partial(_counts, fixed, columns, ()))
    of = partial(_counts, fixed, columns, tuple(tables))
    least, most, total = np.iinfo(np.int64).max, 0, 0
    for start in range(0, len(columns), CHUNK):
        counts = of(np.arange(start, min(start + CHUNK, len(columns))))
        least, most, total = min(least, int(counts.min())), max(most, int(counts.max())), total + int(counts.sum())
    cut = tuple(found for table in tables if (found := _cut(table, columns)) is not None)
    mean, every, bare = total / len(columns), layout.options.text_every, layout.body_tokens
    if every == 1:
        return StepTokens(least, most, mean, of, cut)
    return StepTokens(
        bare, most, bare + (mean - bare) / every, of, cut, every, bare, partial(_places, columns, tuple(tables))
    )


def _places(columns: Columns, tables: "tuple[_Table, ...]", steps: np.ndarray) -> np.ndarray:
    return np.stack([columns.text_places(table.index, steps)[0] for table in tables], axis=1)


@dataclass(frozen=True)
class _Table:
    """The texts of one leaf, by where they begin in the file (ascending).

    Args:
        tokens: ids of each text, uncut, int64[texts].
        texts, cut, alike: see `CutTexts`.
    """

    index: int
    path: str
    limit: int
    begin: np.ndarray
    tokens: np.ndarray
    texts: int
    cut: int
    alike: int

    def of(self, columns: Columns, steps: np.ndarray) -> np.ndarray:
        """int64[n]: ids of the text of each step, uncut."""
        places, _ = columns.text_places(self.index, steps)
        return self.tokens[np.searchsorted(self.begin, places)]


def _table(layout: Layout, leaf: Leaf, limit: int, columns: Columns, index: int) -> _Table:
    seen: dict[int, int] = {}
    whole: dict[int, int] = {}  # of each text what is shown of it, both as hashes: an equal text may lie in two places
    cut: set[int] = set()
    for start in range(0, len(columns), CHUNK):
        steps = np.arange(start, min(start + CHUNK, len(columns)))
        places, _ = columns.text_places(index, steps)
        new, first = np.unique(places, return_index=True)
        unknown = [at for at, place in zip(first.tolist(), new.tolist(), strict=True) if place not in seen]
        for at, text in zip(unknown, columns.rows("observation", index, steps[unknown]), strict=True):
            ids = layout.text.encode(text)
            seen[int(places[at])] = len(ids)
            whole[key := hash(ids.tobytes())] = hash(ids[:limit].tobytes())
            if len(ids) > limit:
                cut.add(key)
    times = Counter(whole.values())
    alike = sum(times[whole[key]] > 1 for key in cut)
    begin = np.array(sorted(seen), np.int64)
    tokens = np.array([seen[place] for place in begin.tolist()], np.int64)
    return _Table(index, leaf.path, limit, begin, tokens, len(whole), len(cut), alike)


def _cut(table: _Table, columns: Columns) -> CutTexts | None:
    if not table.cut:
        return None
    steps = 0
    for start in range(0, len(columns), CHUNK):
        lengths = table.of(columns, np.arange(start, min(start + CHUNK, len(columns))))
        steps += int((lengths > table.limit).sum())
    return CutTexts(
        path=table.path,
        limit=table.limit,
        texts=table.texts,
        cut=table.cut,
        longest=int(table.tokens.max()),
        alike=table.alike,
        timesteps=steps,
        of=len(columns),
    )


def _counts(fixed: int, columns: Columns, tables: tuple[_Table, ...], steps: np.ndarray) -> np.ndarray:
    counts = np.full(len(steps), fixed)
    for table in tables:
        counts += np.minimum(table.of(columns, steps), table.limit)
    return counts
