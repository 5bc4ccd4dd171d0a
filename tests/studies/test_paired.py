"""Paired statistics against hand-computed cases and SciPy, and how often their intervals hold the truth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from generalist.studies import paired
from generalist.studies.paired import (
    Pair,
    count_to_find,
    count_to_settle,
    estimate,
    holm,
    mcnemar,
    runs_to_settle,
    sign_flips,
)

COMPARISONS = 1000


def pair(first, second, *, success: bool = False, scale: float = 1.0) -> Pair:
    return Pair(
        first=np.atleast_2d(np.asarray(first, float)),
        second=np.atleast_2d(np.asarray(second, float)),
        success=success,
        scale=scale,
    )


def outcomes(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Successes of two agents by how many episodes they solved together and alone."""
    counts = (both, first, second, neither)
    return np.repeat([1.0, 1.0, 0.0, 0.0], counts), np.repeat([1.0, 0.0, 1.0, 0.0], counts)


def test_returns_have_student_s_interval():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 30))
    found = estimate([pair(first, second)])
    theirs = stats.ttest_rel(second, first)
    low, high = theirs.confidence_interval(0.95)
    interval = found.interval()
    assert (interval.value, interval.low, interval.high) == pytest.approx((np.mean(second - first), low, high))
    assert found.p == pytest.approx(theirs.pvalue)


def test_success_has_the_interval_of_bonett_and_price():
    """Their example's form, by hand: 1 and 5 of 20 episodes told the agents apart, so 2 and 6 of 22."""
    low, middle, high = 4 / 22 - 1.959964 * math.sqrt((8 / 22 - (4 / 22) ** 2) / 22), 4 / 20, None
    high = 4 / 22 + 1.959964 * math.sqrt((8 / 22 - (4 / 22) ** 2) / 22)
    found = estimate([pair(*outcomes(10, 1, 5, 4), success=True)]).interval()
    assert (found.low, found.value, found.high) == pytest.approx((low, middle, high), abs=1e-6)


def test_success_that_told_nothing_apart_still_has_a_width_and_ends_at_one():
    level = estimate([pair(*outcomes(20, 0, 0, 0), success=True)]).interval()
    assert level.low == pytest.approx(-level.high)
    assert 0.05 < level.high < 0.2
    won = estimate([pair(*outcomes(0, 0, 5, 0), success=True)]).interval()
    assert 0 < won.low < won.value == won.high == 1


def test_returns_that_are_equal_have_no_width():
    found = estimate([pair([1, 2, 3], [1, 2, 3])])
    assert (found.interval().low, found.interval().value, found.interval().high, found.p) == (0, 0, 0, 1)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60))
def test_an_interval_holds_the_difference_and_changes_sides_with_the_agents(episodes):
    first, second = np.array(episodes, float).T
    found = estimate([pair(first, second, success=True)]).interval()
    assert -1 <= found.low <= found.value <= found.high <= 1
    other = estimate([pair(second, first, success=True)]).interval()
    assert (other.low, other.value, other.high) == pytest.approx((-found.high, -found.value, -found.low))


def test_tasks_are_combined_by_the_sum_of_their_variances():
    rng = np.random.default_rng(1)
    one, two = pair(*rng.normal(size=(2, 20)), scale=0.5), pair(*rng.normal(size=(2, 40)), scale=3.0)
    alone = [estimate([each]) for each in (one, two)]
    together = estimate([one, two])
    assert together.value == pytest.approx(np.mean([each.value for each in alone]))
    assert together.variance == pytest.approx(sum(each.variance for each in alone) / 4)
    assert min(each.freedom for each in alone) <= together.freedom <= sum(each.freedom for each in alone)


@pytest.mark.parametrize(
    ("counts", "by_hand"),
    [
        ((10, 1, 6, 3), 2 * (1 + 7) / 2**7),  # 1 of 7: P(0) + P(1), twice
        ((10, 0, 5, 5), 2 / 2**5),
        ((20, 0, 0, 0), 1.0),
        ((0, 4, 4, 0), 1.0),
    ],
)
def test_mcnemar_is_the_exact_binomial_test(counts, by_hand):
    first, second = outcomes(*counts)
    assert mcnemar(first, second) == pytest.approx(by_hand)
    lost, won = counts[1:3]
    if lost + won:
        assert mcnemar(first, second) == pytest.approx(stats.binomtest(lost, lost + won).pvalue)
    assert sign_flips(second - first) == pytest.approx(by_hand)


