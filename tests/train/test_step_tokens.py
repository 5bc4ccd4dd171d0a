"""Counted tokens are the lengths of encoded timesteps, whatever texts there are."""

import pickle

import numpy as np
import pytest
from arrays import columns_of
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from generalist.envs.spaces import take
from generalist.tokenizers.layout import Layout, LayoutOptions
from generalist.train import step_tokens
from generalist.train.step_tokens import StepTokens, column_tokens, token_counts
from generalist.train.windows import Window

RNG = np.random.default_rng(0)
STEPS = 90
BOX, ACTION = spaces.Box(-1, 1, (3,), np.float32), spaces.MultiDiscrete([3, 4])
SPACES = {
    "none": spaces.Dict(x=BOX),
    "one": spaces.Dict(x=BOX, say=spaces.Text(30)),
    "alone": spaces.Text(30),
    "three": spaces.Dict(
        z=spaces.Text(30),
        x=BOX,
        inner=spaces.Tuple([spaces.Text(30), spaces.Discrete(3)]),
        picture=spaces.Box(0, 255, (16, 16, 3), np.uint8),
        a=spaces.Text(30),
    ),
}
OPTIONS = [
    {},
    {"past_actions": "hidden"},
    {"past_actions": "hidden", "actions": "direct", "continuous": "vector"},
    {"max_text_tokens": 5, "images": "conv"},
]


def texts(different: int) -> np.ndarray:
    known = ["", "é漢😀", *("x" * int(RNG.integers(1, 25)) + str(number) for number in range(different))]
    return np.array([known[int(RNG.integers(len(known)))] for _ in range(STEPS)], object)


