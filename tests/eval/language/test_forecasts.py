"""A season that repeats is forecast; on a random walk nothing is to be had, and the report says so."""

from dataclasses import replace

import numpy as np
import pytest
from tiny import CONFIG, train_here

from generalist.corpora.open import open_corpus
from generalist.eval.config import EvaluationConfig
from generalist.eval.evaluate import evaluate
from generalist.eval.language.corpus_record import corpus_from_json, corpus_to_json
from generalist.eval.language.forecasts import BASELINES, autoregression, naive, seasonal_naive, smoothing
from generalist.play.forecaster import Forecaster
from generalist.train.config import DocumentsConfig

SEASON = 8
EVALUATION = EvaluationConfig(episodes=2, slots=2, selection_episodes=1, films=False, documents=4)


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """Waves whose height changes: the last number says little of the next, the last season all."""
    folder = tmp_path_factory.mktemp("series")
    at = np.arange(800)
    values = 100 + 10 * np.sin(2 * np.pi * at / SEASON) + np.random.default_rng(0).normal(0, 0.3, len(at))
    (folder / "waves.csv").write_text("\n".join(["value", *map(str, values)]))
    return f"series:{folder / 'waves.csv'}@{SEASON}"


@pytest.fixture(scope="module")
def run(series, tmp_path_factory):
    agent = replace(CONFIG.agent, window=96, source_embedding=True)
    optimizer = replace(CONFIG.optimizer, learning_rate=5e-3)
    return train_here(
        tmp_path_factory.mktemp("forecasts") / "run", sources=(), documents=(DocumentsConfig(corpus=series),),
        agent=agent, optimizer=optimizer, sequence_length=96, batch_size=8, steps=120,
    )  # fmt: skip


def test_the_season_is_learnt_and_plain_forecasts_stand_beside_it(run):
    [entry] = evaluate(run, EVALUATION, quiet=True)["corpora"]
    error, inside = entry["scores"]
    assert (error["name"], inside["name"]) == ("scaled error", "inside 80%")
    assert {*error["baselines"]} == {"naive", "seasonal_naive", "smoothing", "autoregression"}
    assert error["baselines"]["seasonal_naive"]["value"] < 0.1 < error["baselines"]["naive"]["value"]
    assert error["agent"]["value"] < 0.5 * error["baselines"]["naive"]["value"]
    assert 0.5 <= inside["agent"]["value"] <= 1
    assert all(example["png"] for example in entry["examples"])
    assert corpus_to_json(corpus_from_json(entry)) == entry


def test_a_draw_does_not_depend_on_what_it_is_made_beside(run, series):
    forecaster, corpus = Forecaster.load(run), open_corpus(series, "test")
    known = [corpus.window(at)[0] for at in range(3)]
    together = forecaster.forecast(known, 6, draws=30)
    assert together.shape == (3, 30, 6)
    np.testing.assert_array_equal(forecaster.forecast(known[:1], 6, draws=30)[0], together[0])
    assert len(np.unique(together[0, :, 0])) > 1


def test_units_do_not_matter(run, series):
    forecaster, corpus = Forecaster.load(run), open_corpus(series, "test")
    known = corpus.window(0)[0]
    plain = forecaster.forecast([known], 4, draws=5)
    np.testing.assert_allclose(forecaster.forecast([1000 * known], 4, draws=5), 1000 * plain, rtol=1e-6)


def test_what_cannot_be_forecast_is_refused(run):
    forecaster = Forecaster.load(run)
    with pytest.raises(ValueError, match="a series and its horizon have 116 tokens, the agent sees 96"):
        forecaster.forecast([np.arange(90.0)], 25)
    with pytest.raises(ValueError, match="at least one draw"):
        forecaster.forecast([np.arange(9.0)], 1, draws=0)
    with pytest.raises(ValueError, match="nothing is known"):
        forecaster.forecast([np.zeros(0)], 1)


def test_plain_forecasts_are_what_they_say():
    at = np.arange(240)
    season = np.sin(2 * np.pi * at / 12)
    future = np.sin(2 * np.pi * np.arange(240, 252) / 12)
    noisy = season + np.random.default_rng(0).normal(0, 0.02, len(season))
    assert naive(at, 12, 3).tolist() == [239] * 3
    np.testing.assert_allclose(seasonal_naive(season, 12, 12), future, atol=1e-9)
    np.testing.assert_allclose(smoothing(season, 12, 12), future, atol=0.05)
    np.testing.assert_allclose(autoregression(noisy, 12, 12), future, atol=0.1)
    assert np.isfinite(autoregression(np.ones(50), 1, 3)).all()
    walk = np.random.default_rng(0).normal(size=400).cumsum()
    for forecast in BASELINES.values():
        assert np.isfinite(forecast(walk, 5, 10)).all()
