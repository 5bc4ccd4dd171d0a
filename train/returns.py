"""What episodes return from a step on: for layouts that show it (`LayoutOptions.returns`), and what play asks for.

Returns are undiscounted. Chen et al. 2021 divide them by a constant that is chosen for each task; here they are
normalised by mean and spread of the demonstrations', as vectors are.
"""

from dataclasses import replace

import numpy as np

from generalist.demonstrations.columns import Columns, Moments
from generalist.tokenizers.layout import RETURN, Layout


def returns_to_go(columns: Columns, steps: np.ndarray) -> np.ndarray:
    """float64[n]: sum of the rewards from each of the steps int[n] to the end of its episode.

    Raises as `Columns.take`.
    """
    found = np.empty(len(steps))
    episodes = np.searchsorted(columns.starts, steps, side="right") - 1
    for episode in np.unique(episodes):
        mine = episodes == episode
        first = int(steps[mine].min())
        rewards = columns.rewards(np.arange(first, columns.starts[episode + 1]))
        found[mine] = to_go(rewards)[steps[mine] - first]
    return found


def to_go(rewards: np.ndarray) -> np.ndarray:
    """float64[n] from an episode's rewards [n]."""
    return np.cumsum(rewards[::-1], dtype=np.float64)[::-1]


def with_returns(layout: Layout, columns: Columns, episodes: np.ndarray) -> Layout:
    """The layout with what it needs of these episodes' returns, where it shows them: mean and spread over all their
    steps, and the target of play.
    """
    if layout.return_field is None:
        return layout
    moments, whole = Moments.zeros(1), []
    for episode in np.asarray(episodes).tolist():
        rest = to_go(columns.rewards(np.arange(columns.starts[episode], columns.starts[episode + 1])))
        moments = moments.joined(Moments.of(rest[:, None]))
        whole.append(rest[0])
    statistics = {**layout.statistics, RETURN: (moments.mean.tolist(), moments.std.tolist())}
    target = float(np.quantile(whole, layout.options.target_quantile))
    return replace(layout, statistics=statistics, target_return=target)
