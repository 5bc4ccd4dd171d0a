"""What the runs of a study say: the law with intervals, loss to success, and a prediction with its interval."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np

from generalist.studies.scale.law import PARAMETERS, Law, Runs, bootstrap_laws, fit_law, percentiles
from generalist.studies.scale.success import fit_logistic, rank_correlation

RESAMPLES = 1000
SCORES = ("score", "success")
"""Normalised score over all tasks, and success rate over those that know success."""
CURVE_POINTS = 41


class Findings:
    """Everything that is fitted to the runs of the grid; the same runs in any order give the same numbers.

    Args:
        runs: each with parameters, tokens, loss, and score and success or None.
        done: called after each fit of the bootstrap.
    """

    def __init__(
        self,
        runs: Sequence[Mapping[str, Any]],
        *,
        resamples: int = RESAMPLES,
        done: Callable[[str], None] = lambda _: None,
    ):
        order = sorted(runs, key=lambda run: (run["parameters"], run["tokens"], run["loss"]))
        self._rows = order
        self.runs = Runs(*(np.array([run[name] for run in order]) for name in ("parameters", "tokens", "loss")))
        self.law = fit_law(self.runs)
        self.resampled = bootstrap_laws(self.runs, resamples=resamples, done=done)
        self._scores: dict[str, _Scores | None] = {name: self._fit_scores(name) for name in SCORES}

    @cached_property
    def residuals(self) -> np.ndarray:
        """log(measured loss / the law's), [R], in the order of `runs`."""
        return np.log(self.runs.loss / self.law.loss(self.runs.parameters, self.runs.tokens))

    def residual(self, run: Mapping[str, Any]) -> float:
        """log(measured loss / the law's) of any run."""
        return float(np.log(run["loss"] / self.law.loss(run["parameters"], run["tokens"])))

    def _fit_scores(self, name: str) -> "_Scores | None":
        values = [row[name] for row in self._rows]
        if any(value is None for value in values):
            return None
        return _Scores(self.runs.loss, np.array(values, np.float64), [rows for _, rows in self.resampled])

    def to_json(self) -> dict[str, Any]:
        """`law` and `scores` of scale.json; numbers without a value are None."""
        return {
            "law": self._law_to_json(),
            "scores": {name: None if found is None else found.to_json() for name, found in self._scores.items()},
            "curves": self.curves(),
        }

    def _law_to_json(self) -> dict[str, Any]:
        laws = [law for law, _ in self.resampled]
        at_bound = sum(bool(law.at_bound) for law in laws)
        values: dict[str, Any] = {}
        for name, value in self.law.values().items():
            drawn = np.array([law.values()[name] for law in laws])
            values[name] = {"value": value, "interval": list(percentiles(drawn)), "standard_error": float(drawn.std())}
        return {
            "values": values,
            "log_A": self.law.log_size_term,
            "log_B": self.law.log_token_term,
            "at_bound": list(self.law.at_bound),
            "resamples": len(laws),
            "resamples_at_bound": at_bound,
            "bounds_reached": _counts(laws),
            "objective": self.law.objective,
            "residual_rms": float(np.sqrt(np.mean(self.residuals**2))),
            "residual_worst": float(np.abs(self.residuals).max()),
            "weak": weakness(self.law, at_bound / len(laws), values, len(self.runs)),
        }

    def predict(self, parameters: float, tokens: float) -> dict[str, Any]:
        """What a run of this size and tokens will come to, each as `value` and the 95% `interval` of one run.

        The interval has the spread of the bootstrap, and that of one run around the law: a residual of the fit, drawn
        anew and enlarged by sqrt(R / (R - 5)) for the parameters that were fitted to them.
        """
        rng = np.random.default_rng(0)
        count = len(self.runs)
        drawn = self.residuals[rng.integers(0, count, len(self.resampled))] * np.sqrt(count / (count - PARAMETERS))
        losses = np.array([float(law.loss(parameters, tokens)) for law, _ in self.resampled]) * np.exp(drawn)
        value = float(self.law.loss(parameters, tokens))
        found = {"loss": {"value": value, "interval": list(percentiles(losses))}}
        for name, scores in self._scores.items():
            if scores is not None:
                found[name] = scores.at(value, losses)
        return found

    def curves(self) -> dict[str, Any]:
        """Lines for plots, with 95% bands: loss over compute at the best size, and score over loss."""
        compute = 6 * self.runs.parameters * self.runs.tokens
        axis = np.geomspace(compute.min() / 2, compute.max() * 8, CURVE_POINTS)

        def frontier(law: Law) -> np.ndarray:
            size = law.best_size(axis)
            return law.loss(size, axis / 6 / size)

        found = {
            "compute": axis.tolist(),
            "best_size": self.law.best_size(axis).tolist(),
            "frontier": _band(frontier(self.law), [frontier(law) for law, _ in self.resampled]),
        }
        losses = np.linspace(self.runs.loss.min() * 0.9, self.runs.loss.max() * 1.02, CURVE_POINTS)
        found["loss"] = losses.tolist()
        for name, scores in self._scores.items():
            if scores is not None:
                found[name] = _band(scores.fit(losses), [fit(losses) for fit in scores.resampled])
        return found


class _Scores:
    """Loss to one kind of score, fitted to the runs and to each of the bootstrap's draws of them."""

    def __init__(self, loss: np.ndarray, score: np.ndarray, draws: Sequence[np.ndarray]):
        self.fit = fit_logistic(loss, score)
        self.resampled = [fit_logistic(loss[rows], score[rows], near=self.fit) for rows in draws]
        self.residuals = score - self.fit(loss)
        self.correlation = rank_correlation(loss.tolist(), score.tolist())

    def to_json(self) -> dict[str, Any]:
        values = {
            name: {
                "value": getattr(self.fit, name),
                "interval": list(percentiles([getattr(fit, name) for fit in self.resampled])),
            }
            for name in ("half", "width")
        }
        return {
            "values": values,
            "at_bound": self.fit.at_bound,
            "resamples_at_bound": sum(fit.at_bound for fit in self.resampled),
            "rank_correlation": self.correlation,
            "residual_rms": float(np.sqrt(np.mean(self.residuals**2))),
            "fit": asdict(self.fit),
        }

    def at(self, value: float, losses: np.ndarray) -> dict[str, Any]:
        rng = np.random.default_rng(1)
        count = len(self.residuals)
        noise = self.residuals[rng.integers(0, count, len(losses))] * np.sqrt(count / (count - 2))
        drawn = [float(fit(loss)) for fit, loss in zip(self.resampled, losses, strict=True)] + noise
        return {"value": float(self.fit(value)), "interval": list(percentiles(drawn))}


def weakness(law: Law, at_bound: float, values: Mapping[str, Any], runs: int) -> list[str]:
    """Sentences that say what the runs do not determine; empty where they determine all."""
    said = []
    if law.at_bound:
        said.append(
            f"The fit to all runs ends at a bound of {', '.join(law.at_bound)}: the runs do not determine "
            f"{'it' if len(law.at_bound) == 1 else 'them'}."
        )
    if at_bound > 0.05:
        said.append(
            f"{at_bound:.0%} of the bootstrap's fits end at a bound of some parameter: {runs} runs determine the law "
            "weakly, and true intervals may be wider than those shown."
        )
    for name in ("alpha", "beta", "a"):
        low, high = values[name]["interval"]
        if high - low > abs(values[name]["value"]):
            said.append(f"The interval of {name} is wider than {name} itself.")
    return said


def _counts(laws: Sequence[Law]) -> dict[str, int]:
    return {
        name: count for name in ("E", "A", "B", "alpha", "beta") if (count := sum(name in law.at_bound for law in laws))
    }


def _band(middle: np.ndarray, drawn: Sequence[np.ndarray]) -> dict[str, list[float]]:
    low, high = np.quantile(np.array(drawn), [0.025, 0.975], axis=0)
    return {"value": middle.tolist(), "low": low.tolist(), "high": high.tolist()}