def values(space, different):
    if isinstance(space, spaces.Dict):
        return {key: values(part, different) for key, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(values(part, different) for part in space)
    return texts(different) if isinstance(space, spaces.Text) else np.stack([space.sample() for _ in range(STEPS)])


def encoded_lengths(layout: Layout, observations, actions) -> np.ndarray:
    one = np.ones(1, int)
    parts = [(take(observations, np.array([at])), take(actions, np.array([at]))) for at in range(STEPS)]
    return np.array([len(layout.encode(*part, timesteps=one - 1, segments=one, source=0)) for part in parts])


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(("name", "different"), [("none", 0), ("one", 3), ("one", 200), ("alone", 20), ("three", 9)])
def test_tokens_are_the_lengths_of_encoded_timesteps(name, different, options, monkeypatch):
    monkeypatch.setattr(step_tokens, "CHUNK", 16)
    observations, actions = values(SPACES[name], different), values(ACTION, 0)
    layout = Layout.from_spaces(SPACES[name], ACTION, options=LayoutOptions(**options))
    expected = encoded_lengths(layout, observations, actions)
    assert token_counts(layout, observations, STEPS).tolist() == expected.tolist()
    found = column_tokens(layout, columns_of(SPACES[name], ACTION, observations, actions))
    for steps in (np.arange(STEPS), np.array([5, 5, 0]), np.arange(0)):
        assert found.of(steps).tolist() == expected[steps].tolist()
        assert pickle.loads(pickle.dumps(found)).of(steps).tolist() == expected[steps].tolist()
    assert (found.least, found.most) == (expected.min(), expected.max())
    assert found.mean == pytest.approx(expected.mean())


TEXTS = st.sampled_from(["", "ab", "é漢", "longer than it may be"])
TOLD = spaces.Dict(b=spaces.Text(30), a=spaces.Text(30), x=BOX)


@settings(max_examples=60)
@given(
    said=st.lists(st.tuples(TEXTS, TEXTS, st.integers(1, 4)), min_size=1, max_size=5),
    stretches=st.lists(st.tuples(st.integers(0, 19), st.integers(1, 8)), min_size=1, max_size=4),
    every=st.integers(1, 4),
    joined=st.booleans(),
    options=st.sampled_from(OPTIONS),
)
def test_tokens_of_a_window_are_those_of_its_encoding(said, stretches, every, joined, options):
    """Texts that stay for some timesteps; stretches of them, each a segment or all of them one, as after a prompt."""
    a, b = ([pair[which] for pair in said for _ in range(pair[2])] for which in (0, 1))
    n = len(a)
    observations = {"a": np.array(a, object), "b": np.array(b, object), "x": np.zeros((n, 3), np.float32)}
    actions = np.zeros((n, 2), int)
    layout = Layout.from_spaces(TOLD, ACTION, options=LayoutOptions(text_every=every, **options))
    parts = [np.arange(start % n, min(start % n + length, n)) for start, length in stretches]
    steps, lengths = np.concatenate(parts), [len(part) for part in parts]
    timesteps = np.arange(len(steps)) if joined else np.concatenate([np.arange(length) for length in lengths])
    segments = np.ones(len(steps), int) if joined else np.repeat(np.arange(len(parts)) + 1, lengths)
    sequence = layout.encode(
        take(observations, steps), take(actions, steps), timesteps=timesteps, segments=segments, source=0, told=True
    )
    found = column_tokens(layout, columns_of(TOLD, ACTION, observations, actions))
    tokens = pickle.loads(pickle.dumps(found)).in_window(Window(steps, timesteps, segments))
    counts = np.bincount(sequence.segment * 99 + sequence.timestep, minlength=segments.max() * 99 + 99)
    assert tokens.tolist() == counts[segments * 99 + timesteps].tolist()
    assert found.least <= tokens.min() <= tokens.max() <= found.most


def test_a_text_that_stays_counts_once_in_so_many_timesteps():
    options = LayoutOptions(text_every=3, past_actions="hidden", actions="direct")
    layout = Layout.from_spaces(SPACES["one"], ACTION, options=options)
    observations = {"x": np.zeros((9, 3), np.float32), "say": np.array(["a text"] * 9, object)}
    found = column_tokens(layout, columns_of(SPACES["one"], ACTION, observations, np.zeros((9, 2), int)))
    assert (found.least, found.most, found.mean) == (4, 10, 6)
    window = Window(np.arange(9), np.arange(9), np.ones(9, int))
    assert found.in_window(window).tolist() == [10, 4, 4] * 3


def test_texts_that_are_cut_are_counted(monkeypatch):
    monkeypatch.setattr(step_tokens, "CHUNK", 4)
    said = ["left of the box", "left of the cup", "left", "right of the box", "left"] * 2 + ["left of the cup"]
    space = spaces.Dict(say=spaces.Text(40), x=BOX)
    observations = {"say": np.array(said, object), "x": np.zeros((11, 3), np.float32)}
    columns = columns_of(space, ACTION, observations, np.zeros((11, 2), int), [5, 6])
    [cut] = column_tokens(Layout.from_spaces(space, ACTION, options=LayoutOptions(max_text_tokens=12)), columns).cut
    assert (cut.path, cut.limit, cut.longest) == ("observation/say", 12, 16)
    assert (cut.cut, cut.texts, cut.alike) == (3, 4, 2)
    assert (cut.timesteps, cut.of) == (7, 11)
    assert column_tokens(Layout.from_spaces(space, ACTION), columns).cut == ()


def test_a_known_table():
    found = StepTokens.known(np.array([3, 9, 4]))
    assert (found.least, found.most) == (3, 9)
    assert found.mean == pytest.approx(16 / 3)
    assert found.of(np.array([2, 0, 2])).tolist() == [4, 3, 4]


def test_texts_that_are_damaged_or_gone_are_named():
    columns = columns_of(SPACES["alone"], ACTION, texts(3), values(ACTION, 0))
    layout = Layout.from_spaces(SPACES["alone"], ACTION)
    found = column_tokens(layout, columns)
    columns.file.path.unlink()
    with pytest.raises(ValueError, match=rf"{columns.file.path.name} was removed"):
        found.of(np.array([0]))
