"""From loss to success: a run's score as a falling function of its held-out loss, 1 / (1 + exp((L - half) / width)).

Two parameters, and 0 and 1 as ends by the meaning of the score: the random policy and the expert; of a success rate,
never and always. A score that leaves [0, 1] stays as it is and is fitted as well as may be. That loss tells return was
found only where demonstrations are not repeated often (Pearce et al. 2025).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.special import expit
from scipy.stats import rankdata


@dataclass(frozen=True, kw_only=True)
class Logistic:
    """A score that is 1/2 at the loss `half` (nats) and falls from 0.73 to 0.27 over two `width`s around it."""

    half: float
    width: float
    at_bound: bool

    def __call__(self, loss: float | np.ndarray) -> np.ndarray:
        return expit((self.half - np.asarray(loss, np.float64)) / self.width)


def fit_logistic(
    loss: Sequence[float] | np.ndarray, score: Sequence[float] | np.ndarray, *, near: Logistic | None = None
) -> Logistic:
    """By least squares over the runs; `half` at most ten times the range of the losses outside it.

    Args:
        near: start from this alone, as for runs drawn anew from those that it was fitted to; else from nine places.
    """
    x, y = np.asarray(loss, np.float64), np.asarray(score, np.float64)
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    reach = max(float(np.ptp(x)), 1e-3 * float(np.abs(x).max()), 1e-9)
    low = np.array([x.min() - 10 * reach, np.log(1e-3 * reach)])
    high = np.array([x.max() + 10 * reach, np.log(1e2 * reach)])

    def residual(theta: np.ndarray) -> np.ndarray:
        return expit((theta[0] - x) / np.exp(theta[1])) - y

    starts = [(half, np.log(share * reach)) for half in np.quantile(x, [0.0, 0.5, 1.0]) for share in (0.1, 0.4, 2.0)]
    if near is not None:
        edge = 1e-3 * (high - low)
        starts = [np.clip([near.half, np.log(near.width)], low + edge, high - edge)]
    found = [least_squares(residual, start, bounds=(low, high), x_scale=[reach, 1.0]) for start in starts]
    best = min(found, key=lambda each: each.cost).x
    away = np.minimum(best - low, high - best) / np.array([reach, 1.0])
    return Logistic(half=float(best[0]), width=float(np.exp(best[1])), at_bound=bool((away < 1e-3).any()))


def rank_correlation(loss: Sequence[float], score: Sequence[float]) -> float | None:
    """Spearman's, None where either does not vary: -1 is a score that falls with every rise of the loss."""
    if np.ptp(loss) == 0 or np.ptp(score) == 0:
        return None
    return float(np.corrcoef(rankdata(loss), rankdata(score))[0, 1])
