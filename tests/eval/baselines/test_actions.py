"""Actions of any space as columns and back."""

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from generalist.eval.baselines.actions import Columns, action_columns

LETTERS = "abcdefghijklmnopqrstuvwxyz "
LEAVES = st.sampled_from(
    [
        spaces.Box(-1, 1, (3,), np.float32),
        spaces.Box(-np.inf, np.inf, (2, 2), np.float64),
        spaces.Box(-5, 5, (2,), np.int64),
        spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (2,), np.int64),
        spaces.Box(0, np.iinfo(np.uint64).max, (1,), np.uint64),
        spaces.Discrete(4, start=-2),
        spaces.MultiDiscrete([3, 2]),
        spaces.MultiDiscrete([[3, 2], [5, 4]], start=[[1, 1], [0, 0]]),
        spaces.MultiBinary((2, 2)),
        spaces.MultiBinary(3),
    ]
)
SPACES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3).map(spaces.Dict),
        st.lists(inner, min_size=1, max_size=2).map(spaces.Tuple),
    ),
    max_leaves=4,
)


def stacked(space, rows):
    if isinstance(space, spaces.Dict):
        return {key: stacked(space[key], [row[key] for row in rows]) for key in space.spaces}
    if isinstance(space, spaces.Tuple):
        return tuple(stacked(inner, [row[i] for row in rows]) for i, inner in enumerate(space.spaces))
    return np.stack([np.asarray(row) for row in rows])


@settings(max_examples=60)
@given(SPACES)
def test_encode_then_decode_gives_the_actions(space):
    space.seed(0)
    rows = [space.sample() for _ in range(5)]
    columns = action_columns(space)
    encoded = columns.encode(stacked(space, rows))
    assert encoded.numbers.shape == (5, len(columns.low))
    assert encoded.classes.shape == (5, len(columns.sizes))
    assert (encoded.classes >= 0).all()
    assert (encoded.classes < np.array(columns.sizes, np.int64)).all()
    for decoded, row in zip(columns.decode(encoded), rows, strict=True):
        assert space.contains(decoded), decoded
        again = columns.encode(stacked(space, [decoded]))
        first = columns.encode(stacked(space, [row]))
        np.testing.assert_allclose(again.numbers, first.numbers, rtol=1e-6)
        np.testing.assert_array_equal(again.classes, first.classes)


@settings(max_examples=30)
@given(SPACES, st.floats(-1e30, 1e30))
def test_any_number_decodes_inside_the_space(space, value):
    columns = action_columns(space)
    wild = Columns(np.full((1, len(columns.low)), value), np.zeros((1, len(columns.sizes)), np.int64))
    [action] = columns.decode(wild)
    assert space.contains(action)


def test_what_is_neither_number_nor_class_is_refused_by_its_path():
    space = spaces.Dict(move=spaces.Discrete(2), say=spaces.Tuple([spaces.Text(5)]))
    with pytest.raises(ValueError, match="say/0"):
        action_columns(space)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_bounds_that_are_no_floats_are_reached(dtype):
    limits = np.iinfo(dtype)
    space = spaces.Box(limits.min, limits.max, (1,), dtype)
    columns = action_columns(space)
    none = np.zeros((2, 0), np.int64)
    low, high = columns.decode(Columns(np.array([[-1e30], [1e30]]), none))
    assert (int(low[0]), int(high[0])) == (limits.min, limits.max)


def test_texts_are_the_classes_that_were_demonstrated():
    space = spaces.Dict(
        a=spaces.Discrete(3), say=spaces.Tuple([spaces.Text(9, charset=LETTERS)] * 2), z=spaces.MultiBinary(2)
    )
    rows = [(2, "take key", "x", (0, 1)), (0, "go", "y", (1, 0)), (1, "take key", "y", (1, 1))]
    shown = {
        "a": np.array([row[0] for row in rows]),
        "say": tuple(np.array([row[at] for row in rows], object) for at in (1, 2)),
        "z": np.array([row[3] for row in rows]),
    }
    columns = action_columns(space, shown)
    assert columns.sizes == (3, 2, 2, 2, 2)
    encoded = columns.encode(shown)
    assert encoded.classes.tolist() == [[2, 1, 0, 0, 1], [0, 0, 1, 1, 0], [1, 1, 1, 1, 1]]
    for decoded, row in zip(columns.decode(encoded), rows, strict=True):
        assert space.contains(decoded)
        assert (decoded["a"], *decoded["say"], tuple(decoded["z"])) == row
    with pytest.raises(KeyError, match="fly"):
        columns.encode(shown | {"say": (np.array(["fly"] * 3, object), shown["say"][1])})
