"""Intervals of shares of documents, and of sums over documents."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest

from generalist.eval.report.statistics import RESAMPLES, Interval


def wilson(right: int, total: int) -> Interval:
    """A share with its 95% Wilson interval, which has a width even where all or none are right."""
    ends = binomtest(right, total).proportion_ci(confidence_level=0.95, method="wilson")
    return Interval(value=right / total, low=float(ends.low), high=float(ends.high))


def ratio_interval(above: Sequence[float], below: Sequence[float], *, seed: int = 0) -> Interval:
    """sum(above) / sum(below) over documents [n], with its 95% percentile bootstrap interval over documents.

    Raises:
        ValueError: `below` sums to zero.
    """
    top, bottom = np.asarray(above, np.float64), np.asarray(below, np.float64)
    if bottom.sum() <= 0:
        raise ValueError(f"{len(bottom)} documents without a byte have no bits per byte; give documents with text")
    drawn = np.random.default_rng(seed).integers(0, len(top), (RESAMPLES, len(top)))
    sums = bottom[drawn].sum(axis=1)
    low, high = np.quantile(top[drawn].sum(axis=1)[sums > 0] / sums[sums > 0], [0.025, 0.975])
    value = float(top.sum() / bottom.sum())
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value))
