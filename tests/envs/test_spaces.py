import json

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from generalist.envs.spaces import (
    AnyText,
    build_value,
    is_mission_space,
    map_leaves,
    path_name,
    space_from_json,
    space_leaves,
    space_to_json,
    take,
    value_at,
)

SHAPES = hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)
DTYPES = st.sampled_from([np.float16, np.float32, np.float64, np.uint8, np.int16, np.int64, np.uint64])


@st.composite
def boxes(draw):
    dtype, shape = np.dtype(draw(DTYPES)), draw(SHAPES)
    elements = {"allow_nan": False} if dtype.kind == "f" else {}
    first, second = (draw(hnp.arrays(dtype, shape, elements=hnp.from_dtype(dtype, **elements))) for _ in range(2))
    return spaces.Box(np.minimum(first, second), np.maximum(first, second), shape=shape, dtype=dtype.type)


@st.composite
def multi_discretes(draw):
    nvec = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    start = draw(st.lists(st.integers(-9, 9), min_size=len(nvec), max_size=len(nvec)))
    return spaces.MultiDiscrete(nvec, start=start)


LEAVES = st.one_of(
    boxes(),
    multi_discretes(),
    st.builds(lambda n, start: spaces.Discrete(n, start=start), st.integers(1, 2**60), st.integers(-(2**60), 2**60)),
    st.builds(spaces.MultiBinary, st.one_of(st.integers(1, 4), st.lists(st.integers(1, 3), min_size=2, max_size=3))),
    st.builds(
        lambda length, charset: spaces.Text(length, min_length=0, charset=charset),
        st.integers(1, 5),
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5),
    ),
)
SPACES = st.recursive(
    LEAVES,
    lambda children: st.one_of(
        st.dictionaries(st.text(max_size=3), children, max_size=3).map(spaces.Dict),
        st.lists(children, max_size=3).map(spaces.Tuple),
    ),
    max_leaves=5,
)


def through_json(space: gym.Space) -> gym.Space:
    return space_from_json(json.loads(json.dumps(space_to_json(space), allow_nan=False)))


@settings(max_examples=100)
@given(SPACES)
def test_a_space_comes_back_equal(space):
    again = through_json(space)
    assert again == space
    for (path, leaf), (path_again, leaf_again) in zip(space_leaves(space), space_leaves(again), strict=True):
        assert path == path_again
        assert leaf.dtype == leaf_again.dtype
        assert leaf.shape == leaf_again.shape


@settings(max_examples=30)
@given(SPACES, st.integers(0, 2**31 - 1))
def test_the_space_that_comes_back_draws_the_same_samples(space, seed):
    again = through_json(space)
    space.seed(seed)
    again.seed(seed)
    try:
        one = space.sample()
    except ValueError:  # Gymnasium adds 1 to the highest value, which int64's highest does not survive
        reject()
    other = again.sample()
    for path, _ in space_leaves(space):
        np.testing.assert_array_equal(value_at(one, path), value_at(other, path))


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-np.inf, np.inf, (2,)),
        spaces.Box(np.array([-np.inf, 0], np.float32), np.array([1e30, np.inf], np.float32)),
        spaces.Box(0, 2**64 - 1, (1,), dtype=np.uint64),
        spaces.Box(0, 1, (2,), dtype=np.bool_),
        spaces.Discrete(2**63 - 1),
        spaces.Discrete(5, dtype=np.int8),
    ],
)
def test_extreme_bounds_are_exact(space):
    again = through_json(space)
    assert again == space
    assert again.dtype == space.dtype


def test_an_unbounded_integer_box_stays_unbounded():
    space = through_json(spaces.Box(-np.inf, 5, (2,), dtype=np.int64))
    assert not space.bounded_below.any()
    assert space.bounded_above.all()


def test_a_mission_space_becomes_text_that_contains_its_missions():
    mission = pytest.importorskip("minigrid.core.mission")
    space = mission.MissionSpace(lambda color: f"go to the {color} ball", [["red", "blue"]])
    again = through_json(spaces.Dict({"mission": space}))["mission"]
    assert is_mission_space(space)
    assert not is_mission_space(again)
    assert isinstance(again, spaces.Text)
    assert again.contains(space.sample())


def test_an_unsupported_space_is_named_with_its_path():
    space = spaces.Dict({"arm": spaces.Tuple([spaces.Discrete(2), spaces.Sequence(spaces.Discrete(2))])})
    with pytest.raises(ValueError, match=r"Sequence at \['arm'\]\[1\] is not supported: need Box"):
        space_to_json(space)


def test_a_key_that_is_no_string_is_refused():
    with pytest.raises(ValueError, match=r"key 3 .* must be a str"):
        space_to_json(spaces.Dict({3: spaces.Discrete(2)}))


def test_an_unknown_description_is_refused():
    with pytest.raises(ValueError, match="unknown space 'Graph'"):
        space_from_json({"space": "Graph"})


def test_leaves_paths_and_building_agree():
    space = spaces.Dict({"b": spaces.Tuple([spaces.Discrete(2), spaces.Dict({})]), "a": spaces.Text(3)})
    value = {"a": "x", "b": (1, {})}
    paths = [path for path, _ in space_leaves(space)]
    assert paths == [("a",), ("b", 0)]
    assert build_value(space, iter([value_at(value, path) for path in paths])) == value
    assert map_leaves(lambda leaf, one, two: (one, two), space, value, value)["b"] == ((1, 1), {})
    assert path_name(("b", 0)) == "['b'][0]"


def test_take_reads_nested_values():
    tree = {"a": np.arange(4), "b": (np.arange(8).reshape(4, 2), ["w", "x", "y", "z"])}
    found = take(tree, np.array([2, 0]))
    assert found["a"].tolist() == [2, 0]
    assert found["b"][0].tolist() == [[4, 5], [0, 1]]
    assert list(found["b"][1]) == ["y", "w"]


@pytest.mark.parametrize("text", ["naïve", "把红色方块推到左边", "ضع الكرة", "🤖", "", "a" * 60])
def test_instructions_of_any_language_lie_in_their_space(text):
    space = AnyText(60, min_length=0)
    back = space_from_json(json.loads(json.dumps(space_to_json(space))))
    assert back == space
    assert back.contains(text)
    assert not back.contains("a" * 61)
    assert space != spaces.Text(60, min_length=0)
    assert spaces.Dict({"say": back}).contains({"say": text})
    space.seed(0)
    assert space.contains(space.sample())
