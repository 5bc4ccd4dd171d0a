"""The law L = E + A / N^alpha + B / D^beta, fitted to the held-out losses of runs (Hoffmann et al. 2022, app. D.3).

The objective is the *sum* of Huber losses (delta 1e-3) of log residuals, log L minus the logarithm of the law. A mean
in its place lets optimizers stop too early (Besiroglu et al. 2024), and so does the sum as it is, which is about 1e-3:
here it is divided by delta squared, which has the same minimum.

The terms are fitted at the middle of the runs: with x = log N minus its mean, the size's share is exp(a - alpha x), the
tokens' likewise. So the parameters hardly depend on each other, and on no unit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

DELTA = 1e-3
"""Log residuals beyond it count by their size, those below by their square."""
PARAMETERS = 5
LEAST_RUNS, LEAST_LEVELS = 6, 3
"""Runs in all, and different sizes and token counts among them; with fewer the five parameters are not determined."""
EXPONENTS = (0.01, 3.0)
"""Ends between which alpha and beta are looked for."""
SMALLEST = -12.0
"""A term is at least exp of this of the median loss at the middle of the runs: below it, it is not there."""
STARTS = tuple(product((-3.0, -1.5, -0.5), (-3.0, -1.5, -0.5), (-3.0, -0.7, -0.1), (0.1, 0.5, 1.2), (0.1, 0.5, 1.2)))
"""Values of (a, b, e, alpha, beta) to start from, logarithms relative to the median loss."""
TRIED = 24
"""Starts of least objective from which the minimum is looked for."""


@dataclass(frozen=True, kw_only=True)
class Law:
    """L(N, D) = E + A / N^alpha + B / D^beta, in nats.

    Args:
        log_size_term, log_token_term: natural logarithms of A and B, which may be too large for a float.
        at_bound: names of the parameters that the fit left at an end of what is looked at: the runs do not determine
            them.
    """

    E: float
    log_size_term: float
    log_token_term: float
    alpha: float
    beta: float
    objective: float
    at_bound: tuple[str, ...] = ()

    @property
    def size_exponent(self) -> float:
        """a of N_opt ~ C^a: how the best size grows with compute C = 6 N D."""
        return self.beta / (self.alpha + self.beta)

    @property
    def token_exponent(self) -> float:
        """b of D_opt ~ C^b; a + b is 1."""
        return self.alpha / (self.alpha + self.beta)

    def loss(self, parameters: float | np.ndarray, tokens: float | np.ndarray) -> np.ndarray:
        """The loss in nats that the law gives for so many parameters and tokens."""
        size = np.exp(self.log_size_term - self.alpha * np.log(parameters))
        return self.E + size + np.exp(self.log_token_term - self.beta * np.log(tokens))

    def best_size(self, compute: float | np.ndarray) -> np.ndarray:
        """Parameters N at which 6 N D = `compute` has the lowest loss."""
        log_ratio = np.log(self.alpha) + self.log_size_term - np.log(self.beta) - self.log_token_term
        return np.exp((log_ratio + self.beta * np.log(np.asarray(compute) / 6)) / (self.alpha + self.beta))

    def values(self) -> dict[str, float]:
        """The numbers that have intervals, by name."""
        return {
            "E": self.E,
            "A": float(np.exp(self.log_size_term)),
            "B": float(np.exp(self.log_token_term)),
            "alpha": self.alpha,
            "beta": self.beta,
            "a": self.size_exponent,
            "b": self.token_exponent,
        }


@dataclass(frozen=True)
class Runs:
    """What the law is fitted to: parameters N, tokens D and loss L of every run, each float[R].

    Raises:
        ValueError: numbers that are no such thing, or too few to determine the law.
    """

    parameters: np.ndarray
    tokens: np.ndarray
    loss: np.ndarray

    def __post_init__(self):
        for name in ("parameters", "tokens", "loss"):
            values = np.asarray(getattr(self, name), np.float64)
            object.__setattr__(self, name, values)
            if values.ndim != 1 or len(values) != len(self.parameters):
                raise ValueError(f"{name} must be one number for each of {len(self.parameters)} runs")
            if not (np.isfinite(values).all() and (values > 0).all()):
                raise ValueError(f"{name} of all runs must be positive and finite, got {values.min()}")
        check_enough(self.parameters, self.tokens)

    def __len__(self) -> int:
        return len(self.loss)

    def in_order(self) -> "Runs":
        """The same runs in an order that does not depend on the one given, so that neither does what is drawn."""
        order = np.lexsort((self.loss, self.tokens, self.parameters))
        return Runs(self.parameters[order], self.tokens[order], self.loss[order])


def check_enough(sizes: Sequence[float] | np.ndarray, tokens: Sequence[float] | np.ndarray) -> None:
    """Raises ValueError where runs of these sizes and tokens cannot determine the law."""
    if len(sizes) < LEAST_RUNS:
        raise ValueError(
            f"{len(sizes)} runs cannot determine the law's {PARAMETERS} parameters: at least {LEAST_RUNS} are needed, "
            "better 16; give more sizes, token counts or seeds"
        )
    for name, levels in (("sizes", sizes), ("token counts", tokens)):
        if len(count := np.unique(levels)) < LEAST_LEVELS:
            raise ValueError(
                f"{len(count)} different {name} cannot tell a power of them from a constant: give at least "
                f"{LEAST_LEVELS}"
            )


def fit_law(runs: Runs) -> Law:
    """The law of least sum of Huber losses of log residuals: of many starts by L-BFGS-B, then polished by BFGS.

    The order of the runs does not matter, to the last bit.
    """
    with threadpool_limits(
        1
    ):  # threads of BLAS cost more than they do on five variables, 15 times where cores are busy
        return Fit.of(runs.in_order()).best()


@dataclass(frozen=True)
class Fit:
    """The problem in the variables that are optimized: (a, b, e, alpha, beta), see the module's docstring.

    Args:
        x, y: log N and log D, minus their means, float[R].
        log_loss: log L minus its median, float[R].
        shifts: the two means and the median.
    """

    x: np.ndarray
    y: np.ndarray
    log_loss: np.ndarray
    shifts: tuple[float, float, float]

    @classmethod
    def of(cls, runs: Runs) -> "Fit":
        x, y, loss = (np.log(values) for values in (runs.parameters, runs.tokens, runs.loss))
        shifts = float(x.mean()), float(y.mean()), float(np.median(loss))
        return cls(x - shifts[0], y - shifts[1], loss - shifts[2], shifts)

    @property
    def bounds(self) -> list[tuple[float, float]]:
        highest = float(self.log_loss.max()) + 1.0
        return [(SMALLEST, highest)] * 3 + [EXPONENTS] * 2

    def drawn(self, rows: np.ndarray) -> "Fit":
        """The problem of these rows of it, in the same variables."""
        return Fit(self.x[rows], self.y[rows], self.log_loss[rows], self.shifts)

    def objective(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """The sum of Huber losses over delta squared, and its gradient [5]."""
        a, b, e, alpha, beta = theta
        terms = np.stack([a - alpha * self.x, b - beta * self.y, np.full(len(self.x), e)])
        highest = terms.max(axis=0)
        shares = np.exp(terms - highest)
        total = shares.sum(axis=0)
        residual = (highest + np.log(total) - self.log_loss) / DELTA
        size = np.abs(residual)
        value = np.where(size <= 1, 0.5 * residual**2, size - 0.5).sum()
        slope = np.clip(residual, -1, 1) / DELTA * shares / total
        gradient = np.array([*slope.sum(axis=1), -(slope[0] * self.x).sum(), -(slope[1] * self.y).sum()])
        return float(value), gradient

    def objectives(self, thetas: Float[np.ndarray, "S 5"]) -> Float[np.ndarray, " S"]:
        """The objective at many points at once."""
        a, b, e, alpha, beta = (column[:, None] for column in thetas.T)
        law = np.logaddexp(np.logaddexp(a - alpha * self.x, b - beta * self.y), e)
        size = np.abs(law - self.log_loss) / DELTA
        return np.where(size <= 1, 0.5 * size**2, size - 0.5).sum(axis=1)

    def best(self, also: Sequence[np.ndarray] = (), tried: int = TRIED) -> Law:
        """The lowest minimum that is found from the `tried` best of `STARTS`, and from `also`."""
        return self.law(self.minimum(also, tried))

    def minimum(self, also: Sequence[np.ndarray] = (), tried: int = TRIED) -> np.ndarray:
        grid = np.array(STARTS)
        chosen = grid[np.argsort(self.objectives(grid), kind="stable")[:tried]]
        found = [self._descend(start) for start in (*also, *chosen)]
        _, best = min(found, key=lambda each: each[0])
        return self._polish(best)

    def _descend(self, start: np.ndarray) -> tuple[float, np.ndarray]:
        options = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-13, "gtol": 1e-7}
        done = minimize(self.objective, start, jac=True, method="L-BFGS-B", bounds=self.bounds, options=options)
        return float(done.fun), done.x

    def _polish(self, theta: np.ndarray) -> np.ndarray:
        """A BFGS step further, where it stays between the bounds and is lower."""
        done = minimize(self.objective, theta, jac=True, method="BFGS", options={"gtol": 1e-6})
        inside = all(low <= value <= high for value, (low, high) in zip(done.x, self.bounds, strict=True))
        return done.x if inside and done.fun < self.objective(theta)[0] else theta

    def law(self, theta: np.ndarray) -> Law:
        a, b, e, alpha, beta = (float(value) for value in theta)
        x, y, loss = self.shifts
        ends = zip(("A", "B", "E", "alpha", "beta"), theta, self.bounds, strict=True)
        return Law(
            E=float(np.exp(e + loss)),
            log_size_term=a + loss + alpha * x,
            log_token_term=b + loss + beta * y,
            alpha=alpha,
            beta=beta,
            objective=self.objective(theta)[0] * DELTA**2,
            at_bound=tuple(name for name, value, (low, high) in ends if min(value - low, high - value) < 1e-4),
        )


def bootstrap_laws(
    runs: Runs, *, resamples: int, seed: int = 0, tried: int = 1, done: Callable[[str], None] = lambda _: None
) -> list[tuple[Law, np.ndarray]]:
    """Laws fitted to runs drawn anew with replacement, each with the rows of `runs.in_order()` that were drawn.

    Each fit starts from that of all runs and from the `tried` best starts of its own; `done` is called after each.
    """
    whole = Fit.of(runs.in_order())
    rng = np.random.default_rng(seed)
    draws = [rng.integers(0, len(runs), len(runs)) for _ in range(resamples)]
    with threadpool_limits(1):
        best = whole.minimum()
        found = []
        for rows in draws:
            found.append((whole.drawn(rows).best(also=[best], tried=tried), rows))
            done("")
    return found


def percentiles(values: Sequence[float] | np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Ends of the percentile interval."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.asarray(values, np.float64), [tail, 1 - tail])
    return float(low), float(high)
