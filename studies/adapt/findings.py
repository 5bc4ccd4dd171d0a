"""What a study of adaptation found: means with intervals, demonstrations needed, what was lost; from episodes alone.

A way's score at a number of demonstrations is the mean over tasks, draws of demonstrations and episodes. Its interval
is a percentile bootstrap: draws are drawn anew, and inside each the episodes of every task (Agarwal et al. 2021,
stratified by task). With three draws it covers their luck coarsely; each draw has a training seed of its own, so that
the luck of training is in it too. Differences are paired: two ways of one draw saw the same demonstrations and played
the same episodes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

RESAMPLES = 2000
CONFIDENCE = 0.95


class Draws:
    """Bootstrap samples of draws, and of episodes inside each: the same for all ways, so that differences are paired.

    Args:
        draws, tasks, episodes: sizes of the arrays that are drawn from.
    """

    def __init__(self, draws: int, tasks: int, episodes: int, *, resamples: int = RESAMPLES, seed: int = 0):
        rng = np.random.default_rng(seed)
        self._draws = rng.integers(0, draws, (resamples, draws))
        self._counts = rng.multinomial(episodes, np.full(episodes, 1 / episodes), (resamples, draws, tasks))
        self._counts = self._counts.astype(np.float32) / episodes

    def means(self, values: np.ndarray) -> np.ndarray:
        """Of values [draws, tasks, episodes], the resampled means [resamples, tasks] over draws and episodes."""
        inside = np.einsum("rdte,dte->rdt", self._counts, values.astype(np.float32))
        chosen = np.take_along_axis(inside, self._draws[:, :, None], axis=1)
        return chosen.mean(axis=1)


def interval(samples: np.ndarray, value: float) -> dict[str, Any]:
    """A value with the ends of its percentile interval."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return {"value": value, "ci95": [min(float(low), value), max(float(high), value)]}


def needed(numbers: Sequence[int], means: np.ndarray, level: float) -> np.ndarray:
    """Demonstrations with which a curve first reaches a level: on straight lines over log(number) between the numbers.

    Args:
        means: [..., numbers].

    Returns:
        float[...]; the smallest number where it is reached at once, infinity where it is not reached at all.
    """
    logs = np.log(np.asarray(numbers, float))
    found = np.full(means.shape[:-1], np.inf)
    for at in range(len(numbers) - 1, -1, -1):
        here = means[..., at]
        if at == 0:
            found = np.where(here >= level, numbers[0], found)
            continue
        before = means[..., at - 1]
        crosses = (before < level) & (here >= level)
        share = np.where(crosses, (level - before) / np.where(crosses, here - before, 1.0), 0.0)
        found = np.where(crosses, np.exp(logs[at - 1] + share * (logs[at] - logs[at - 1])), found)
    return found


def needed_interval(numbers: Sequence[int], value: np.ndarray, samples: np.ndarray, level: float) -> dict[str, Any]:
    """`needed` of a curve [numbers] with its interval over resampled ones [resamples, numbers]; None: not reached."""
    tail = (1 - CONFIDENCE) / 2
    ends = np.quantile(needed(numbers, samples, level), [tail, 1 - tail], method="nearest")
    return {
        "level": level,
        "value": _finite(float(needed(numbers, value, level))),
        "ci95": [_finite(float(end)) for end in ends],
    }


def _finite(number: float) -> float | None:
    return number if np.isfinite(number) else None


def difference(one: np.ndarray, other: np.ndarray, draws: Draws) -> dict[str, Any]:
    """Mean of `one - other` over tasks, with its interval; and of each task. Both are [draws, tasks, episodes]."""
    samples, values = draws.means(one - other), (one - other).mean(axis=(0, 2))
    return {
        **interval(samples.mean(axis=1), float(values.mean())),
        "tasks": [interval(samples[:, at], float(value)) for at, value in enumerate(values)],
    }


def summary(values: np.ndarray, draws: Draws) -> dict[str, Any]:
    """Mean over tasks with its interval; and of each task."""
    return difference(values, np.zeros_like(values), draws)


def scaled(records: Mapping[str, Any], ends: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, np.ndarray]:
    """By task, the normalised score of every episode: 0 is the random policy's mean, 1 the expert's; without an expert
    or where it is no better, the score itself.
    """
    found = {}
    for task, record in records.items():
        values = scores(record, kinds[task])
        zero = float(np.mean(scores(ends[task]["random"], kinds[task])))
        expert = ends[task].get("expert")
        one = float(np.mean(scores(expert, kinds[task]))) if expert else zero
        found[task] = (values - zero) / (one - zero) if one > zero else values
    return found


def scores(record: Mapping[str, Any], kind: str) -> np.ndarray:
    """Every episode's score [E]: its return, or 1 for success and 0 without."""
    return np.asarray(record["successes" if kind == "success" else "returns"], np.float64)
