"""Statistics of evaluation: intervals, expert-normalised scores, and aggregates over tasks.

Aggregates follow Agarwal et al. 2021 ("Deep RL at the Edge of the Statistical Precipice", rliable): percentile
bootstrap stratified by task, and the interquartile mean, a mean without the lowest and highest quarter. There one
column holds training runs; ours holds evaluation episodes of one set of weights, so we aggregate the *means* of tasks
(an episode of a task scored by success is 0 or 1, and its interquartile mean would say nothing), and the interval
covers the choice of episodes, not the luck of training. Random and expert means are constants, as there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import trim_mean

RESAMPLES = 2000
THRESHOLDS = (0.5, 0.8, 0.9)
"""Parts of the way from random play to the expert; of many tasks, how many pass them says more than a mean."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean (or another statistic) with the ends of its bootstrap interval."""

    value: float
    low: float
    high: float


def resampled_means(values: Sequence[float] | np.ndarray, *, resamples: int, seed: int) -> np.ndarray:
    """Means of `resamples` bootstrap samples of `values` [n] -> [resamples]; drawn from `seed` alone.

    Raises:
        ValueError: `values` is empty or not finite.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(
            f"a bootstrap needs a non-empty list of finite numbers, got shape {values.shape}: {values[:5]}"
        )
    drawn = np.random.default_rng(seed).integers(0, values.size, (resamples, values.size))
    return values[drawn].mean(axis=1)


def bootstrap_mean_ci(
    values: Sequence[float] | np.ndarray, *, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Mean of `values` [n] with its percentile bootstrap interval.

    With one value, or equal values, the interval has no width: it says nothing about values not seen.
    """
    means = resampled_means(values, resamples=resamples, seed=seed)
    return _interval(float(np.mean(values)), means, confidence)


def _interval(value: float, samples: np.ndarray, confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value))


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The line through (zero, 0) and (one, 1): `zero` is usually the random policy's mean, `one` the expert's.

    `problem` says why the scale is undefined, and is None where it is defined.
    """

    zero: float
    one: float
    problem: str | None = None

    def __call__(self, value: float | np.ndarray) -> float | np.ndarray:
        """Normalised score of `value`: 0 at `zero`, 1 at `one`, not clipped.

        Raises:
            ValueError: the scale is undefined.
        """
        if self.problem is not None:
            raise ValueError(f"no normalised score: {self.problem}")
        return (value - self.zero) / (self.one - self.zero)


def expert_scale(*, random: float | None, expert: float | None, constant: float | None = None) -> Scale:
    """The scale on which the random policy is 0 and the expert 1 (Reed et al. 2022, sec. 4).

    With `constant`, the mean of the best constant action, zero is the better of it and the random policy: what can be
    had without looking at all. Undefined where a mean is missing or the expert is not above zero.
    """
    if random is None or expert is None:
        missing = " and ".join(name for name, mean in (("random", random), ("expert", expert)) if mean is None)
        return Scale(zero=0.0, one=0.0, problem=f"the task has no {missing} mean")
    zero = random if constant is None else max(random, constant)
    if not expert > zero:
        name = "random" if zero == random else "best constant"
        return Scale(
            zero=zero, one=expert, problem=f"the expert's mean {expert:g} is not above the {name} mean {zero:g}"
        )
    return Scale(zero=zero, one=expert)


def interquartile_mean(values: Sequence[float] | np.ndarray) -> float:
    """Mean of the middle half of `values` [n]; floor(n / 4) are cut at each end (rliable's `aggregate_iqm`)."""
    return float(trim_mean(np.asarray(values, np.float64), proportiontocut=0.25))


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """Statistics over tasks, each with its interval.

    Args:
        tasks: how many were defined.
        mean, median, iqm: over tasks.
        domain_mean: the mean over families of the mean over a family's tasks (Reed et al. 2022, fig. 5 and sec. 4).
        at_least: by each of `THRESHOLDS`, the share of tasks whose mean is that or more. The interval is that of the
            episodes drawn anew: tasks whose mean lies near the threshold make it wide.
    """

    tasks: int
    mean: Interval
    median: Interval
    iqm: Interval
    domain_mean: Interval
    at_least: Mapping[float, Interval]


def aggregate(
    tasks: Sequence[Sequence[float] | np.ndarray],
    families: Sequence[str] | None = None,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Aggregate | None:
    """Aggregates over tasks of their mean normalised score; None if there is no task.

    Args:
        tasks: for each task the normalised score of every episode, [E_t]; counts may differ.
        families: of each task; all of one by default.

    The bootstrap is stratified: each resample draws every task's episodes anew, then aggregates the tasks' means.
    """
    if not tasks:
        return None
    means = np.array([np.mean(episodes) for episodes in tasks])
    samples = np.stack(
        [resampled_means(episodes, resamples=resamples, seed=seed + row) for row, episodes in enumerate(tasks)], axis=1
    )

    def measured(statistic: Callable[..., np.ndarray]) -> Interval:
        return _interval(float(statistic(means, axis=0)), statistic(samples, axis=1), confidence)

    names = list(families or [""] * len(tasks))
    weights = np.array([1 / names.count(name) for name in names]) / len(set(names))
    return Aggregate(
        tasks=len(tasks),
        mean=measured(np.mean),
        median=measured(np.median),
        iqm=measured(lambda values, axis: trim_mean(values, proportiontocut=0.25, axis=axis)),
        domain_mean=measured(lambda values, axis: np.average(values, axis=axis, weights=weights)),
        at_least={each: measured(partial(_share_at_least, each)) for each in THRESHOLDS},
    )


def _share_at_least(threshold: float, means: np.ndarray, axis: int) -> np.ndarray:
    """A mean that rounding alone keeps below the threshold counts."""
    return np.mean(means >= threshold - 1e-9, axis=axis)
