"""How many tokens each timestep of a source has, without a table of all timesteps.

Only texts differ in length from one timestep to the next, and few differ from each other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from generalist.demonstrations.columns import Columns
from generalist.envs.spaces import space_leaves
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.space import pick

CHUNK = 1 << 20
"""Timesteps that are looked at together."""


@dataclass(frozen=True)
class StepTokens:
    """Fewest, most and mean tokens of a timestep; `of(steps)` gives those of timesteps int[n], int[n]."""

    least: int
    most: int
    mean: float
    of: Callable[[np.ndarray], np.ndarray]

    @classmethod
    def known(cls, tokens: np.ndarray) -> "StepTokens":
        """Of a table int[steps]."""
        return cls(int(tokens.min()), int(tokens.max()), float(tokens.mean()), partial(np.take, tokens))


def fixed_tokens(layout: Layout) -> int:
    """Tokens of a timestep that has empty texts."""
    hidden = layout.options.past_actions == "hidden" and layout.action_tokens > 0
    return len(layout.body_kinds) - hidden + max(len(layout.text_leaves) - 1, 0)


def text_tokens(layout: Layout, text: str) -> int:
    """Tokens of one text of an observation."""
    return min(len(layout.text.encode(text)), layout.options.max_text_tokens)


def token_counts(layout: Layout, observations: Any, steps: int) -> np.ndarray:
    """int[steps]: tokens of each timestep of stacked observations."""
    counts = np.full(steps, fixed_tokens(layout))
    for leaf in layout.text_leaves:
        texts, index = np.unique(np.asarray(pick(observations, leaf), str), return_inverse=True)
        counts += np.asarray([text_tokens(layout, text) for text in texts], int)[index.reshape(-1)]
    return counts


def column_tokens(layout: Layout, columns: Columns) -> StepTokens:
    """Tokens of the timesteps of a data set. Raises ValueError for a damaged file."""
    fixed = fixed_tokens(layout)
    order = [path for path, _ in space_leaves(layout.observation_space)]
    tables = [_table(layout, columns, order.index(leaf.keys)) for leaf in layout.text_leaves]
    if not tables:
        return StepTokens(fixed, fixed, float(fixed), partial(_counts, fixed, columns, ()))
    of = partial(_counts, fixed, columns, tuple(tables))
    least, most, total = np.iinfo(np.int64).max, 0, 0
    for start in range(0, len(columns), CHUNK):
        counts = of(np.arange(start, min(start + CHUNK, len(columns))))
        least, most, total = min(least, int(counts.min())), max(most, int(counts.max())), total + int(counts.sum())
    return StepTokens(least, most, total / len(columns), of)


def _table(layout: Layout, columns: Columns, index: int) -> tuple[int, np.ndarray, np.ndarray]:
    """Leaf, where its different texts begin (ascending), and their tokens."""
    seen: dict[int, int] = {}
    for start in range(0, len(columns), CHUNK):
        steps = np.arange(start, min(start + CHUNK, len(columns)))
        places, _ = columns.text_places(index, steps)
        new, first = np.unique(places, return_index=True)
        unknown = [at for at, place in zip(first.tolist(), new.tolist(), strict=True) if place not in seen]
        texts = columns.rows("observation", index, steps[unknown])
        seen |= {int(places[at]): text_tokens(layout, text) for at, text in zip(unknown, texts, strict=True)}
    begin = np.array(sorted(seen), np.int64)
    return index, begin, np.array([seen[place] for place in begin.tolist()], np.int64)


def _counts(
    fixed: int, columns: Columns, tables: tuple[tuple[int, np.ndarray, np.ndarray], ...], steps: np.ndarray
) -> np.ndarray:
    counts = np.full(len(steps), fixed)
    for index, begin, tokens in tables:
        places, _ = columns.text_places(index, steps)
        counts += tokens[np.searchsorted(begin, places)]
    return counts
