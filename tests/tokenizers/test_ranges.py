"""Values without useful bounds: within a bin whatever their unit, outliers counted, and never saturated in silence."""

import json
import pickle

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from generalist.tokenizers.continuous import ContinuousField, Range
from generalist.tokenizers.layout import Layout, LayoutOptions
from generalist.tokenizers.ranges import range_rows
from generalist.tokenizers.vocabulary import Vocabulary

RNG = np.random.default_rng(7)
FREE = (-np.inf, np.inf)
BINS = 1024
N = 400

DATA = {
    "pixels": (FREE, RNG.uniform(0, 512, (N, 2))),
    "degrees": (FREE, RNG.uniform(-180, 180, (N, 3))),
    "newtons": (FREE, RNG.normal(900, 300, (N, 1))),
    "heavy": (FREE, RNG.normal(2e6, 3e5, (N, 2))),
    "minute": (FREE, RNG.normal(0, 2e-6, (N, 2))),
    "minute, bounded": ((-1, 1), RNG.uniform(2e-6, 9e-6, (N, 1))),
    "far away": (FREE, RNG.normal(1.7e9, 40, (N, 1))),
    "every unit in one": (FREE, RNG.uniform(-1, 1, (N, 4)) * [1e-7, 3e-2, 40, 5e8]),
    "positive": ((0, np.inf), RNG.exponential(700, (N, 1))),
    "negative": ((-np.inf, 0), -RNG.exponential(0.004, (N, 1))),
    "half of them bounded": ((np.array([-1, -np.inf]), np.array([1, np.inf])), RNG.uniform(-1, 1, (N, 2)) * [1, 5000]),
    "bounds of nobody": ((-2e8, 2e8), RNG.normal(0, 3, (N, 2))),
    "bounds of nobody at all": ((-1e38, 1e38), RNG.normal(0, 3, (N, 2))),
    "the largest": ((-np.finfo(np.float32).max, np.finfo(np.float32).max), RNG.uniform(-1, 1, (N, 2)) * 3e38),
}


def box(bounds, shape, dtype=np.float64) -> spaces.Box:
    low, high = (np.broadcast_to(np.asarray(bound, dtype), shape) for bound in bounds)
    return spaces.Box(low, high, shape, dtype)


def acting(space, values, **options) -> Layout:
    layout = Layout.from_spaces(spaces.Discrete(2), space, options=LayoutOptions(**options))
    return layout.fitted(np.zeros(len(values), int), values)


def seeing(space, values, **options) -> Layout:
    layout = Layout.from_spaces(space, spaces.Discrete(2), options=LayoutOptions(**options))
    return layout.fitted(values, np.zeros(len(values), int))


def observed(layout: Layout, values) -> np.ndarray:
    """What the tokens of observations hold."""
    made = layout.encode(values, timesteps=np.arange(len(values)), segments=np.ones(len(values), int), source=0)
    each = made.ids.reshape(len(values), -1)[:, :-1]
    return np.stack([layout.decode_observation(row) for row in each])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", DATA)
def test_values_come_back_within_a_bin_of_the_data(name, dtype):
    bounds, values = DATA[name]
    space, values = box(bounds, values.shape[1:], dtype), values.astype(dtype)
    bin_of_the_data = 1.2 * (values.max(0).astype(float) / BINS - values.min(0).astype(float) / BINS)
    slack = 2 * np.finfo(dtype).eps * np.abs(values).max(0)
    layout = acting(space, values)
    back = np.stack(layout.decode_actions(layout.encode_actions(values)))
    kept = layout.action_fields[0].forms == "bounds"
    error = np.abs(back.astype(float) - values)
    assert (error <= np.where(kept, 2 / BINS, bin_of_the_data) + slack).all()
    assert all(space.contains(row) for row in back)
    layout = seeing(space, values)
    kept = layout.tensor_fields[0].forms == "mu-law"
    assert (
        np.abs(observed(layout, values).astype(float) - values) <= np.where(kept, 0.02, bin_of_the_data) + slack
    ).all()


def test_useful_bounds_stay_what_they_are():
    actions = RNG.uniform(-2, 2, (N, 2))
    assert acting(box((-2, 2), (2,)), actions).ranges == {}
    assert acting(box((-2, 2), (2,)), actions * 0.1).ranges == {}
    assert acting(box((-2, 2), (2,)), np.zeros((N, 2))).ranges == {}  # a gripper that never moves
    assert acting(box((0, 512), (1,)), RNG.uniform(90, 300, (N, 1))).ranges == {}
    assert seeing(box((-200, 200), (1,)), RNG.uniform(-180, 180, (N, 1))).ranges == {}


def test_an_observation_with_bounds_beyond_the_fixed_scale_lies_between_them():
    space, values = box((0, 512), (2,)), RNG.uniform(0, 512, (N, 2))
    layout = seeing(space, values)
    assert layout.ranges == {}
    assert np.abs(observed(layout, values) - values).max() <= 512 / BINS
    unseen = Layout.from_spaces(space, spaces.Discrete(2))
    np.testing.assert_array_equal(observed(unseen, values), observed(layout, values))


