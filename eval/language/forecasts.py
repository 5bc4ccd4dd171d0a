"""Measuring forecasts of series beside plain ones, which are hard to beat: on prices, nothing is to be had.

The agent's forecast is the median of its draws. Plain forecasts are fitted anew for each window on the whole series
before it, more than the agent is shown: the last number, the last season, exponential smoothing with its season, and a
linear autoregression whose order the AIC chooses (statsmodels).
"""

import base64
import io
import time
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from generalist.corpora.series import SeriesCorpus
from generalist.envs.task import MissingExtra
from generalist.eval.language.corpus_record import AGENT, CorpusRecord, Example, Outcome
from generalist.eval.language.measure import EXAMPLES
from generalist.play.forecaster import Forecaster

DRAWS = 100
INTERVAL = (10, 90)
"""Percentiles of the 80% interval."""
LONGEST_LAGS = 3
"""Seasons that an autoregression looks back, at most; without one it is 24 numbers."""
HISTORY = 1500
"""Numbers before a window that baselines are fitted on, at most: the newest."""

Forecast = Callable[[np.ndarray, int, int], np.ndarray]
"""From the numbers before a window, the numbers of a season and the horizon, to what comes next."""


def naive(history: np.ndarray, period: int, horizon: int) -> np.ndarray:
    return np.full(horizon, history[-1])


def seasonal_naive(history: np.ndarray, period: int, horizon: int) -> np.ndarray:
    return np.resize(history[-period:], horizon)


def smoothing(history: np.ndarray, period: int, horizon: int) -> np.ndarray:
    """Holt and Winters: level, damped trend and, with a season, its additive pattern."""
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    season: Any = {"seasonal": "add", "seasonal_periods": period} if 1 < period <= len(history) // 2 else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it stops at its limit of iterations and is used as it is
        fitted = ExponentialSmoothing(history, trend="add", damped_trend=True, **season).fit()
    return np.asarray(fitted.forecast(horizon))


def autoregression(history: np.ndarray, period: int, horizon: int) -> np.ndarray:
    from statsmodels.tsa.ar_model import AutoReg, ar_select_order

    if np.ptp(history) == 0:  # nothing to fit a line to
        return naive(history, period, horizon)
    most = min(LONGEST_LAGS * period if period > 1 else 24, len(history) // 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of series that repeat exactly, which one line fits as well as another
        fitted = AutoReg(history, lags=ar_select_order(history, most, ic="aic").ar_lags or [1]).fit()
    return np.asarray(fitted.forecast(horizon))


BASELINES: dict[str, Forecast] = {
    "naive": naive,
    "seasonal_naive": seasonal_naive,
    "smoothing": smoothing,
    "autoregression": autoregression,
}


def measure_series(
    forecaster: Forecaster,
    test: SeriesCorpus,
    *,
    name: str,
    split: Literal["test", "heldout"] = "test",
    limit: int,
) -> CorpusRecord:
    """Forecast the windows of a test split, at most `limit`, spread over it.

    Raises:
        MissingExtra: the plain forecasts need statsmodels, and it is not installed.
    """
    try:
        import statsmodels  # noqa: F401
    except ImportError as cause:
        raise MissingExtra("series", cause) from cause
    begun = time.perf_counter()
    numbers = np.linspace(0, len(test) - 1, min(limit, len(test))).astype(int).tolist()
    windows = [test.window(number) for number in numbers]
    drawn = forecaster.forecast([known for known, _ in windows], test.horizon, draws=DRAWS)
    low, high = np.percentile(drawn, INTERVAL, axis=1)
    middle, future = np.median(drawn, axis=1), np.asarray([each for _, each in windows])
    outcomes = {
        AGENT: Outcome(
            errors=_errors(middle, windows),
            shares=tuple(((low <= future) & (future <= high)).mean(axis=1).tolist()),
        )
    }
    histories = [test.history(number)[-HISTORY:] for number in numbers]
    for each, forecast in BASELINES.items():
        if each != "seasonal_naive" or test.period > 1:
            found = np.asarray([forecast(history, test.period, test.horizon) for history in histories])
            outcomes[each] = Outcome(errors=_errors(found, windows))
    return CorpusRecord(
        corpus=name,
        split=split,
        measure="series",
        numbers=tuple(numbers),
        outcomes=outcomes,
        examples=tuple(
            Example(prompt=f"window {number}", truth="", said={}, png=_drawn(*window, own))
            for number, window, own in list(zip(numbers, windows, drawn, strict=True))[:EXAMPLES]
        ),
        learnt_from=test.cut,
        seconds=time.perf_counter() - begun,
    )


def _errors(forecasts: np.ndarray, windows: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, ...]:
    """Mean absolute error over that of each number as the next one's forecast, in what is known of the window."""
    found = []
    for forecast, (known, future) in zip(forecasts, windows, strict=True):
        step = float(np.abs(np.diff(known)).mean()) or 1.0
        found.append(float(np.abs(forecast - future).mean()) / step)
    return tuple(found)


def _drawn(known: np.ndarray, future: np.ndarray, draws: np.ndarray) -> str:
    """PNG in base64: what is known, what came, and the median and the 80% interval of the draws [n, horizon]."""
    figure = Figure(figsize=(3.2, 1.6), dpi=80, layout="constrained")
    axes = figure.subplots()
    at = np.arange(len(known), len(known) + len(future))
    low, high = np.percentile(draws, INTERVAL, axis=0)
    axes.plot(np.arange(len(known)), known, color="#6b7280", linewidth=1)
    axes.fill_between(at, low, high, color="#1a5fd0", alpha=0.25, linewidth=0)
    axes.plot(at, np.median(draws, axis=0), color="#1a5fd0", linewidth=1.5)
    axes.plot(at, future, color="#111827", linewidth=1, linestyle="--")
    axes.tick_params(labelsize=6)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return base64.b64encode(stream.getvalue()).decode()
