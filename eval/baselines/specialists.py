"""Small networks of one task alone: behaviour cloning by an MLP, and by a GRU that remembers its episode.

One model for everything loses or gains something against one model for each task; these say what. Nothing is tuned per
task: a fixed number of updates of a fixed network. They do the mean of the numbers and the likeliest of the classes
that were demonstrated, and draw nothing. This file imports JAX.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import jax
import numpy as np
from sklearn.decomposition import PCA

from generalist.eval.baselines.actions import ActionColumns, Columns
from generalist.eval.baselines.features import Features
from generalist.eval.baselines.fitted import FittedPolicy, drawn, prepare, whole_episodes
from generalist.eval.baselines.networks import (
    STATE,
    Heads,
    Table,
    said_by_gru,
    said_by_mlp,
    train_gru,
    train_mlp,
)

UPDATES = 2000
BATCH = 128
"""Steps of an update of the MLP."""
STREAMS, WINDOW = 16, 32
"""Of an update of the GRU: episodes at once, and steps of each through which gradients pass."""
FARTHEST = 5.0
"""Standardised features are clipped to this many standard deviations: a pixel that is rarely set is a large number."""
MAX_FEATURES = 512
"""More features than this are replaced by so many principal components: it bounds the time."""


@dataclass(frozen=True)
class Inputs:
    """Features [N, F] -> what a network reads [N, at most MAX_FEATURES], float32."""

    mean: np.ndarray
    std: np.ndarray
    axes: np.ndarray | None

    @classmethod
    def of(cls, x: np.ndarray, seed: int) -> "Inputs":
        mean, std = x.mean(axis=0), x.std(axis=0)
        scaled = cls(mean, np.where(std < 1e-6, 1, std).astype(np.float32), None)
        if x.shape[1] <= MAX_FEATURES:
            return scaled
        found = PCA(min(MAX_FEATURES, len(x)), svd_solver="randomized", random_state=seed).fit(x - mean)
        axes = np.asarray(found.components_).T / max(float(np.sqrt(np.mean(found.explained_variance_))), 1e-6)
        return cls(mean, np.ones_like(mean), axes.astype(np.float32))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        scaled = (x - self.mean) / self.std
        if self.axes is not None:  # their spreads differ by much, and the widest of them say most
            return (scaled @ self.axes).astype(np.float32)
        return np.clip(scaled, -FARTHEST, FARTHEST).astype(np.float32)


@dataclass(frozen=True)
class Outputs:
    """What a network says [N, O] <-> columns of actions: numbers standardised, classes among those demonstrated."""

    mean: np.ndarray
    std: np.ndarray
    known: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, shown: Columns) -> "Outputs":
        std = shown.numbers.std(axis=0)
        return cls(shown.numbers.mean(axis=0), np.where(std < 1e-6, 1, std), tuple(map(np.unique, shown.classes.T)))

    @property
    def heads(self) -> Heads:
        return Heads(len(self.mean), tuple(map(len, self.known)))

    def table(self, x: np.ndarray, shown: Columns) -> Table:
        places = [np.searchsorted(known, column) for known, column in zip(self.known, shown.classes.T, strict=True)]
        numbers = (shown.numbers - self.mean) / self.std
        return Table(
            x,
            numbers.astype(np.float32),
            np.stack(places, 1).astype(np.int32) if places else np.zeros((len(x), 0), np.int32),
        )

    def columns(self, said: np.ndarray) -> Columns:
        heads = self.heads
        classes = [known[logits.argmax(axis=1)] for known, logits in zip(self.known, heads.logits(said), strict=True)]
        numbers = said[:, : heads.numbers] * self.std + self.mean
        return Columns(numbers, np.stack(classes, 1) if classes else np.zeros((len(said), 0), np.int64))


def fit_mlp(
    observation_space: gym.Space, action_space: gym.Space, observations: Any, actions: Any, *, seed: int = 0
) -> FittedPolicy:
    """A network of two hidden layers on the current observation; arguments as for `fit_linear`.

    Args:
        seed: draws the steps that are used, the first weights and the batches. Equal seeds, equal policies.
    """
    given = prepare(observation_space, action_space, observations, actions, drawn(seed))
    inputs, outputs = Inputs.of(given.x, seed), Outputs.of(given.shown)
    table = outputs.table(inputs(given.x), given.shown)
    rows = np.random.default_rng(seed).integers(len(table.x), size=(UPDATES, BATCH), dtype=np.int32)
    parameters, _ = jax.device_get(train_mlp(jax.random.key(seed), table.filled(), rows, heads=outputs.heads))
    return given.policy(lambda x: outputs.columns(said_by_mlp(parameters, inputs(x))), _size(parameters))


def _size(parameters: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(parameters))


@dataclass(frozen=True)
class RecurrentPolicy:
    """A fitted GRU as a policy: a state for each slot, from `reset` on.

    Its `steps` are of so many `episodes`; other fields are those of `FittedPolicy`.
    """

    encode: Features
    columns: ActionColumns
    predict: Any
    steps: int
    episodes: int
    features: int
    parameters: int
    states: dict[int, np.ndarray] = field(default_factory=dict)

    def reset(self, index: int) -> None:
        self.states[index] = np.zeros(STATE, np.float32)

    def act(self, observations: list[Any], active: list[int]) -> list[Any]:
        states, found = self.predict(
            np.stack([self.states[index] for index in active]), self.encode.listed(observations)
        )
        self.states.update(zip(active, states, strict=True))
        return self.columns.decode(found)


def fit_gru(
    observation_space: gym.Space,
    action_space: gym.Space,
    observations: Any,
    actions: Any,
    *,
    lengths: Sequence[int] | np.ndarray,
    seed: int = 0,
) -> RecurrentPolicy:
    """A gated recurrent network over the observations of an episode so far.

    Args:
        observations, actions: as for `fit_linear`, but all steps of whole episodes, one episode after another.
        lengths: steps of each.
        seed: as for `fit_mlp`; of more steps than a fit may use, it draws episodes.

    Raises:
        ValueError: the lengths are not those of the steps.
    """
    lengths = np.asarray(lengths, np.int64)
    kept: list[np.ndarray] = []

    def choose(total: int, most: int) -> np.ndarray:
        if lengths.sum() != total or (lengths < 1).any():
            raise ValueError(f"lengths must be positive and sum up to the {total} steps, got {lengths.sum()}")
        kept.append(whole_episodes(lengths, most, seed))
        starts = np.cumsum(lengths) - lengths
        return np.concatenate([starts[n] + np.arange(min(lengths[n], most)) for n in kept[0]])

    given = prepare(observation_space, action_space, observations, actions, choose)
    chosen = np.minimum(lengths[kept[0]], len(given.rows))
    inputs, outputs = Inputs.of(given.x, seed), Outputs.of(given.shown)
    table = outputs.table(inputs(given.x), given.shown)
    rows, first = streams(chosen, seed)
    parameters, _ = jax.device_get(train_gru(jax.random.key(seed), table.filled(), rows, first, heads=outputs.heads))

    def predict(states: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, Columns]:
        states, said = said_by_gru(parameters, states, inputs(x[:, given.distinct]))
        return states, outputs.columns(said)

    return RecurrentPolicy(
        given.encode,
        given.columns,
        predict,
        steps=len(given.rows),
        episodes=len(chosen),
        features=given.features,
        parameters=_size(parameters),
    )


def streams(lengths: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows int32 and whether they begin an episode bool, both [UPDATES, WINDOW, STREAMS].

    Each stream shows all episodes in an order of its own, then again in another. It begins somewhere in its first one,
    so that streams of equally long episodes are not all at the same step.
    """
    rng = np.random.default_rng(seed)
    starts, needed = np.cumsum(lengths) - lengths, UPDATES * WINDOW
    rows, first = np.empty((needed, STREAMS), np.int32), np.zeros((needed, STREAMS), bool)
    for stream in range(STREAMS):
        count = -(-needed // int(lengths.sum())) + 1
        order = np.concatenate([rng.permutation(len(lengths)) for _ in range(count)])
        each = lengths[order]
        begins = np.cumsum(each) - each
        skip = int(rng.integers(each[0]))
        everything = np.repeat(starts[order] - begins, each) + np.arange(each.sum())
        marks = np.zeros(len(everything), bool)
        marks[begins] = marks[skip] = True
        rows[:, stream], first[:, stream] = everything[skip : skip + needed], marks[skip : skip + needed]
    return rows.reshape(UPDATES, WINDOW, STREAMS), first.reshape(UPDATES, WINDOW, STREAMS)
