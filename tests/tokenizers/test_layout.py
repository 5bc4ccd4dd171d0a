"""Properties over arbitrary nested spaces, and what a layout promises about actions and sizes."""

import json
import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from generalist.tokenizers.continuous import ContinuousField, compand
from generalist.tokenizers.layout import Layout, LayoutOptions
from generalist.tokenizers.sequence import Kind, TokenSequence
from generalist.tokenizers.space import leaves
from generalist.tokenizers.text import ByteTokenizer
from generalist.tokenizers.vocabulary import Vocabulary

N = 3
SHAPES = st.sampled_from([(), (0,), (1,), (3,), (2, 2)])
LIGHT = settings(max_examples=60, suppress_health_check=list(HealthCheck))


@st.composite
def float_boxes(draw):
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    bound = st.one_of(st.floats(-1e4, 1e4, width=16), st.just(0.0), st.just(1.0), st.just(float(np.finfo(dtype).max)))
    low, high = sorted(draw(st.tuples(bound, bound)))
    low, high = low + 0.0, high + 0.0  # one zero: floats from 0.0 to -0.0 there are none
    low = draw(st.sampled_from([low, -np.inf]))
    high = draw(st.sampled_from([high, np.inf]))
    shape = draw(SHAPES)
    return spaces.Box(np.full(shape, low, dtype), np.full(shape, high, dtype), shape, dtype)


@st.composite
def integer_boxes(draw):
    dtype = draw(st.sampled_from([np.int8, np.uint8, np.int32, np.int64, np.uint64]))
    ends = st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    low, high = sorted(draw(st.tuples(ends, ends)))
    shape = draw(SHAPES)
    return spaces.Box(np.full(shape, low, dtype), np.full(shape, high, dtype), shape, dtype)


simple = st.one_of(
    float_boxes(),
    integer_boxes(),
    st.builds(spaces.Discrete, st.integers(1, 2**40), start=st.integers(-(2**40), 2**40)),
    st.builds(spaces.MultiDiscrete, st.lists(st.integers(1, 3000), min_size=1, max_size=3)),
    st.builds(spaces.MultiBinary, st.sampled_from([1, 4, (2, 2)])),
    st.builds(spaces.Text, st.integers(2, 5), min_length=st.integers(0, 2), charset=st.sampled_from(["ab", "é€x"])),
)
image = st.sampled_from([(9, 8), (16, 20, 3), (3, 10, 9), (2, 8, 8)]).map(lambda s: spaces.Box(0, 255, s, np.uint8))


def nested(part):
    keys = st.text("abz/~", min_size=1, max_size=2)
    return st.recursive(
        part,
        lambda inner: st.one_of(
            st.dictionaries(keys, inner, max_size=3).map(spaces.Dict),
            st.lists(inner, max_size=3).map(spaces.Tuple),
        ),
        max_leaves=4,
    )


