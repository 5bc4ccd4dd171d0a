"""Two plain baselines, fitted on the agent's own demonstrations by scikit-learn: linear and 1-nearest-neighbour.

Whether a large model beats them is the first thing to ask. Nothing is tuned per task, and both see the current
observation alone.
"""

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KDTree

from generalist.envs.spaces import is_text, space_leaves, take
from generalist.eval.baselines.actions import ActionColumns, Columns, action_columns
from generalist.eval.baselines.features import Features, fit_features

FIT_STEPS = 20_000
FIT_VALUES = 50_000_000
"""A fit uses at most so many steps, drawn uniformly without replacement, and so many values (steps x features): images
of 56 x 56 x 3 leave about 5,300 steps, 200 MB. Such a fit takes three seconds on one core, the others at most one."""

ITERATIONS = 100
"""Of L-BFGS for the logistic regression; stopping there acts as regularisation and is no error."""

TREE_FEATURES = 40
"""Up to so many features neighbours are looked up in a k-d tree, above by a sketch of each step; both are exact."""

SKETCH, AXES_FROM, SLACK = 256, 1_000, 1e-5
"""Distances in the `SKETCH` main directions of `AXES_FROM` steps bound the others from below (by Pythagoras, and the
triangle off them): only steps whose bound is below a distance that was met are compared whole. `SLACK`, a share of the
lengths, is for rounding."""


Predict = Callable[[np.ndarray], Columns]
"""Rows of features -> columns of actions."""


@dataclass(frozen=True)
class FittedPolicy:
    """A fitted predictor as a policy. `steps`, `features` and `parameters` say what it was fitted on and became."""

    encode: Features
    columns: ActionColumns
    predict: Predict
    steps: int
    features: int
    parameters: int

    def reset(self, index: int) -> None: ...

    def act(self, observations: list[Any], active: list[int]) -> list[Any]:
        return self.columns.decode(self.predict(self.encode.listed(observations)))


