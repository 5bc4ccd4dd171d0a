"""Intervals, demonstrations needed and paired differences, from scores alone."""

import numpy as np
import pytest

from generalist.studies.adapt.findings import Draws, difference, interval, needed, needed_interval, scaled, summary

NUMBERS = (1, 10, 100)


def test_a_mean_of_tasks_with_an_interval_that_holds_it():
    rng = np.random.default_rng(0)
    values = (rng.random((3, 4, 25)) < np.array([0.1, 0.4, 0.6, 0.9])[None, :, None]).astype(float)
    found = summary(values, Draws(3, 4, 25))
    assert found["value"] == pytest.approx(values.mean())
    assert found["ci95"][0] < found["value"] < found["ci95"][1]
    assert [task["value"] for task in found["tasks"]] == pytest.approx(values.mean(axis=(0, 2)).tolist())


def test_the_interval_covers_the_luck_of_draws_too():
    """Episodes that are all alike inside a draw leave its luck alone; without more draws nothing is left."""
    values = np.repeat(np.array([0.0, 0.5, 1.0])[:, None, None], 20, axis=2)
    low, high = summary(values, Draws(3, 1, 20))["ci95"]
    assert low < 0.2
    assert high > 0.8
    assert summary(values[1:2], Draws(1, 1, 20))["ci95"] == [0.5, 0.5]


def test_equal_episodes_make_no_difference_and_pairs_are_kept():
    rng = np.random.default_rng(1)
    hard = rng.random((3, 2, 30))
    same = difference(hard, hard, Draws(3, 2, 30))
    assert (same["value"], same["ci95"]) == (0.0, [0.0, 0.0])
    better = difference(hard + 0.1, hard, Draws(3, 2, 30))
    np.testing.assert_allclose([better["value"], *better["ci95"]], 0.1, atol=1e-6)


def test_episodes_are_drawn_apart_in_every_task_and_draw():
    """The variance of the mean of independent episodes falls with all of them."""
    rng = np.random.default_rng(2)
    values = rng.normal(size=(1, 10, 50))
    samples = Draws(1, 10, 50).means(values).mean(axis=1)
    assert samples.std() == pytest.approx(values.std() / 500**0.5, rel=0.15)


def test_needed_is_read_off_between_the_numbers_on_a_log_axis():
    assert needed(NUMBERS, np.array([0.0, 0.4, 0.8]), 0.6) == pytest.approx(10**1.5)
    assert needed(NUMBERS, np.array([0.7, 0.8, 0.9]), 0.6) == 1
    assert needed(NUMBERS, np.array([0.1, 0.2, 0.3]), 0.6) == np.inf
    assert needed(NUMBERS, np.array([0.2, 0.9, 0.1]), 0.55) == pytest.approx(10**0.5)  # where it is reached first
    both = needed(NUMBERS, np.array([[0.0, 0.4, 0.8], [0.1, 0.1, 0.1]]), 0.6)
    np.testing.assert_allclose(both, [10**1.5, np.inf])


def test_the_interval_of_what_is_needed_may_end_where_it_is_not_reached():
    curves = np.array([[0.0, 0.4, 0.8]] * 90 + [[0.0, 0.1, 0.2]] * 10)
    found = needed_interval(NUMBERS, curves[0], curves, 0.6)
    assert found["value"] == pytest.approx(10**1.5)
    assert found["ci95"] == [pytest.approx(10**1.5), None]


def test_an_interval_always_holds_its_value():
    assert interval(np.array([1.0, 2.0]), 5.0)["ci95"][1] == 5.0


ENDS = {
    "won": {"random": {"successes": [False, False]}, "expert": {"successes": [True, True]}},
    "paid": {"random": {"returns": [-10.0, -30.0]}, "expert": {"returns": [0.0, 20.0]}},
    "alone": {"random": {"returns": [1.0, 3.0]}},
}


def test_scores_lie_between_random_play_and_the_expert():
    records = {
        "won": {"successes": [True, False]},
        "paid": {"returns": [-20.0, 10.0]},
        "alone": {"returns": [5.0, 7.0]},
    }
    found = scaled(records, ENDS, {"won": "success", "paid": "return", "alone": "return"})
    assert {task: values.tolist() for task, values in found.items()} == {
        "won": [1.0, 0.0],
        "paid": [0.0, 1.0],
        "alone": [5.0, 7.0],  # no expert: as it is
    }
