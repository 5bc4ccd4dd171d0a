"""Any baseline that learns, fitted on chosen episodes of a data set."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from generalist.demonstrations.columns import Columns
from generalist.demonstrations.storage import Demonstrations
from generalist.envs.names import nearest
from generalist.eval.baselines.fitted import fit_linear, fit_nearest_neighbour, most_steps, whole_episodes
from generalist.eval.config import SPECIALISTS

PLAIN = ("linear", "nearest_neighbour")
"""See the current observation alone, and learn no features."""
NAMES = (*PLAIN, *SPECIALISTS)


@dataclass(frozen=True)
class Fitted:
    """A fitted policy and what it cost.

    Args:
        steps, episodes: that it was fitted on: steps that were drawn from so many episodes.
        parameters: that it has; 0 for the nearest neighbour, which keeps its steps.
        seconds: that fitting took, reading and compilation included.
    """

    policy: Any
    steps: int
    episodes: int
    parameters: int
    seconds: float

    @property
    def details(self) -> dict[str, Any]:
        """For a report, see `PolicyRecord`."""
        return {
            "fitted_on": self.steps,
            "fitted_on_episodes": self.episodes,
            "parameters": self.parameters,
            "fit_seconds": self.seconds,
        }


def steps_of(columns: Columns, episodes: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
    """The steps int64 of these episodes, one episode after another; of all by default.

    Raises:
        IndexError: there is no such episode.
    """
    if episodes is None:
        return np.arange(len(columns))
    chosen, count = np.asarray(episodes, np.int64), len(columns.lengths)
    if len(chosen) and (chosen.min() < 0 or chosen.max() >= count):
        raise IndexError(f"the data set has the episodes [0, {count}), not [{chosen.min()}, {chosen.max()}]")
    return np.concatenate([np.zeros(0, np.int64), *(np.arange(*columns.starts[n : n + 2]) for n in chosen)])


def drawn_steps(steps: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """At most so many of these steps, int64 and in their order, drawn uniformly without replacement."""
    return steps[np.sort(np.random.default_rng(seed).permutation(len(steps))[:most])]


def fit_baseline(
    name: str, demonstrations: Demonstrations, episodes: Sequence[int] | np.ndarray | None = None, *, seed: int = 0
) -> Fitted:
    """Fit one of `NAMES` on some episodes of a data set alone, or on all.

    Args:
        episodes: their numbers, ascending.
        seed: draws the steps (of a GRU the episodes) where there are more than a fit uses, and all that a network
            needs. Equal seeds, equal policies.

    Raises:
        ValueError: no such baseline; no episodes; actions that are neither numbers nor classes.
        IndexError: there is no such episode.
    """
    if name not in NAMES:
        raise ValueError(f"there is no baseline {name!r}: {nearest(name, NAMES)}")
    begun = time.perf_counter()
    columns, most = demonstrations.columns(quiet=True), most_steps(demonstrations.observation_space)
    chosen = np.arange(len(columns.lengths)) if episodes is None else np.asarray(episodes, np.int64)
    if not len(chosen):
        raise ValueError(f"{demonstrations.folder}: a baseline needs at least one episode to learn from, got none")
    if name == "gru":
        chosen = chosen[whole_episodes(columns.lengths[chosen], most, seed)]
    steps = steps_of(columns, chosen)
    policy = _fit(
        name, demonstrations, columns, steps if name == "gru" else drawn_steps(steps, most, seed), chosen, seed
    )
    count = policy.episodes if name == "gru" else len(chosen)
    return Fitted(policy, policy.steps, count, policy.parameters, time.perf_counter() - begun)


def _fit(
    name: str, demonstrations: Demonstrations, columns: Columns, steps: np.ndarray, episodes: np.ndarray, seed: int
) -> Any:
    given = demonstrations.observation_space, demonstrations.action_space, *columns.take(steps)
    if name in PLAIN:
        return {"linear": fit_linear, "nearest_neighbour": fit_nearest_neighbour}[name](*given, seed=seed)
    from generalist.eval.baselines.specialists import fit_gru, fit_mlp  # here, because a worker may need no JAX

    if name == "mlp":
        return fit_mlp(*given, seed=seed)
    return fit_gru(*given, lengths=columns.lengths[episodes], seed=seed)
