"""Which demonstrations are good enough to learn from."""

import numpy as np


def expert_return(returns: np.ndarray) -> float:
    """What the expert reaches: the best mean over W consecutive episodes, W = min(1000, ceil(E / 10)).

    Reed et al. 2022, on filtering by return: max over j of sum(R[j : j + W]) / W.
    """
    window = min(1000, -(-len(returns) // 10))
    sums = np.cumsum(np.concatenate([[0.0], returns]))
    return float(np.max(sums[window:] - sums[:-window]) / window)


def lowest_return(returns: np.ndarray, fraction: float = 0.8) -> float:
    """The return from which on an episode is good enough: `fraction` of the expert's return.

    The paper says "at least 80% of the expert return", which has no meaning for a negative one: 80% of -100 is -80,
    better than the expert. So a return may fall short by (1 - fraction) * |expert return|; for positive returns that
    is the paper's rule.

    Args:
        returns: float[E], in the order of collection.
        fraction: in [0, 1]; 0 keeps what is no worse than the expert's return minus its own size.

    Raises:
        ValueError: no episodes, returns that are not finite, or a fraction outside [0, 1].
    """
    returns = np.asarray(returns, np.float64)
    if returns.ndim != 1 or not len(returns) or not np.isfinite(returns).all():
        raise ValueError(f"need at least one finite return in one dimension, got an array of shape {returns.shape}")
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must be in [0, 1], got {fraction}")
    expert = expert_return(returns)
    threshold = expert - (1 - fraction) * abs(expert)
    slack = 1e-9 * max(1.0, abs(expert))  # equal returns must not be split by rounding in the mean
    return threshold - slack


def filter_by_return(returns: np.ndarray, fraction: float = 0.8) -> np.ndarray:
    """Indices int64 (ascending) of the episodes that reach `lowest_return`, whose arguments and errors it shares."""
    return np.flatnonzero(np.asarray(returns, np.float64) >= lowest_return(returns, fraction))
