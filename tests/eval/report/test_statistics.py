"""Intervals, normalised scores and aggregates against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generalist.eval.report.statistics import aggregate, bootstrap_mean_ci, expert_scale, interquartile_mean

numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


@given(numbers)
def test_an_interval_holds_the_mean_and_lies_within_the_values(values):
    found = bootstrap_mean_ci(values, resamples=200)
    slack = 1e-9 * (1 + max(map(abs, values)))
    assert found.value == pytest.approx(np.mean(values))
    assert min(values) - slack <= found.low <= found.value <= found.high <= max(values) + slack


def test_an_interval_is_that_of_the_normal_law_for_many_values():
    values = np.random.default_rng(0).normal(3, 2, 1000)
    found = bootstrap_mean_ci(values)
    half = 1.96 * values.std() / np.sqrt(1000)
    assert found.low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.high == pytest.approx(values.mean() + half, abs=0.02)


def test_an_interval_covers_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(1, 1, (300, 40))
    found = [bootstrap_mean_ci(row, resamples=400) for row in draws]
    assert 0.90 < np.mean([one.low <= 1 <= one.high for one in found]) < 0.98


def test_the_same_values_give_the_same_interval():
    assert bootstrap_mean_ci([1, 2, 5], seed=3) == bootstrap_mean_ci([1, 2, 5], seed=3)
    assert bootstrap_mean_ci([4.0]).low == bootstrap_mean_ci([4.0]).high == 4.0


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf")]])
def test_what_has_no_mean_is_refused(values):
    with pytest.raises(ValueError, match="non-empty list of finite numbers"):
        bootstrap_mean_ci(values)


def test_expert_scale():
    scale = expert_scale(random=-10, expert=30)
    assert (scale(-10), scale(30), scale(10), scale(40)) == (0, 1, 0.5, 1.25)
    above = expert_scale(random=-10, expert=30, constant=20)
    assert (above(20), above(30), above(10)) == (0, 1, -1)
    assert expert_scale(random=-10, expert=30, constant=-20) == scale


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"random": 1, "expert": 1}, "expert's mean 1 is not above the random mean 1"),
        ({"random": 0, "expert": 1, "constant": 2}, "not above the best constant mean 2"),
        ({"random": None, "expert": 1}, "no random mean"),
        ({"random": 1, "expert": None}, "no expert mean"),
    ],
)
def test_an_undefined_scale_says_why(arguments, reason):
    scale = expert_scale(**arguments)
    assert reason in scale.problem
    with pytest.raises(ValueError, match="no normalised score"):
        scale(1.0)


def test_interquartile_mean_is_that_of_the_middle_half():
    assert interquartile_mean([0, 1, 2, 3, 4, 5, 6, 100]) == np.mean([2, 3, 4, 5])
    assert interquartile_mean([-5, 1, 9]) == pytest.approx(5 / 3)


def test_aggregates_are_of_the_tasks_means():
    tasks = [[0.0, 1.0], [1.0] * 30, [0.2, 0.4, 0.6], [-3.0]]
    found = aggregate(tasks)
    means = [0.5, 1.0, 0.4, -3.0]
    assert found.tasks == 4
    assert found.mean.value == pytest.approx(np.mean(means))
    assert found.median.value == pytest.approx(np.median(means))
    assert found.iqm.value == pytest.approx(np.mean([0.4, 0.5]))
    assert aggregate([]) is None


def test_domains_weigh_alike_and_shares_count_tasks_at_a_threshold():
    tasks = [[1.0, 0.6], [0.4], [0.1 + 0.2, 1.3], [0.5], [0.9]]
    found = aggregate(tasks, ["grid", "grid", "grid", "arm", "arm"])
    assert found.domain_mean.value == pytest.approx(((0.8 + 0.4 + 0.8) / 3 + 0.7) / 2)
    assert {at: share.value for at, share in found.at_least.items()} == {0.5: 4 / 5, 0.8: 3 / 5, 0.9: 1 / 5}
    # The first task's episodes alone decide whether it passes 0.9; half of that far below it is never drawn.
    assert (found.at_least[0.9].low, found.at_least[0.9].high) == (1 / 5, 3 / 5)
    assert aggregate(tasks).domain_mean.value == pytest.approx(np.mean([0.8, 0.4, 0.8, 0.5, 0.9]))


def test_the_bootstrap_is_stratified_by_task():
    """Tasks that differ among themselves but not within give an interval without width."""
    assert aggregate([[0.0] * 5, [1.0] * 5]).mean.low == 0.5
    wide = aggregate([[0.0, 1.0] * 5, [1.0] * 5]).mean
    expected = bootstrap_mean_ci([0.0, 1.0] * 5)
    assert wide.low == pytest.approx((expected.low + 1) / 2)


def test_tasks_are_drawn_independently():
    values = list(np.random.default_rng(0).normal(size=50))
    one, four = aggregate([values]).mean, aggregate([values] * 4).mean
    assert (four.high - four.low) == pytest.approx((one.high - one.low) / 2, rel=0.1)