def test_flipped_signs_are_scipy_s_permutation_test():
    few = np.random.default_rng(2).normal(0.4, 1, 10)
    theirs = stats.permutation_test(
        (few,), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flips(few) == pytest.approx(theirs.pvalue)
    many = np.random.default_rng(3).normal(0.4, 1, 40)
    assert sign_flips(many) == pytest.approx(stats.ttest_1samp(many, 0).pvalue, rel=0.15)
    assert sign_flips(many) == sign_flips(many * 1e6)
    assert sign_flips(np.full(40, 3.0)) == pytest.approx(1e-5)


def test_holm_by_hand():
    """Sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1, never falling."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.8, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_number_of_episodes_that_settles_is_where_half_the_interval_is_the_difference():
    first, second = outcomes(30, 4, 7, 9)
    found = estimate([pair(first, second, success=True)])
    needed = count_to_settle(found.value, found.variance, 50)
    assert needed is not None
    half = 1.959964 * math.sqrt(found.variance * 50 / needed)
    assert needed > 50
    assert half <= found.value < 1.959964 * math.sqrt(found.variance * 50 / (needed - 1))
    assert count_to_settle(found.value, found.variance, 50, tests=10) > 1.5 * needed
    assert count_to_settle(0.0, found.variance, 50) is None
    assert count_to_settle(10.0, found.variance, 50) == 51


def test_the_number_of_runs_that_settles_is_where_half_the_interval_of_so_few_is_the_difference():
    """Runs of standard deviation 1, three on each side, 0.7 apart."""
    needed = runs_to_settle(0.7, 2 / 3, (3, 3))
    assert needed is not None

    def half(runs: int) -> float:
        return float(stats.t.ppf(0.975, 2 * runs - 2)) * math.sqrt(2 / runs)

    assert half(needed) <= 0.7 < half(needed - 1)
    assert runs_to_settle(0.7, 1 / 2 + 1 / 6, (2, 6)) == needed
    assert (runs_to_settle(0.7, 2 / 3, (3, 3), tests=10) or 0) > needed
    assert runs_to_settle(0.0, 2 / 3, (3, 3)) is None
    assert runs_to_settle(1e-3, 2 / 3, (3, 3)) is None
    assert runs_to_settle(9.0, 2 / 3, (3, 3)) == 4


def test_the_number_that_finds_a_difference_finds_it_in_four_of_five():
    """Differences of standard deviation 2; a true one of 0.5."""
    needed = count_to_find(0.5, 4 / 30, 30)
    assert needed == math.ceil((1.959964 + 0.841621) ** 2 * 4 / 0.25)
    draws = np.random.default_rng(0).normal(0.5, 2, (COMPARISONS, needed))
    assert np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.04)


def test_more_must_be_found_among_several_tests_and_by_an_exact_one():
    assert count_to_find(0.5, 4 / 30, 30, tests=10) > 1.5 * count_to_find(0.5, 4 / 30, 30)
    assert count_to_find(5.0, 4 / 30, 30) == 2
    assert count_to_find(50.0, 4 / 30, 30, exact=True) == 6  # 2 / 2**6 is the first p below 0.05
    assert mcnemar(np.zeros(6), np.ones(6)) < 0.05 < mcnemar(np.zeros(5), np.ones(5))
    assert count_to_find(50.0, 4 / 30, 30, tests=10, exact=True) == 9


def test_many_episodes_are_flipped_a_part_at_a_time(monkeypatch):
    differences = np.random.default_rng(0).normal(0.2, 1, 100)
    whole = sign_flips(differences)
    monkeypatch.setattr(paired, "LARGEST_FLIPS", 70_001)
    assert sign_flips(differences) == pytest.approx(whole, abs=0.005)
    assert whole == pytest.approx(float(stats.ttest_1samp(differences, 0).pvalue), abs=0.01)


def test_what_says_nothing_is_refused():
    with pytest.raises(ValueError, match="same episodes, got shapes"):
        pair([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="at least two episodes"):
        estimate([pair([1], [2])])
    with pytest.raises(ValueError, match="at least one task"):
        estimate([])
    with pytest.raises(ValueError, match="not finite"):
        pair([1, float("nan")], [1, 2])


def correlated(rng: np.random.Generator, shape: tuple[int, ...], share: float) -> tuple[np.ndarray, np.ndarray]:
    """Two standard normals for every episode, of which `share` is the episode's own."""
    episode = rng.normal(size=shape)
    return tuple(math.sqrt(share) * episode + math.sqrt(1 - share) * rng.normal(size=shape) for _ in range(2))


def coverage(pairs_of, truth: float) -> float:
    """Share of 95% intervals that hold the truth; `pairs_of(i)` gives the i-th comparison's tasks."""
    found = [estimate(pairs_of(index)).interval() for index in range(COMPARISONS)]
    return float(np.mean([one.low - 1e-12 <= truth <= one.high + 1e-12 for one in found]))


@pytest.mark.parametrize("count", [20, 50])
@pytest.mark.parametrize("rates", [(0.5, 0.7), (0.9, 0.9), (1.0, 0.97), (0.02, 0.1)])
@pytest.mark.parametrize("share", [0.0, 0.8])
def test_intervals_of_success_hold_the_truth(count, rates, share):
    first, second = correlated(np.random.default_rng(count), (COMPARISONS, count), share)
    ends = [stats.norm.ppf(rate) for rate in rates]
    assert (
        coverage(lambda i: [pair(first[i] < ends[0], second[i] < ends[1], success=True)], rates[1] - rates[0]) >= 0.93
    )


RETURNS = {
    "normal": (lambda z: z, lambda z: 0.3 + 1.2 * z),
    "skewed": (np.exp, lambda z: np.exp(0.2 + z)),
    "cut off": (
        lambda z: np.minimum(500, -300 * stats.norm.logsf(z)),
        lambda z: np.minimum(500, -500 * stats.norm.logsf(z)),
    ),
    "failures": (
        lambda z: np.where(z < 1.3, 0.9 - 0.4 * stats.norm.cdf(z), 0),
        lambda z: np.where(z < 0.8, 0.9 - 0.4 * stats.norm.cdf(z), 0),
    ),
}


@pytest.mark.parametrize("count", [20, 50])
@pytest.mark.parametrize("kind", RETURNS)
def test_intervals_of_returns_hold_the_truth(count, kind):
    first, second = correlated(np.random.default_rng(count + 1), (COMPARISONS, count), 0.5)
    one, other = RETURNS[kind]
    many = np.random.default_rng(0).normal(size=2_000_000)
    truth = float(np.mean(other(many)) - np.mean(one(many)))
    played = one(first), other(second)
    assert coverage(lambda i: [pair(played[0][i], played[1][i])], truth) >= 0.93


@pytest.mark.parametrize("count", [20, 50])
def test_intervals_over_many_tasks_hold_the_truth_and_are_not_too_wide(count):
    """Six tasks of success, most of them nearly always solved, and three of returns, each with its scale."""
    rng = np.random.default_rng(count)
    rates = [(1.0, 1.0), (0.99, 0.99), (0.98, 0.95), (0.5, 0.6), (0.9, 0.8), (0.0, 0.05)]
    solved = [correlated(rng, (COMPARISONS, count), 0.5) for _ in rates]
    returns = [correlated(rng, (COMPARISONS, count), 0.5) for _ in range(3)]
    truth = (sum(second - first for first, second in rates) / 0.8 + 3 * 0.1) / 9

    def tasks(i: int) -> list[Pair]:
        wins = [
            pair(first[i] < stats.norm.ppf(a), second[i] < stats.norm.ppf(b), success=True, scale=1 / 0.8)
            for (first, second), (a, b) in zip(solved, rates, strict=True)
        ]
        return wins + [pair(first[i], 1 + second[i], scale=0.1) for first, second in returns]

    assert 0.93 <= coverage(tasks, truth) <= 0.975


def runs_and_episodes(rng: np.random.Generator, runs: int, count: int, luck: float) -> np.ndarray:
    """[comparisons, runs, episodes]: luck of training, and of run and episode together."""
    return luck * rng.normal(size=(COMPARISONS, runs, 1)) + rng.normal(size=(COMPARISONS, runs, count))


@pytest.mark.parametrize("runs", [(3, 3), (2, 5), (1, 4)])
@pytest.mark.parametrize("luck", [0.0, 0.2, 1.0])
def test_intervals_over_training_runs_hold_the_truth(runs, luck):
    rng = np.random.default_rng(sum(runs))
    episode = rng.normal(size=(COMPARISONS, 1, 30))
    first, second = (runs_and_episodes(rng, each, 30, luck) + episode for each in runs)
    assert coverage(lambda i: [pair(first[i], second[i] + 0.5)], 0.5) >= 0.93


def test_one_run_of_each_says_nothing_about_training_luck():
    """So that its interval is no more than what it is: of these two sets of weights."""
    rng = np.random.default_rng(0)
    first, second = (runs_and_episodes(rng, 1, 30, 1.0) for _ in range(2))
    assert coverage(lambda i: [pair(first[i], second[i])], 0.0) < 0.5


def test_training_luck_is_shared_by_the_tasks_of_a_run():
    """Two tasks of the same runs are not two draws of luck: their mean varies as much as either."""
    rng = np.random.default_rng(5)
    luck = rng.normal(size=(2, COMPARISONS, 3, 1))
    first, second = (luck[side] + 0.1 * rng.normal(size=(COMPARISONS, 3, 30)) for side in range(2))
    assert coverage(lambda i: [pair(first[i], second[i])] * 4, 0.0) >= 0.93