def most_steps(observation_space: gym.Space) -> int:
    """More steps than this a fit does not look at: what it is given may be drawn from the demonstrations."""
    values = sum(int(np.prod(leaf.shape or ())) for _, leaf in space_leaves(observation_space) if not is_text(leaf))
    return min(FIT_STEPS, max(1, FIT_VALUES // max(values, 1)))


@dataclass(frozen=True)
class Prepared:
    """The steps that a fit uses, as tables.

    Args:
        rows: which of the given steps, int64[N] ascending.
        x: their features without repeated columns, float32[N, F]. distinct: these columns among all `features`.
        repeats: how many there are of each, int64[F].
        shown: their actions.
    """

    encode: Features
    columns: ActionColumns
    rows: np.ndarray
    x: np.ndarray
    distinct: np.ndarray
    repeats: np.ndarray
    shown: Columns
    features: int

    def policy(self, predict: Predict, parameters: int) -> FittedPolicy:
        """`predict` takes features as `x` has them."""
        distinct = self.distinct
        inside = lambda given: predict(given[:, distinct])  # noqa: E731
        return FittedPolicy(self.encode, self.columns, inside, len(self.rows), self.features, parameters)


def prepare(
    observation_space: gym.Space,
    action_space: gym.Space,
    observations: Any,
    actions: Any,
    choose: Callable[[int, int], np.ndarray],
) -> Prepared:
    """What a fit uses of the steps that it is given.

    Args:
        choose: from how many steps there are and how many may be used, which are.
    """
    columns = action_columns(action_space, actions)
    shown = columns.encode(actions)
    encode = fit_features(observation_space, observations)
    width = encode.listed([take(observations, 0)]).shape[1]
    rows = choose(len(shown.numbers), min(FIT_STEPS, max(1, FIT_VALUES // max(width, 1))))
    x = encode.stacked(take(observations, rows))
    distinct, repeats = _distinct_features(x)
    return Prepared(encode, columns, rows, x[:, distinct], distinct, repeats, shown[rows], width)


def drawn(seed: int) -> Callable[[int, int], np.ndarray]:
    """Steps drawn uniformly without replacement, for `prepare`."""
    return lambda total, most: np.sort(np.random.default_rng(seed).choice(total, min(total, most), replace=False))


def whole_episodes(lengths: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Numbers int64 (ascending) of episodes, drawn without replacement until they would have more than `most` steps.

    One at least, of which the first steps are then what counts.
    """
    order = np.random.default_rng(seed).permutation(len(lengths))
    count = max(1, int(np.searchsorted(np.cumsum(lengths[order]), most, side="right")))
    return np.sort(order[:count])


def _distinct_features(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first of each set of equal columns of `x`, and how many there are of it.

    Drawn images repeat the same few tiles: of 9,408 values in a BabyAI image some 1,500 differ, and a fit on these is
    as much faster. Where the repeats of an image not seen before differ, the first of them counts.
    """
    found: dict[bytes, list[int]] = {}
    for index, column in enumerate(np.ascontiguousarray(x.T)):
        found.setdefault(hashlib.blake2b(column, digest_size=16).digest(), []).append(index)
    return np.array([same[0] for same in found.values()]), np.array([len(same) for same in found.values()])


def fit_linear(
    observation_space: gym.Space, action_space: gym.Space, observations: Any, actions: Any, *, seed: int = 0
) -> FittedPolicy:
    """A linear policy: ridge regression for numbers, multinomial logistic regression for every class column.

    Args:
        observations, actions: trees of arrays with a leading axis N: steps of the demonstrations, see `most_steps`.
        seed: draws the steps that are used (`FIT_STEPS`, `FIT_VALUES`).
    """
    given = prepare(observation_space, action_space, observations, actions, drawn(seed))
    return given.policy(*_linear(given.x, given.shown, given.columns))


def _linear(x: np.ndarray, shown: Columns, columns: ActionColumns) -> tuple[Predict, int]:
    """The predictor, and how many parameters it has."""
    mean, std = x.mean(axis=0), x.std(axis=0)
    std[std < 1e-6] = 1
    x = (x - mean) / std  # without this L-BFGS is far from done after ITERATIONS on pixels
    heads = [_logistic(x, shown.classes[:, index]) for index in range(len(columns.sizes))]
    if len(columns.low):
        # With more features than steps a Gram matrix is solved, in which float32 loses the regularisation of pixels.
        ridge = Ridge(alpha=1.0).fit(x if len(x) >= x.shape[1] else x.astype(np.float64), shown.numbers)
        slope, offset = np.asarray(ridge.coef_).reshape(len(columns.low), -1).T, np.asarray(ridge.intercept_)
    else:
        slope, offset = np.zeros((x.shape[1], 0)), np.zeros(0)

    def predict(rows: np.ndarray) -> Columns:
        rows = (rows - mean) / std
        classes = [known[(rows @ weights + bias).argmax(axis=1)] for known, weights, bias in heads]
        return Columns(rows @ slope + offset, np.stack(classes, 1) if classes else np.zeros((len(rows), 0), np.int64))

    return predict, slope.size + offset.size + sum(weights.size + bias.size for _, weights, bias in heads)


def _logistic(x: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes seen [k], weights [F, k] and biases [k] of a multinomial logistic regression."""
    known = np.unique(classes)
    if len(known) == 1:
        return known, np.zeros((x.shape[1], 1), np.float32), np.zeros(1, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # see ITERATIONS
        fitted = LogisticRegression(max_iter=ITERATIONS).fit(x, classes)
    weights, bias = fitted.coef_.T, fitted.intercept_
    if len(known) == 2:  # scikit-learn keeps one column, that of the second class
        weights, bias = np.concatenate([-weights, weights], axis=1), np.concatenate([-bias, bias])
    return known, weights, bias


def fit_nearest_neighbour(
    observation_space: gym.Space, action_space: gym.Space, observations: Any, actions: Any, *, seed: int = 0
) -> FittedPolicy:
    """The action of the demonstrated step whose features are nearest (Euclidean); arguments as for `fit_linear`."""
    given = prepare(observation_space, action_space, observations, actions, drawn(seed))
    return given.policy(_nearest(given.x, given.repeats, given.shown), 0)


def _nearest(x: np.ndarray, repeats: np.ndarray, shown: Columns) -> Predict:
    weight = np.sqrt(repeats).astype(np.float32)  # a repeated feature counts as often as it was there
    x = x * weight
    if x.shape[1] <= TREE_FEATURES:
        tree = KDTree(x)
        return lambda rows: shown[tree.query(rows * weight, return_distance=False)[:, 0]]
    mean, axes = _main_axes(x)
    short = _sketch(x, mean, axes)
    lengths = (short * short).sum(axis=1)

    def nearest(row: np.ndarray, bounds: np.ndarray, slack: np.ndarray) -> int:
        first = bounds.argmin()
        least = max(_squares(x[[first]] - row)[0], bounds[first])
        there = np.flatnonzero(bounds <= least + slack)
        return int(there[_squares(x[there] - row).argmin()])

    def predict(rows: np.ndarray) -> Columns:
        rows = rows * weight
        asked = _sketch(rows, mean, axes)
        size = _squares(asked)
        bounds = lengths - 2 * asked @ short.T + size[:, None]
        slack = SLACK * (lengths.max() + size)
        return shown[np.array([nearest(*each) for each in zip(rows, bounds, slack, strict=True)])]

    return predict


def _main_axes(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the rows of `x` and the orthonormal directions [F, `SKETCH`] in which most of them differ."""
    mean = x.mean(axis=0)
    some = x[:: max(1, len(x) // AXES_FROM)] - mean
    return mean, np.linalg.svd(some, full_matrices=False)[2][:SKETCH].T


def _sketch(rows: np.ndarray, mean: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Rows as a few numbers each, between which distances are never larger: along the axes, and how far off them."""
    rows = rows - mean
    along = rows @ axes
    off = np.sqrt(np.maximum(_squares(rows) - _squares(along), 0))
    return np.concatenate([along, off[:, None]], axis=1)


def _squares(rows: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", rows, rows)