def test_outliers_do_not_take_the_bins_and_are_counted():
    values = RNG.uniform(-1, 1, (N, 2))
    values[5, 0], values[60, 0], values[7, 1] = 1e9, -1e12, 40
    layout = acting(box(FREE, (2,)), values)
    found = layout.ranges["action"]
    assert (found.clipped, found.values) == ((2, 1), N)
    back = np.stack(layout.decode_actions(layout.encode_actions(values)))
    usual = (np.abs(values) <= 1).all(1)
    assert np.abs(back - values)[usual].max() < 2.4 / BINS
    assert back[5, 0] == pytest.approx(1.1, abs=0.02)
    assert str(range_rows(layout.continuous_fields)[0]).endswith("2 of 400 beyond and clipped")


def test_a_value_that_rarely_changes_keeps_its_changes():
    values = np.zeros((N, 1))
    values[3] = 1
    values[200] = 1
    layout = acting(box(FREE, (1,)), values)
    assert layout.ranges["action"].clipped == (0,)
    back = np.stack(layout.decode_actions(layout.encode_actions(values)))
    np.testing.assert_allclose(back, values, atol=2 / BINS)


@pytest.mark.parametrize("value", [0.0, -3.5, 1e6, 1e-6, 2e30])
def test_a_value_that_never_changes_comes_back_exactly(value):
    values = np.full((5, 2), value, np.float32)
    layout = acting(box(FREE, (2,), np.float32), values)
    assert np.stack(layout.decode_actions(layout.encode_actions(values))).tolist() == values.tolist()
    assert layout.decode_actions(np.full((1, 2), layout.vocabulary.continuous[0]))[0].tolist() == values[0].tolist()


def test_whole_numbers_of_any_size_are_exact():
    space = spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (2,), np.int64)
    values = np.array([[0, -1], [2**62, -(2**63)], [-5, 7]])
    layout = acting(space, values)
    assert np.stack(layout.decode_actions(layout.encode_actions(values))).tolist() == values.tolist()


@pytest.mark.parametrize("bounds", [FREE, (0, np.inf), (-1e10, 1e10), (-3.4e38, 3.4e38)])
def test_without_data_nothing_is_saturated_in_silence(bounds):
    space, values = box(bounds, (2,), np.float32), np.full((1, 2), 400, np.float32)
    layout = Layout.from_spaces(spaces.Discrete(2), space)
    assert layout.action_tokens == 2
    with pytest.raises(ValueError, match=r'^action: value 0 has the bounds .*Layout\.fitted.*ranges="mu-law"'):
        layout.encode_actions(values)
    with pytest.raises(ValueError, match="range must come from data"):
        layout.decode_actions(np.zeros((1, 2), int))
    with pytest.raises(ValueError, match=r"^action: value 0"):
        layout.check_ranges()
    with pytest.raises(ValueError, match=r"^observation: value 0"):
        observed(Layout.from_spaces(space, spaces.Discrete(2)), values)


def test_the_fixed_scale_is_an_option():
    layout = acting(box(FREE, (1,)), RNG.uniform(0, 9, (N, 1)), ranges="mu-law")
    assert layout.ranges == {}
    assert layout.encode_actions(np.array([[1.0], [1e9]])).ravel().tolist() == [256 + 744, 256 + 1023]
    with pytest.raises(ValueError, match=r'^action: a range is given, and LayoutOptions\.ranges is "mu-law"'):
        Layout.from_spaces(
            spaces.Discrete(2),
            box(FREE, (1,)),
            options=LayoutOptions(ranges="mu-law"),
            ranges={"action": Range((0.0,), (1.0,), (0,), 1)},
        )


def test_equal_data_give_equal_ranges_which_travel_as_json():
    bounds, values = DATA["every unit in one"]
    layout = acting(box(bounds, (4,)), values)
    assert acting(box(bounds, (4,)), values.copy()) == layout
    assert pickle.loads(pickle.dumps(layout)) == layout
    stored = json.loads(json.dumps(layout.ranges["action"].to_json()))
    assert Range.from_json(stored) == layout.ranges["action"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"observation": Range((0.0,), (1.0,), (0,), 1)}, "ranges name 'observation', which is no float Box"),
        ({"action": Range((0.0,), (1.0,), (0,), 1)}, "action: a range of 2 values is required, got one of 1"),
        ({"action": Range((0.0, 2.0), (1.0, 1.0), (0, 0), 1)}, "finite and in order, got 2.0 and 1.0"),
        ({"action": Range((0.0, None), (1.0, 1.0), (0, 0), 1)}, "finite and in order, got None and 1.0"),
        ({"action": Range((0.0, 0.0), (1.0, np.inf), (0, 0), 1)}, "finite and in order"),
    ],
)
def test_bad_ranges_are_refused(given, said):
    with pytest.raises(ValueError, match=said):
        Layout.from_spaces(spaces.Discrete(2), box(FREE, (2,)), ranges=given)


