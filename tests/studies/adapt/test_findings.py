"""Intervals, demonstrations needed and paired differences, from scores alone."""

import numpy as np
import pytest
from scipy.stats import norm

from generalist.studies.adapt.findings import (
    ADDED_TO_MEAN,
    Draws,
    difference,
    ends_of_success,
    estimated,
    needed,
    needed_interval,
    scaled,
    summary,
)

NUMBERS = (1, 10, 100)
SUCCESS = [(0.0, 1.0)]


def simulated(rng: np.random.Generator, *, luck: float, alike: float, ease: np.ndarray, episodes: int) -> np.ndarray:
    """Successes [3, tasks, episodes]: `luck` is of a draw, `alike` the share of an episode's chance that all share."""
    shared = alike**0.5 * rng.normal(size=(1, ease.size, episodes))
    own = (1 - alike) ** 0.5 * rng.normal(size=(3, ease.size, episodes))
    return (ease[None, :, None] + luck * rng.normal(size=(3, 1, 1)) + shared + own > 0).astype(float)


@pytest.mark.parametrize(("luck", "alike"), [(0.0, 0.0), (0.0, 1.0), (0.4, 0.0), (0.4, 1.0)])
def test_the_interval_holds_the_truth_whether_draws_differ_or_episodes_do(luck: float, alike: float):
    rng, ease, held = np.random.default_rng(0), np.array([-0.5, 0.0, 0.3, 0.8, 1.5]), 0
    truth = norm.cdf(ease / (1 + luck**2) ** 0.5).mean()
    for _ in range(400):
        values = simulated(rng, luck=luck, alike=alike, ease=ease, episodes=50)
        found = estimated(values, SUCCESS * 5, ADDED_TO_MEAN).interval()
        held += found.low <= truth <= found.high
    assert 0.9 < held / 400 < 0.985


def test_draws_and_episodes_are_counted_once_each():
    """Values that are the sum of a draw's luck and an episode's: the variances of both means, and nothing else."""
    rng = np.random.default_rng(1)
    luck, episode = rng.normal(size=3), rng.normal(size=(2, 40))
    found = estimated(luck[:, None, None] + episode[None], [None, None], 0.0)
    expected = luck.var(ddof=1) / 3 + (episode.var(axis=1, ddof=1) / 40).sum() / 4
    assert found.variance == pytest.approx(expected)
    assert found.value == pytest.approx(luck.mean() + episode.mean())
    assert 2 < found.freedom < 80


def test_a_mean_of_tasks_has_an_interval_that_holds_it_and_so_has_each_task():
    rng = np.random.default_rng(0)
    values = (rng.random((3, 4, 25)) < np.array([0.1, 0.4, 0.6, 0.9])[None, :, None]).astype(float)
    found = summary(values, SUCCESS * 4)
    assert found["value"] == pytest.approx(values.mean())
    assert found["ci95"][0] < found["value"] < found["ci95"][1]
    assert [task["value"] for task in found["tasks"]] == pytest.approx(values.mean(axis=(0, 2)).tolist())


def test_success_that_never_varies_is_not_certain_and_its_interval_ends_at_success():
    always = summary(np.ones((3, 2, 50)), SUCCESS * 2)
    assert 0.9 < always["ci95"][0] < 1 == always["ci95"][1]
    low, high = difference(np.zeros((1, 1, 5)), np.ones((1, 1, 5)), SUCCESS)["ci95"]
    assert low == -1.0
    assert -1.0 < high < 0.2
    assert summary(np.full((1, 1, 5), 7.0), [None])["ci95"] == [7.0, 7.0]


def test_what_is_added_is_in_the_unit_of_normalised_success():
    values = np.array([[[0.0, 2.0] * 25]])  # random play fails always, the expert solves half
    found, raw = summary(values, [(0.0, 2.0)]), summary(values / 2, SUCCESS)
    np.testing.assert_allclose(found["ci95"], 2 * np.array(raw["ci95"]))


def test_equal_episodes_make_no_difference_and_pairs_are_kept():
    hard = np.random.default_rng(1).normal(size=(3, 2, 30))
    same = difference(hard, hard, [None, None])
    assert (same["value"], same["ci95"]) == (0.0, [0.0, 0.0])
    better = difference(hard + 0.1, hard, [None, None])
    np.testing.assert_allclose([better["value"], *better["ci95"]], 0.1, atol=1e-6)


def test_resampled_means_vary_with_draws_and_with_episodes_that_all_draws_share():
    rng = np.random.default_rng(2)
    episodes = np.repeat(rng.normal(size=(1, 10, 50)), 3, axis=0)
    assert Draws(3, 10, 50).means(episodes).std() == pytest.approx(episodes.std() / 500**0.5, rel=0.15)
    luck = np.repeat(np.array([0.0, 1.0, 2.0])[:, None, None], 50, axis=2)
    assert Draws(3, 1, 50).means(luck).std() == pytest.approx(luck.std() / 3**0.5, rel=0.1)


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


def test_a_failed_and_a_solved_episode_in_the_unit_of_the_score():
    ends = {
        "won": {"random": {"successes": [False, True]}, "expert": {"successes": [True, True]}},
        "alone": {"random": {"successes": [False]}},
        "paid": ENDS["paid"],
    }
    kinds = {"won": "success", "alone": "success", "paid": "return"}
    assert ends_of_success(ends, kinds) == [(-1.0, 1.0), (0.0, 1.0), None]