def draw_values(data, space, finite=False):
    """N values of a space, stacked."""
    if isinstance(space, spaces.Dict):
        return {key: draw_values(data, part, finite) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(draw_values(data, part, finite) for part in space.spaces)
    if isinstance(space, spaces.Text):
        size = {"min_size": space.min_length, "max_size": space.max_length}
        return [data.draw(st.text(list(space.character_list), **size)) for _ in range(N)]
    if isinstance(space, spaces.Box) and space.dtype.kind == "f":
        low, high = (float(end.flat[0]) if end.size else 0.0 for end in (space.low, space.high))
        bits = np.finfo(space.dtype).bits
        some = st.floats(low, high, allow_nan=False, width=bits).filter(lambda x: not finite or np.isfinite(x))
        return data.draw(hnp.arrays(space.dtype, (N, *space.shape), elements=some))
    if isinstance(space, spaces.Box):
        low, high = (int(end.flat[0]) if end.size else 0 for end in (space.low, space.high))
        return data.draw(hnp.arrays(space.dtype, (N, *space.shape), elements=st.integers(low, high)))
    space.seed(data.draw(st.integers(0, 99)))
    return np.stack([space.sample() for _ in range(N)])


def flat(space, value):
    return [leaf_value(value, leaf.keys) for leaf in leaves(space, "x")]


def leaf_value(value, keys):
    for key in keys:
        value = value[key]
    return value


def encode(layout, observations, actions, rows=slice(None)):
    timesteps = np.arange(N)[rows]
    return layout.encode(
        take(observations, rows), take(actions, rows), timesteps=timesteps, segments=np.ones(len(timesteps)), source=0
    )


def take(tree, rows):
    if isinstance(tree, dict):
        return {key: take(part, rows) for key, part in tree.items()}
    if isinstance(tree, tuple):
        return tuple(take(part, rows) for part in tree)
    return tree if tree is None else tree[rows]


any_options = st.builds(
    LayoutOptions,
    continuous=st.sampled_from(["tokens", "vector"]),
    ranges=st.sampled_from(["data", "mu-law"]),
    images=st.sampled_from(["patches", "conv"]),
    patch_size=st.sampled_from([8, 16]),
    channels=st.sampled_from([1, 3]),
    image_shape=st.sampled_from([(8, 8, 3), (9, 8, 1)]),
    past_actions=st.sampled_from(["shown", "hidden"]),
    context=st.sampled_from([None, 1, 4]),
    predict_text=st.booleans(),
)


@LIGHT
@given(nested(st.one_of(simple, image)), nested(simple), any_options, st.data())
def test_sequences_of_arbitrary_spaces(observation_space, action_space, options, data):
    observations, actions = draw_values(data, observation_space), draw_values(data, action_space, finite=True)
    says = any(isinstance(leaf.space, spaces.Text) for leaf in leaves(action_space, "action"))
    if options.past_actions == "hidden" and not says and data.draw(st.booleans()):
        options = replace(options, actions="direct")
    layout = Layout.from_spaces(observation_space, action_space, options=options)
    layout = layout.fitted(observations, actions) if options.ranges == "data" else layout
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sequence = encode(layout, observations, actions)
    vocabulary = layout.vocabulary
    legal = {
        Kind.TEXT: [vocabulary.text, (vocabulary.end, vocabulary.end + 1)],
        Kind.CONTINUOUS: [vocabulary.continuous],
        Kind.DISCRETE: [vocabulary.discrete],
        Kind.SEPARATOR: [(vocabulary.separator, vocabulary.separator + 1)],
        Kind.ACTION: [(0, vocabulary.size)],
    }
    feature = [(vocabulary.feature, vocabulary.feature + 1)]
    for token, kind in zip(sequence.ids, sequence.kind, strict=True):
        assert any(start <= token < stop for start, stop in legal.get(kind, feature))
    assert len(sequence) <= N * layout.max_tokens
    assert sequence.loss_mask.sum() <= N * layout.target_count
    assert sequence.local.max(initial=-1) < max(layout.max_observation_tokens, 1)
    assert sequence.patches.shape == (N * layout.patch_count, layout.patch_values)
    assert sequence.vectors.shape == (N * layout.vector_count, layout.vector_values)
    assert sequence.images.shape == (N * layout.image_count, *layout.image_shape)
    answered = layout.action_ranges[sequence.answer_part]
    assert ((sequence.answers >= answered[:, 0]) & (sequence.answers < answered[:, 1])).all()
    assert len(sequence.answers) == N * layout.answer_count
    shown = options.past_actions == "shown"
    for at in np.flatnonzero(sequence.loss_mask):
        if shown or sequence.kind[min(at + 1, len(sequence) - 1)] == Kind.TEXT == sequence.kind[at]:
            assert sequence.targets[at] == sequence.ids[at + 1]
    same_as_the_loop(layout, observations, actions, sequence)


def same_as_the_loop(layout, observations, actions, sequence: TokenSequence):
    singles = [encode(layout, observations, actions, slice(i, i + 1)) for i in range(N)]
    offsets = np.cumsum([0, *map(len, singles)])
    for name, whole in sequence.arrays().items():
        shift = offsets if name.endswith("_at") or name == "position" else np.zeros(N + 1, int)
        parts = [getattr(one, name) + (by if by else 0) for one, by in zip(singles, shift.tolist(), strict=False)]
        np.testing.assert_array_equal(whole, np.concatenate(parts), err_msg=name)


@LIGHT
@given(nested(simple), st.data())
def test_observations_come_back(space, data):
    layout = Layout.from_spaces(space, spaces.Discrete(2), options=LayoutOptions(ranges="mu-law"))
    observations = draw_values(data, space)
    sequence = encode(layout, observations, np.zeros(N, int))
    for step in range(N):
        ids = sequence.ids[(sequence.timestep == step) & (sequence.local >= 0)]
        back = layout.decode_observation(ids)
        for leaf, old, new in zip(leaves(space, "o"), flat(space, observations), flat(space, back), strict=True):
            if isinstance(leaf.space, spaces.Box) and leaf.space.dtype.kind == "f":
                assert leaf.space.contains(new)
                close_in_bins(old[step], new, leaf.space)
            else:
                np.testing.assert_array_equal(new, old[step])


def close_in_bins(old, new, space):
    """Within one bin of the companded scale, plus what rounding to the dtype and clipping to the space cost."""
    old, new = np.clip(np.float64(old), -256, 256), np.clip(np.float64(new), -256, 256)
    slack = 1 / 1024 + 2 * float(np.finfo(space.dtype).eps)
    beyond = (np.abs(space.low) > 256) | (np.abs(space.high) > 256)
    inside = (np.abs(compand(old) - compand(new)) <= slack) | beyond
    assert inside.all(), (old, new)


@LIGHT
@given(nested(simple), st.data())
def test_actions_come_back_and_batch_is_the_loop(space, data):
    actions = draw_values(data, space, finite=True)
    layout = Layout.from_spaces(spaces.Discrete(2), space).fitted(np.zeros(N, int), actions)
    if not leaves(space, "a"):
        return
    ids = layout.encode_actions(actions)
    assert ids.shape == (N, layout.action_tokens)
    assert ((ids >= layout.action_ranges[:, 0]) & (ids < layout.action_ranges[:, 1])).all()
    back = layout.decode_actions(ids)
    for step in range(N):
        one = take(actions, slice(step, step + 1))
        np.testing.assert_array_equal(layout.encode_actions(one)[0], ids[step])
        assert space.contains(back[step])
        for leaf, old, new in zip(leaves(space, "a"), flat(space, actions), flat(space, back[step]), strict=True):
            if not (isinstance(leaf.space, spaces.Box) and leaf.space.dtype.kind == "f"):
                np.testing.assert_array_equal(new, old[step])


@LIGHT
@given(nested(simple), st.data())
def test_any_ids_decode_to_an_action_of_the_space(space, data):
    layout = Layout.from_spaces(spaces.Discrete(2), space)
    layout = layout.fitted(np.zeros(N, int), draw_values(data, space, finite=True))
    ids = data.draw(
        hnp.arrays(np.int32, (2, layout.action_tokens), elements=st.integers(-9, layout.vocabulary.size + 9))
    )
    values = data.draw(hnp.arrays(np.float32, ids.shape, elements=st.floats(allow_nan=False, width=32)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        members = layout.decode_actions(ids) + layout.decode_actions(ids, values)
    assert all(space.contains(member) for member in members)


def test_types_of_decoded_actions():
    space = spaces.Dict(
        a=spaces.Discrete(3),
        b=spaces.Box(-1, 1, (), np.float32),
        c=spaces.MultiBinary(2),
        d=spaces.Text(3),
        e=spaces.Box(0, 5, (), np.int16),
    )
    layout = Layout.from_spaces(spaces.Discrete(2), space)
    (action,) = layout.decode_actions(np.zeros((1, layout.action_tokens), int))
    assert type(action["a"]) is np.int64
    assert (action["b"].dtype, action["b"].shape) == (np.float32, ())
    assert action["c"].dtype == np.int8
    assert type(action["d"]) is str
    assert action["e"].dtype == np.int16
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert space.contains(action)


def test_expectation_and_ranges():
    space = spaces.Dict(d=spaces.Discrete(3), g=spaces.Box(-2, 2, (2,)))
    layout = Layout.from_spaces(spaces.Discrete(2), space)
    assert layout.action_is_continuous.tolist() == [False, True, True]
    assert layout.action_ranges.tolist() == [[1280, 1283], [256, 1280], [256, 1280]]
    (action,) = layout.decode_actions([[1282, 256, 256]], [[np.nan, 0.5, -2.0]])
    assert action["d"] == 2
    assert action["g"].tolist() == [1.0, -2.0]
    with pytest.raises(ValueError, match="contain NaN"):
        layout.decode_actions([[1282, 256, 256]], [[0, np.nan, 0]])
    with pytest.raises(ValueError, match=r"ids must have shape \[n, 3\]"):
        layout.decode_actions([1282, 256, 256])


def test_groups_come_in_order():
    space = spaces.Dict(
        a=spaces.Box(-1, 1, (1,)), b=spaces.Box(0, 255, (16, 16, 3), np.uint8), c=spaces.Text(3), d=spaces.Text(3)
    )
    layout = Layout.from_spaces(space, space)
    assert [leaf.path for leaf in layout.text_leaves] == ["observation/c", "observation/d"]
    assert layout.body_kinds.tolist()[:3] == [Kind.PATCH, Kind.CONTINUOUS, Kind.SEPARATOR]
    paths = [part.leaf.path for part, _, _ in layout.action_spans]
    assert paths == ["action/c", "action/d", "action/a", "action/b"]
    assert layout.action_tokens == 3 + 3 + 1 + 768


def test_sizes():
    space = spaces.Dict(i=spaces.Box(0, 255, (56, 56, 3), np.uint8), t=spaces.Text(9), v=spaces.Box(-1, 1, (39,)))
    sizes = (
        "max_tokens",
        "action_tokens",
        "target_count",
        "patch_count",
        "vector_count",
        "vector_values",
        "image_count",
    )

    def read(**options):
        layout = Layout.from_spaces(
            space, spaces.Box(-1, 1, (4,)), options=LayoutOptions(max_text_tokens=10, **options)
        )
        return [getattr(layout, name) for name in sizes]

    assert read() == [9 + 16 + 39 + 1 + 4, 4, 8 + 4, 16, 0, 0, 0]
    assert read(continuous="vector", images="conv", past_actions="hidden", predict_text=False) == [
        15,
        4,
        4,
        0,
        1,
        39,
        1,
    ]


def test_text_is_not_predicted_directly():
    options = LayoutOptions(past_actions="hidden", actions="direct")
    with pytest.raises(ValueError, match=r'an action here is text: use actions="sequential"'):
        Layout.from_spaces(spaces.Discrete(2), spaces.Dict(a=spaces.Text(3), b=spaces.Discrete(2)), options=options)


def test_a_minigrid_mission_is_text():
    mission = pytest.importorskip("minigrid.core.mission").MissionSpace(lambda: "get the key")
    layout = Layout.from_spaces(spaces.Dict(mission=mission, direction=spaces.Discrete(4)), spaces.Discrete(7))
    observation = {"mission": ("get the key",), "direction": np.asarray([2])}
    sequence = layout.encode(observation, timesteps=[0], segments=[1], source=0)
    assert layout.decode_observation(sequence.ids[:-1]) == {"mission": "get the key", "direction": 2}
    with pytest.raises(ValueError, match="action/m: a MissionSpace cannot be an action"):
        Layout.from_spaces(spaces.Discrete(2), spaces.Dict(m=mission))


def test_what_cannot_be_tokenized_is_refused_by_path():
    with pytest.raises(ValueError, match="action/0: a space of type Graph"):
        Layout.from_spaces(spaces.Discrete(2), spaces.Tuple((spaces.Graph(spaces.Discrete(2), None),)))


@pytest.mark.parametrize("space", [spaces.Text(3), spaces.Dict(), spaces.Box(0, 1, (0,))])
def test_without_separator_something_must_precede_the_action(space):
    with pytest.raises(ValueError, match="separator=False needs an observation token"):
        Layout.from_spaces(space, spaces.Discrete(2), options=LayoutOptions(separator=False))
    Layout.from_spaces(space, spaces.Discrete(2))


def test_the_vocabulary_must_hold_the_text_tokenizer():
    with pytest.raises(ValueError, match=r"bytes-1 has 256 ids.*Vocabulary\(text_size=256\)"):
        Layout.from_spaces(spaces.Text(3), spaces.Discrete(2), vocabulary=Vocabulary(text_size=100))


def test_statistics_of_an_unknown_path_are_refused():
    space = spaces.Dict(position=spaces.Box(-1, 1, (1,)), count=spaces.Discrete(3))
    for path in ("observation/positon", "observation/count"):
        with pytest.raises(ValueError, match="observation/position"):
            Layout.from_spaces(space, spaces.Discrete(2), statistics={path: ([0], [1])})


def test_statistics_of_the_wrong_length_are_refused_at_once():
    with pytest.raises(ValueError, match="statistics of 2 values are required"):
        Layout.from_spaces(
            spaces.Box(-1, 1, (2,)),
            spaces.Discrete(2),
            options=LayoutOptions(continuous="vector"),
            statistics={"observation": ([0], [1])},
        )


def test_statistics_travel_as_json():
    space = spaces.Dict(p=spaces.Tuple((spaces.Box(-9, 9, (2,)), spaces.Discrete(3))), q=spaces.Box(-9, 9, ()))
    observations = {"p": (np.asarray([[1.0, 2], [3, 2]]), np.asarray([0, 1])), "q": np.asarray([5.0, 7.0])}
    found = {"observation/p/0": ([2.0, 2.0], [1.0, 0.0]), "observation/q": ([6.0], [1.0])}
    options = LayoutOptions(continuous="vector")
    again = Layout.from_spaces(space, spaces.Discrete(2), options=options, statistics=json.loads(json.dumps(found)))
    direct = Layout.from_spaces(space, spaces.Discrete(2), options=options, statistics=found)
    a, b = (encode_two(layout, observations) for layout in (again, direct))
    np.testing.assert_array_equal(a.vectors, b.vectors)


def encode_two(layout, observations):
    return layout.encode(observations, np.asarray([0, 1]), timesteps=[0, 1], segments=[1, 1], source=0)


def test_a_layout_is_plain_data():
    space = spaces.Dict(p=spaces.Box(-1, 1, (2,)), t=spaces.Text(3))
    layout = Layout.from_spaces(space, spaces.Discrete(2))
    again = pickle.loads(pickle.dumps(layout))
    assert again == layout
    rebuilt = Layout(space, spaces.Discrete(2), Vocabulary(), ByteTokenizer(), LayoutOptions(), {})
    assert rebuilt == layout
    assert any(isinstance(part, ContinuousField) for part in again.tensor_fields)
