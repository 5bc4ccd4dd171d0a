import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generalist.demonstrations.filter import expert_return, filter_by_return

RETURNS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60).map(np.array)


def slow_expert_return(returns):
    window = min(1000, int(np.ceil(0.1 * len(returns))))
    return max(np.mean(returns[j : j + window]) for j in range(len(returns) - window + 1))


@given(RETURNS)
def test_expert_return_is_the_best_window_mean(returns):
    assert expert_return(returns) == pytest.approx(slow_expert_return(returns), rel=1e-9, abs=1e-5)


def test_the_window_is_a_tenth_and_at_most_a_thousand():
    returns = np.zeros(20_000)
    returns[5000:6500] = 1.0
    assert expert_return(returns) == pytest.approx(1.0)
    assert expert_return(np.array([0.0] * 19 + [1.0])) == pytest.approx(0.5)


def test_positive_returns_follow_the_paper():
    returns = np.array([10.0, 8.0, 7.9, 9.0])
    np.testing.assert_array_equal(filter_by_return(returns), [0, 1, 3])


def test_negative_returns_may_fall_short_by_a_fifth():
    returns = np.array([-100.0, -119.0, -121.0, -100.0])
    np.testing.assert_array_equal(filter_by_return(returns), [0, 1, 3])


@given(st.floats(-1e6, 1e6), st.integers(1, 50))
def test_equal_returns_are_all_kept(value, count):
    assert len(filter_by_return(np.full(count, value), fraction=1.0)) == count


@given(RETURNS, st.floats(0, 1), st.floats(0, 1))
def test_a_smaller_fraction_never_keeps_fewer(returns, one, other):
    few, many = (set(filter_by_return(returns, fraction)) for fraction in (max(one, other), min(one, other)))
    assert few <= many


@pytest.mark.parametrize(
    ("returns", "fraction", "message"),
    [([], 0.8, "at least one"), ([[1.0]], 0.8, "one dimension"), ([np.nan], 0.8, "finite"), ([1.0], 1.2, "fraction")],
)
def test_bad_input_is_refused(returns, fraction, message):
    with pytest.raises(ValueError, match=message):
        filter_by_return(np.array(returns), fraction)
