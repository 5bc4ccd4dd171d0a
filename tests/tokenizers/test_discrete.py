import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from generalist.tokenizers.discrete import DiscreteField, DiscreteTokenizer
from generalist.tokenizers.space import leaves

START = 1280


def field(space, size=1024):
    return DiscreteField(leaves(space, "action")[0], DiscreteTokenizer(START, size))


def whole(dtype, low=None, high=None, shape=(2,)):
    info = np.iinfo(dtype)
    return spaces.Box(info.min if low is None else low, info.max if high is None else high, shape, dtype)


def test_golden_ids():
    assert field(spaces.Discrete(7)).encode(np.asarray([0, 6])).tolist() == [[START], [START + 6]]
    assert field(spaces.Discrete(7, start=-3)).encode(np.asarray([-3])).tolist() == [[START]]
    assert field(spaces.Discrete(2**21)).encode(np.asarray([2**20 + 2 * 1024 + 3])).tolist() == [
        [START + 1, START + 2, START + 3]
    ]


@pytest.mark.parametrize(
    ("space", "digits"),
    [
        (spaces.Discrete(1), 1),
        (spaces.Discrete(1024), 1),
        (spaces.Discrete(1025), 2),
        (spaces.MultiDiscrete([[2, 1024], [1025, 3]]), 5),
        (spaces.MultiBinary((2, 3)), 6),
        (whole(np.int64), 14),
        (whole(np.uint64), 14),
        (whole(np.uint8), 2),
        (spaces.Box(0, 1, (3,), bool), 3),
        (spaces.Box(0, 9, (0,), np.int32), 0),
    ],
)
def test_as_many_digits_as_needed(space, digits):
    part = field(space)
    assert part.count == digits
    assert part.ranges.shape == (digits, 2)


@st.composite
def integer_spaces(draw):
    kind = draw(st.sampled_from(["box", "discrete", "multi", "binary"]))
    if kind == "discrete":
        return spaces.Discrete(draw(st.integers(1, 2**62)), start=draw(st.integers(-(2**63), 2**62)))
    if kind == "binary":
        return spaces.MultiBinary(draw(st.sampled_from([1, 3, (2, 2)])))
    if kind == "multi":
        sizes = draw(st.lists(st.integers(1, 2**62), min_size=2, max_size=2))
        return spaces.MultiDiscrete(sizes, start=draw(st.lists(st.integers(-(2**62), 2**62), min_size=2, max_size=2)))
    dtype = draw(st.sampled_from([np.int8, np.uint8, np.int16, np.int32, np.uint32, np.int64, np.uint64]))
    ends = st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    low, high = sorted(draw(st.tuples(ends, ends)))
    return spaces.Box(np.full((2,), low, dtype), np.full((2,), high, dtype), (2,), dtype)


def limits(space):
    if isinstance(space, spaces.Discrete):
        return [int(space.start)], [int(space.start) + int(space.n) - 1]
    if isinstance(space, spaces.MultiBinary):
        return [0] * int(np.prod(space.shape)), [1] * int(np.prod(space.shape))
    if isinstance(space, spaces.MultiDiscrete):
        return space.start.tolist(), [s + n - 1 for s, n in zip(space.start.tolist(), space.nvec.tolist(), strict=True)]
    return space.low.tolist(), space.high.tolist()


@given(integer_spaces(), st.sampled_from([2, 10, 1024]), st.data())
def test_round_trip_is_exact(space, size, data):
    part = field(space, size)
    lows, highs = limits(space)
    rows = [[data.draw(st.integers(low, high)) for low, high in zip(lows, highs, strict=True)] for _ in range(2)]
    rows += [lows, highs]
    dtype = space.dtype
    x = np.asarray(rows, dtype).reshape(4, *space.shape)
    ids = part.encode(x)
    assert ((ids >= part.ranges[:, 0]) & (ids < part.ranges[:, 1])).all()
    back = part.decode(ids)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, x)


@given(integer_spaces(), st.sampled_from([2, 10, 1024]), st.data())
def test_any_ids_decode_inside_the_space(space, size, data):
    part = field(space, size)
    ids = data.draw(st.lists(st.integers(START - 5, START + size + 5), min_size=part.count, max_size=part.count))
    member = part.decode(np.asarray([ids]))[0]
    assert space.contains(member)


def test_digits_beyond_the_largest_value_give_the_largest():
    part = field(spaces.Discrete(1500))
    ids = START + np.asarray([[1, 475], [1, 476], [0, 1023], [5, 100]])
    assert part.decode(ids).tolist() == [1499, 1499, 1023, 1499]


@pytest.mark.parametrize("wrong", [[7], [-1], [0.5], [np.nan], ["3"]])
def test_values_outside_are_refused(wrong):
    with pytest.raises(ValueError, match=r"^action: "):
        field(spaces.Discrete(7)).encode(np.asarray(wrong))


def test_the_message_names_value_and_bounds():
    part = field(spaces.MultiDiscrete([3, 4]))
    with pytest.raises(ValueError, match=r"value 4 at timestep 1, element 1 is outside \[0, 3\]"):
        part.encode(np.asarray([[0, 0], [0, 4]]))


def test_whole_floats_are_taken():
    assert field(spaces.Discrete(7)).encode(np.asarray([3.0])).tolist() == [[START + 3]]
