"""Loss to success: a known curve is found, a flat one is said to be at a bound, the order of runs does not matter."""

import numpy as np
import pytest

from generalist.studies.scale.success import Logistic, fit_logistic, rank_correlation

LOSS = np.linspace(1.0, 3.0, 12)


def test_a_known_curve_is_found():
    known = Logistic(half=1.8, width=0.2, at_bound=False)
    found = fit_logistic(LOSS, known(LOSS))
    assert (found.half, found.width, found.at_bound) == (pytest.approx(1.8), pytest.approx(0.2), False)
    assert known(1.8) == 0.5
    assert np.all(np.diff(known(LOSS)) < 0)


def test_scores_outside_of_the_curve_do_no_harm_and_the_order_does_not_matter():
    score = np.linspace(1.05, -0.1, 12)
    order = np.random.default_rng(0).permutation(12)
    assert fit_logistic(LOSS, score) == fit_logistic(LOSS[order], score[order])
    assert 1.5 < fit_logistic(LOSS, score).half < 2.5


def test_scores_that_do_not_fall_are_at_a_bound():
    assert fit_logistic(LOSS, np.full(12, 0.02)).at_bound
    assert rank_correlation(list(LOSS), [0.02] * 12) is None
    assert rank_correlation(list(LOSS), list(-LOSS)) == pytest.approx(-1)