def test_what_is_not_finite_in_the_data_is_named():
    values = np.zeros((4, 2))
    values[2, 1] = np.inf
    with pytest.raises(ValueError, match=r"^action: an infinite value at index \(2, 1\)"):
        acting(box(FREE, (2,)), values)
    assert seeing(box(FREE, (2,)), values).ranges["observation"].clipped == (0, 1)
    values[1, 0] = np.nan
    with pytest.raises(ValueError, match=r"^observation: NaN at index \(1, 0\)"):
        seeing(box(FREE, (2,)), values)


@given(st.integers(0, 2**32 - 1), st.floats(-30, 30), st.floats(-30, 30))
def test_any_scale_and_any_offset(seed, scale, offset):
    """Whatever the unit, half a bin of what the data fill is the most that is lost."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (60, 1)) * 10.0**scale + np.sign(offset) * 10.0 ** abs(offset)
    layout = acting(box(FREE, (1,)), values)
    back = np.stack(layout.decode_actions(layout.encode_actions(values)))
    assert np.abs(back - values).max() <= 0.6 * np.ptp(values) / BINS + 1e-12 * np.abs(values).max()


def test_rows_tell_of_wide_arrays_in_one():
    narrow = acting(box(FREE, (2,)), RNG.normal(0, 50, (N, 2)))
    assert [row.values for row in range_rows(narrow.continuous_fields)] == ["0", "1"]
    [wide] = range_rows(acting(box(FREE, (40,)), RNG.normal(0, 50, (N, 40))).continuous_fields)
    assert (wide.values, wide.form, wide.of) == ("0-39", "data", 40 * N)
    assert str(wide).startswith("action[0-39]: -")
    [missing] = range_rows(Layout.from_spaces(spaces.Discrete(2), box(FREE, (3,))).continuous_fields)
    assert str(missing) == "action[0-2]: to be found in the data"


def test_few_bins_of_the_vocabulary_are_as_good():
    values = RNG.uniform(0, 512, (N, 1))
    layout = Layout.from_spaces(spaces.Discrete(2), box(FREE, (1,)), vocabulary=Vocabulary(bins=64))
    layout = layout.fitted(np.zeros(N, int), values)
    [part] = layout.action_fields
    assert isinstance(part, ContinuousField)
    assert np.abs(np.stack(layout.decode_actions(layout.encode_actions(values))) - values).max() < 512 / 64


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64])
def test_whole_numbers_without_bounds_have_digits_for_what_occurs_only(dtype):
    limits = np.iinfo(dtype)
    space = spaces.Box(limits.min, limits.max, (3,), dtype)
    values = RNG.integers(-180, 181, (N, 3)).astype(dtype)
    values[:, 1] = 25
    layout = acting(space, values)
    assert layout.action_tokens == 3  # one digit each
    rows = [str(row) for row in range_rows(layout.continuous_fields)]
    assert rows[1] == "action[1]: 25 to 25, 0 of 400 beyond and clipped"
    np.testing.assert_array_equal(np.stack(layout.decode_actions(layout.encode_actions(values))), values)
    wild = np.stack(layout.decode_actions(RNG.integers(0, 40_000, (200, 3))))
    assert (np.abs(wild) <= 200).all()
    assert (wild[:, 1] == 25).all()
    far = values[:1].copy()
    far[0, 0] = limits.max
    assert 180 <= layout.decode_actions(layout.encode_actions(far))[0][0] <= 200
    again = Layout.from_spaces(
        spaces.Discrete(2),
        space,
        ranges={path: Range.from_json(json.loads(json.dumps(each.to_json()))) for path, each in layout.ranges.items()},
    )
    np.testing.assert_array_equal(again.encode_actions(far), layout.encode_actions(far))


def test_whole_numbers_keep_all_their_digits_where_bounds_say_what_they_are_or_nobody_looked():
    bounded, free = spaces.Box(-180, 180, (2,), np.int64), spaces.Box(-(2**63), 2**63 - 1, (1,), np.int64)
    values = RNG.integers(-3, 4, (N, 2))
    assert acting(bounded, values).ranges == {}
    assert Layout.from_spaces(spaces.Discrete(2), free).action_tokens == 7
    assert acting(free, values[:, :1], ranges="mu-law").action_tokens == 7
    assert acting(spaces.Box(0, 2**16 - 1, (1,), np.uint16), np.array([[3], [900]])).ranges["action"].low == (0.0,)
    gripper = acting(free, values[:, :1] > 0)
    assert gripper.ranges["action"].low[0] < 0
    assert [(row.low, row.high) for row in range_rows(gripper.continuous_fields)] == [(0, 1)]
    first, end = gripper.action_fields[0].ranges[0].tolist()
    assert [int(action[0]) for action in gripper.decode_actions(np.arange(first, end)[:, None])] == [0, 1]
    seen = seeing(spaces.Box(-(2**31), 2**31 - 1, (1,), np.int32), values[:, :1])
    np.testing.assert_array_equal(np.unique(observed(seen, values[:, :1])).size, 7)
