import warnings
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from generalist.demonstrations.columns import Moments
from generalist.tokenizers.continuous import (
    ContinuousField,
    ContinuousTokenizer,
    VectorField,
    compand,
    expand,
)
from generalist.tokenizers.ranges import find_range
from generalist.tokenizers.space import leaves

BINS = ContinuousTokenizer(32_000)
numbers = st.floats(allow_nan=False, width=64)


def leaf(space, root="observation"):
    return leaves(space, root)[0]


def box(low, high, shape=(), dtype=np.float32):
    ends = (np.broadcast_to(np.asarray(end, dtype), shape) for end in (low, high))
    return spaces.Box(*ends, shape, dtype)


def test_golden_companding():
    np.testing.assert_allclose(compand([0, 1, -1, 256]), [0, 0.4547, -0.4547, 1], atol=1e-4)


def test_golden_ids():
    assert BINS.encode([-1.0, 0.0, 1.0, -2.0, 2.0, np.inf, -np.inf]).tolist() == [
        32_000,
        32_512,
        33_023,
        32_000,
        33_023,
        33_023,
        32_000,
    ]


def test_decodes_to_the_centre_of_the_bin():
    assert BINS.decode([32_000, 33_023]).tolist() == [1 / 1024 - 1, 1 - 1 / 1024]
    assert BINS.decode([0, 10**9]).tolist() == [1 / 1024 - 1, 1 - 1 / 1024]


@given(st.floats(-256, 256))
def test_expand_inverts_compand(x):
    assert expand(compand(x)) == pytest.approx(x, rel=1e-9, abs=1e-12)


@given(st.floats(-1, 1))
def test_round_trip_within_a_bin(x):
    assert abs(BINS.decode(BINS.encode(x)) - x) <= 1 / 1024 + 1e-15


def test_observations_are_companded_even_inside_minus_one_to_one():
    ids = ContinuousField(leaf(box(-1, 1)), BINS, action=False).encode(np.float32([-1, 1]))
    assert ids.ravel().tolist() == [32_279, 32_744]


def test_bounded_actions_are_linear():
    part = ContinuousField(leaf(box([-2, 0], [2, 10], (2,)), "action"), BINS, action=True)
    assert part.encode(np.float32([[-2, 10], [0, 5]])).tolist() == [[32_000, 33_023], [32_512, 32_512]]
    np.testing.assert_allclose(part.decode(np.asarray([[32_000, 33_023]])), [[-2 + 2 / 1024, 10 - 5 / 1024]], rtol=1e-6)


@pytest.mark.parametrize("high", [np.inf, np.finfo(np.float32).max])
def test_half_bounded_actions_are_companded(high):
    part = ContinuousField(leaf(box(0, high), "action"), BINS, action=True, rule="mu-law")
    assert part.encode(np.float32([1.0])).ravel().tolist() == [32_744]
    assert part.decode(np.asarray([[32_000]])).tolist() == [0.0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("action", [False, True])
@given(data=st.data())
def test_any_value_of_any_box(dtype, action, data):
    width = np.finfo(dtype).bits
    ends = st.tuples(*[st.floats(allow_nan=False, width=width)] * 2).map(sorted)
    low, high = data.draw(ends)
    if low == np.inf or high == -np.inf:
        return
    space = box(low, high, (2,), dtype)
    some = st.floats(allow_nan=False, allow_infinity=not action, width=width)
    x = data.draw(hnp.arrays(dtype, (3, 2), elements=some))
    part = ContinuousField(leaf(space), BINS, action, rule="mu-law")
    if data.draw(st.booleans()):
        part = ContinuousField(leaf(space), BINS, action)
        seen = data.draw(hnp.arrays(dtype, (5, 2), elements=some))
        part = replace(part, range=find_range(part, seen, [seen]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ids = part.encode(x)
        back = part.decode(ids)
        squashed = part.squash(x)
    assert ((ids >= BINS.range[0]) & (ids < BINS.range[1])).all()
    assert (np.abs(BINS.decode(ids) - squashed) <= 1 / 1024 + 1e-15).all()
    assert back.dtype == dtype
    assert all(space.contains(row) for row in back)


def test_expectation_replaces_the_centre():
    part = ContinuousField(leaf(box(-2, 2, (1,)), "action"), BINS, action=True)
    assert part.decode(np.asarray([[0], [0]]), np.asarray([[0.25], [7.0]])).ravel().tolist() == [0.5, 2.0]


def test_no_values():
    part = ContinuousField(leaf(box(0, 1, (3, 0))), BINS, action=False)
    assert part.encode(np.zeros((4, 3, 0))).shape == (4, 0)
    assert part.decode(np.zeros((4, 0), int)).shape == (4, 3, 0)


@pytest.mark.parametrize("make", [lambda x: ContinuousField(x, BINS, False), lambda x: VectorField.of(x, {})])
def test_nan_is_refused_with_its_place(make):
    part = make(leaf(spaces.Dict(arm=box(-1, 1, (2,)))))
    with pytest.raises(ValueError, match=r"observation/arm: NaN at index \(1, 0\)"):
        part.encode(np.asarray([[0, 0], [np.nan, 0]]))


def test_vector_is_normalised_and_companded():
    part = VectorField.of(leaf(box(-9, 9, (2,))), {"observation": ([1, 0], [2, 0.5])})
    row = part.encode(np.asarray([[3.0, -0.5]]))
    assert row.dtype == np.float32
    np.testing.assert_allclose(row, compand([[1.0, -1.0]]), rtol=1e-6)


def test_a_constant_value_is_only_centred():
    part = VectorField.of(leaf(box(-9, 9, (2,))), {"observation": ([5, 5], [0, 1e-9])})
    np.testing.assert_allclose(part.encode(np.asarray([[5.0, 6.0]])), compand([[0.0, 1.0]]), rtol=1e-6)


@given(hnp.arrays(np.float64, (4, 3), elements=numbers), hnp.arrays(np.float64, (2, 3), elements=numbers))
def test_vectors_are_always_finite(seen, new):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moments = Moments.of(seen)
        statistics = moments.mean.tolist(), moments.std.tolist()
        rows = VectorField.of(leaf(box(-np.inf, np.inf, (3,), np.float64)), {"observation": statistics}).encode(new)
    assert np.isfinite(rows).all()
    assert np.abs(rows).max() < 1.82


@pytest.mark.parametrize("statistics", [([0], [1]), ([0, np.nan], [1, 1]), ([0, 0], [1, -1])])
def test_bad_statistics_are_refused(statistics):
    with pytest.raises(ValueError, match=r"^observation: statistics"):
        VectorField.of(leaf(box(-1, 1, (2,))), {"observation": statistics})
