"""Observations of any space as rows of numbers."""

import numpy as np
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from generalist.eval.baselines.features import LONG_TEXT, fit_features, leaves

LEAVES = st.sampled_from(
    [
        spaces.Box(-1, 1, (3,), np.float64),
        spaces.Box(-np.inf, np.inf, (2, 2), np.float32),
        spaces.Box(0, 255, (4, 4, 3), np.uint8),
        spaces.Box(-5, 5, (), np.int64),
        spaces.Discrete(4, start=-2),
        spaces.MultiDiscrete([3, 2]),
        spaces.MultiDiscrete([[3, 2], [5, 4]]),
        spaces.MultiBinary((2, 2)),
        spaces.Text(6),
        spaces.Text(LONG_TEXT + 1, charset="ab "),
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


def samples(space, count, seed=0):
    space.seed(seed)
    return [space.sample() for _ in range(count)]


def stacked(space, rows):
    if isinstance(space, spaces.Dict):
        return {key: stacked(space[key], [row[key] for row in rows]) for key in space.spaces}
    if isinstance(space, spaces.Tuple):
        return tuple(stacked(inner, [row[i] for row in rows]) for i, inner in enumerate(space.spaces))
    return np.array(rows, object) if isinstance(space, spaces.Text) else np.stack([np.asarray(row) for row in rows])


@settings(max_examples=60)
@given(SPACES)
def test_stacked_and_listed_observations_give_the_same_rows(space):
    rows = samples(space, 7)
    features = fit_features(space, stacked(space, rows))
    found = features.stacked(stacked(space, rows))
    assert found.dtype == np.float32
    assert found.shape[0] == 7
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, features.listed(rows))
    np.testing.assert_array_equal(found[3:4], features.listed(rows[3:4]))
    assert features.listed(samples(space, 3, seed=1)).shape == (3, found.shape[1])


def test_numbers_are_standardised_and_stay_finite():
    space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
    values = np.array([[1.0, 5, 2], [3.0, 5, 4]])
    features = fit_features(space, values)
    np.testing.assert_allclose(features.stacked(values), [[-1, 0, -1], [1, 0, 1]])
    assert np.isfinite(features.listed([np.array([np.nan, np.inf, -1e300])])).all()


def test_classes_and_texts_are_one_hot_and_unknown_ones_zero():
    space = spaces.Dict(mission=spaces.Text(10), place=spaces.Discrete(9), pair=spaces.MultiDiscrete([3, 3]))
    shown = {
        "mission": np.array(["go", "stay"], object),
        "place": np.array([3, 5]),
        "pair": np.array([[0, 2], [1, 2]]),
    }
    features = fit_features(space, shown)
    np.testing.assert_array_equal(features.stacked(shown), [[1, 0, 1, 0, 1, 1, 0], [0, 1, 0, 1, 1, 0, 1]])
    unknown = {"mission": "fly", "place": np.int64(8), "pair": np.array([2, 0])}
    np.testing.assert_array_equal(features.listed([unknown]), np.zeros((1, 7)))


def test_images_are_divided_by_255():
    space = spaces.Box(0, 255, (2, 2, 3), np.uint8)
    images = np.full((2, 2, 2, 3), 255, np.uint8)
    np.testing.assert_array_equal(fit_features(space, images).stacked(images), np.ones((2, 12)))


def test_leaves_are_in_lexicographic_order():
    space = spaces.Dict(b=spaces.Discrete(2), a=spaces.Tuple([spaces.Discrete(3), spaces.Discrete(4)]))
    assert [path for path, _ in leaves(space)] == [("a", 0), ("a", 1), ("b",)]


def test_long_texts_are_seen_by_their_words():
    space = spaces.Text(LONG_TEXT + 1)
    shown = np.array(["a red key; a door", "a red door"], object)
    features = fit_features(space, shown)
    found = features.stacked(shown)
    np.testing.assert_allclose(found**2 * np.array([[7], [3]]), [[4, 1, 1, 1], [1, 1, 0, 1]], rtol=1e-6)
    np.testing.assert_array_equal(features.listed(["blue", "red red"]), [[0, 0, 0, 0], [0, 0, 0, 1]])
