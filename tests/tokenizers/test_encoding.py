"""The format of a sequence, written out by hand."""

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from generalist.tokenizers.encoding import next_steps
from generalist.tokenizers.layout import Layout, LayoutOptions
from generalist.tokenizers.sequence import NO_LOCAL, TOKEN_FIELDS, UNLIMITED, Kind
from generalist.tokenizers.text import CutTextWarning

OBSERVATIONS = spaces.Dict(
    a=spaces.Discrete(3),
    image=spaces.Box(0, 255, (16, 32, 3), np.uint8),
    say=spaces.Text(5),
    z=spaces.Box(-1, 1, (2,)),
)
ACTIONS = spaces.Dict(d=spaces.Discrete(4), g=spaces.Box(-1, 1, ()))
CONTINUOUS, DISCRETE, SEPARATOR, FEATURE, END = 256, 1280, 2304, 2305, 2307


def values():
    observations = {
        "a": np.asarray([0, 2, 1]),
        "image": np.random.default_rng(0).integers(0, 256, (3, 16, 32, 3), dtype=np.uint8),
        "say": ["hi", "", "abc"],
        "z": np.asarray([[0, 0], [1, -1], [0, 1]], np.float32),
    }
    return observations, {"d": np.asarray([3, 1, 0]), "g": np.asarray([-1, 0, 1], np.float32)}


def encode(observations, done, spaces=(OBSERVATIONS, ACTIONS), segments=(1, 1, 2), timesteps=(5, 6, 0), **options):
    layout = Layout.from_spaces(*spaces, options=LayoutOptions(**options))
    return layout.encode(observations, done, timesteps=timesteps, segments=segments, source=7)


def test_golden_sequence():
    sequence = encode(*values())
    half, low, high = CONTINUOUS + 512, CONTINUOUS + 279, CONTINUOUS + 744
    last = CONTINUOUS + 1023
    first = [104, 105, FEATURE, FEATURE, DISCRETE, half, half, SEPARATOR, DISCRETE + 3, CONTINUOUS]
    second = [FEATURE, FEATURE, DISCRETE + 2, high, low, SEPARATOR, DISCRETE + 1, half]
    third = [97, 98, 99, FEATURE, FEATURE, DISCRETE + 1, half, high, SEPARATOR, DISCRETE, last]
    assert sequence.ids.tolist() == first + second + third
    features = [Kind.PATCH, Kind.PATCH, Kind.DISCRETE, Kind.CONTINUOUS, Kind.CONTINUOUS]
    body = [*features, Kind.SEPARATOR, Kind.ACTION, Kind.ACTION]
    assert sequence.kind.tolist() == [Kind.TEXT] * 2 + body + body + [Kind.TEXT] * 3 + body
    no = [NO_LOCAL] * 3
    assert sequence.local.tolist() == [*range(7), *no, *range(5), *no, *range(8), *no]
    assert sequence.timestep.tolist() == [5] * 10 + [6] * 8 + [0] * 11
    assert sequence.segment.tolist() == [1] * 18 + [2] * 11
    assert sequence.position.tolist() == [*range(18), *range(11)]
    assert set(sequence.source) == {7}
    assert set(sequence.context) == {UNLIMITED}
    assert sequence.visible.all()
    assert np.flatnonzero(sequence.loss_mask).tolist() == [0, 7, 8, 15, 16, 18, 19, 26, 27]
    at = np.flatnonzero(sequence.loss_mask)
    np.testing.assert_array_equal(sequence.targets[at], sequence.ids[at + 1])
    assert sequence.patch_at.tolist() == [2, 3, 10, 11, 21, 22]
    assert sequence.patches.shape == (6, 768)
    assert sequence.patch_cols.tolist() == [[0, 64], [64, 127]] * 3
    assert sequence.patch_rows.tolist() == [[0, 127]] * 6
    for name, dtype in TOKEN_FIELDS.items():
        assert getattr(sequence, name).dtype == dtype


def test_nothing_predicts_the_separator_or_an_observation():
    sequence = encode(*values())
    kinds = sequence.kind[np.flatnonzero(sequence.loss_mask) + 1]
    assert set(kinds.tolist()) == {Kind.TEXT, Kind.ACTION}


def test_hidden_actions_leave_out_the_last_token():
    shown, hidden = encode(*values()), encode(*values(), past_actions="hidden")
    assert len(hidden) == len(shown) - 3
    keep = np.ones(len(shown), bool)
    keep[[9, 17, 28]] = False
    np.testing.assert_array_equal(hidden.ids, shown.ids[keep])
    assert np.flatnonzero(hidden.loss_mask).tolist() == [0, 7, 8, 14, 15, 16, 17, 24, 25]
    np.testing.assert_array_equal(hidden.targets[hidden.loss_mask], shown.targets[shown.loss_mask])
    np.testing.assert_array_equal(hidden.visible, hidden.kind != Kind.ACTION)
    assert hidden.position.tolist() == [*range(16), *range(10)]
    assert hidden.patch_at.tolist() == [2, 3, 9, 10, 19, 20]


def test_without_separator_the_last_observation_token_predicts():
    sequence = encode(*values(), separator=False)
    assert Kind.SEPARATOR not in sequence.kind
    action = np.flatnonzero((sequence.kind == Kind.ACTION)[1:] & (sequence.kind == Kind.CONTINUOUS)[:-1])
    assert sequence.loss_mask[action].all()
    np.testing.assert_array_equal(sequence.targets[action], DISCRETE + np.asarray([3, 1, 0]))


def test_direct_actions_are_answers_of_the_last_token_before_them():
    """They have no place in the sequence, which is that of acting."""
    sequence = encode(*values(), past_actions="hidden", actions="direct")
    acting = encode(values()[0], None, past_actions="hidden", actions="direct")
    assert Kind.ACTION not in sequence.kind
    assert len(sequence) == 8 + 6 + 9
    for name in TOKEN_FIELDS:
        np.testing.assert_array_equal(getattr(sequence, name), getattr(acting, name), name)
    assert np.flatnonzero(sequence.loss_mask).tolist() == [0, 14, 15]  # texts
    half, last = CONTINUOUS + 512, CONTINUOUS + 1023
    assert sequence.answers.tolist() == [DISCRETE + 3, CONTINUOUS, DISCRETE + 1, half, DISCRETE, last]
    assert sequence.answer_at.tolist() == [7, 7, 13, 13, 22, 22]
    assert (sequence.ids[sequence.answer_at] == SEPARATOR).all()
    assert sequence.answer_part.tolist() == [0, 1] * 3
    assert {getattr(sequence, name).dtype for name in ("answers", "answer_at", "answer_part")} == {np.dtype(np.int32)}
    assert [len(getattr(acting, name)) for name in ("answers", "answer_at", "answer_part")] == [0, 0, 0]
    alone = encode(*values(), past_actions="hidden", actions="direct", separator=False)
    assert alone.answer_at.tolist() == [6, 6, 11, 11, 19, 19]
    assert (alone.kind[alone.answer_at] == Kind.CONTINUOUS).all()


def test_sequential_actions_are_no_answers():
    sequence = encode(*values(), past_actions="hidden")
    assert [len(getattr(sequence, name)) for name in ("answers", "answer_at", "answer_part")] == [0, 0, 0]


SAID = spaces.Dict(say=spaces.Text(5), x=spaces.Discrete(9))


def said_at(sequence, n: int) -> list[str]:
    """The texts of n timesteps as they stand in the sequence, "" where none does."""
    steps = np.cumsum(sequence.kind == Kind.DISCRETE) - (sequence.kind == Kind.DISCRETE)
    return [bytes(sequence.ids[(steps == step) & (sequence.kind == Kind.TEXT)].tolist()).decode() for step in range(n)]


def test_texts_are_shown_every_so_often_and_where_a_segment_begins_and_where_they_change():
    """A segment that begins at its timestep 4, and one that begins with the text that was last."""
    say, timesteps = list("aaaabb") + list("bcb"), [4, 5, 6, 7, 8, 9, 0, 1, 2]
    layout = Layout.from_spaces(SAID, spaces.Discrete(2), options=LayoutOptions(text_every=3, past_actions="hidden"))
    given = {"say": say, "x": np.arange(9)}, np.zeros(9, int)
    sequence = layout.encode(*given, timesteps=timesteps, segments=[1] * 6 + [2] * 3, source=0)
    assert said_at(sequence, 9) == ["a", "", "a", "", "b", "b", "b", "c", "b"]
    assert sequence.timestep.tolist() == [4, 4, 4, 5, 5, 6, 6, 6, 7, 7, 8, 8, 8, 9, 9, 9, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert sequence.local[:8].tolist() == [0, 1, NO_LOCAL, 0, NO_LOCAL, 0, 1, NO_LOCAL]
    assert sequence.position.tolist() == [*range(16), *range(9)]
    assert sequence.loss_mask.sum() == 9  # of actions, a text of one token predicts nothing
    every = Layout.from_spaces(SAID, spaces.Discrete(2), options=LayoutOptions(past_actions="hidden"))
    assert said_at(every.encode(*given, timesteps=timesteps, segments=[1] * 6 + [2] * 3, source=0), 9) == say


def test_several_texts_are_shown_together_each_with_its_end():
    pair = spaces.Dict(a=spaces.Text(5, min_length=0), b=spaces.Text(5), x=spaces.Discrete(9))
    given = {"a": ["", "", "", "q"], "b": ["c", "c", "d", "d"], "x": np.arange(4)}
    sequence = encode(given, np.zeros(4, int), (pair, spaces.Discrete(2)), [1] * 4, range(4), text_every=9)
    step = [DISCRETE, SEPARATOR, DISCRETE]
    shown = [[END, 99], [], [END, 100], [113, END, 100]]
    assert sequence.ids.tolist() == [
        each for number, text in enumerate(shown) for each in (*text, step[0] + number, *step[1:])
    ]


def test_which_texts_are_shown_can_be_said():
    layout = Layout.from_spaces(SAID, spaces.Discrete(2), options=LayoutOptions(text_every=2))
    given = {"say": list("abc"), "x": np.arange(3)}
    sequence = layout.encode(
        given, None, timesteps=[5, 5, 5], segments=[1, 2, 3], source=0, shown=np.array([False, True, False])
    )
    assert said_at(sequence, 3) == ["", "b", ""]
    one = {"say": ["a"], "x": np.arange(1)}
    assert said_at(layout.encode(one, timesteps=[5], segments=[1], source=0), 1) == ["a"]
    assert said_at(layout.encode(one, timesteps=[5], segments=[1], source=0, shown=np.array([False])), 1) == [""]


def test_text_without_loss():
    sequence = encode(*values(), predict_text=False)
    assert not sequence.loss_mask[sequence.kind == Kind.TEXT].any()
    assert sequence.loss_mask.sum() == 6


def test_acting():
    observations, _ = values()
    sequence = encode(observations, None, past_actions="hidden", predict_text=False)
    assert not sequence.loss_mask.any()
    assert (sequence.ids[[7, 13, 22]] == SEPARATOR).all()
    assert Kind.ACTION not in sequence.kind
    assert len(sequence) == 23


def test_several_texts_keep_their_boundary():
    pair = spaces.Tuple((spaces.Text(5, min_length=0), spaces.Text(5)))
    sequence = encode((["", "ab"], ["c", "d"]), np.asarray([0, 1]), (pair, spaces.Discrete(2)), (1, 1), (0, 1))
    assert sequence.ids.tolist() == [END, 99, SEPARATOR, DISCRETE, 97, 98, END, 100, SEPARATOR, DISCRETE + 1]
    assert sequence.kind.tolist()[:2] == [Kind.TEXT, Kind.TEXT]


def test_text_that_is_cut_says_so():
    with pytest.warns(CutTextWarning, match=r": a text is cut to its first 1 ids; LayoutOptions\.max_text_tokens"):
        sequence = encode(*values(), max_text_tokens=1)
    assert (sequence.kind == Kind.TEXT).sum() == 2


def test_a_text_is_cut_where_its_space_ends_too():
    layout = Layout.from_spaces(spaces.Dict(a=spaces.Text(3), b=spaces.Text(2, charset="é")), spaces.Discrete(2))
    assert layout.text_limits == (3, 4)
    assert (layout.max_tokens, layout.acting_tokens) == (3 + 1 + 4 + 1 + 1, 12)
    made = {"a": ["abcd", "x"], "b": ["éé", "é"]}
    with pytest.warns(CutTextWarning, match=r"^observation/a: a text is cut to its first 3 ids"):
        sequence = layout.encode(made, timesteps=[0, 1], segments=[1, 1], source=0)
    first = sequence.ids[sequence.timestep == 0][:-1]
    assert layout.decode_observation(first) == {"a": "abc", "b": "éé"}


def test_what_was_said_is_not_said_again(recwarn):
    layout = Layout.from_spaces(spaces.Text(3), spaces.Discrete(2))
    layout.encode(["abcd"], timesteps=[0], segments=[1], source=0, told=True)
    assert not recwarn.list


def test_vectors():
    both = spaces.Dict(p=spaces.Box(-1, 1, (3,)), none=spaces.Box(-1, 1, (0,)), q=spaces.Box(-1, 1, ()))
    layout = Layout.from_spaces(
        both,
        spaces.Discrete(2),
        options=LayoutOptions(continuous="vector", context=2),
        statistics={"observation/p": ([1, 1, 1], [2, 2, 2])},
    )
    observations = {"p": np.ones((2, 3)), "none": np.zeros((2, 0)), "q": np.asarray([0.0, 1.0])}
    sequence = layout.encode(observations, np.asarray([0, 1]), timesteps=[0, 1], segments=[1, 1], source=0)
    assert sequence.kind.tolist() == [Kind.VECTOR, Kind.VECTOR, Kind.SEPARATOR, Kind.ACTION] * 2
    assert sequence.vector_at.tolist() == [0, 1, 4, 5]
    one = np.log(101) / np.log(25601)
    np.testing.assert_allclose(sequence.vectors, [[0, 0, 0], [0, 0, 0], [0, 0, 0], [one, 0, 0]], rtol=1e-6)
    assert set(sequence.context) == {2}
    assert (layout.vector_count, layout.vector_values) == (2, 3)


def test_whole_images():
    observations, actions = values()
    sequence = encode(observations, actions, images="conv", image_shape=(16, 32, 3))
    np.testing.assert_array_equal(sequence.images, observations["image"])
    assert sequence.image_at.tolist() == [2, 9, 19]
    assert (sequence.ids[sequence.image_at] == FEATURE).all()
    assert sequence.patches.shape == (0, 0)


def test_no_timesteps():
    observations = {
        "a": np.zeros(0, int),
        "image": np.zeros((0, 16, 32, 3), np.uint8),
        "say": [],
        "z": np.zeros((0, 2)),
    }
    sequence = encode(observations, {"d": np.zeros(0, int), "g": np.zeros(0)}, segments=[], timesteps=[])
    assert len(sequence) == 0


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "z",
            np.zeros((3, 1)),
            r"observation/z: numbers of shape \(3, 2\) are required .* got float64 of shape \(3, 1\)",
        ),
        ("z", np.zeros((2, 2)), r"observation/z: numbers of shape \(3, 2\)"),
        ("z", np.asarray([["a", "b"]] * 3), "observation/z: numbers of shape"),
        ("z", np.full((3, 2), np.nan), "observation/z: NaN"),
        ("a", np.asarray([0, 1, 3]), r"observation/a: value 3 at timestep 2, element 0 is outside \[0, 2\]"),
        ("say", "abc", "observation/say: 3 strings are required"),
        ("say", ["a", "b"], "observation/say: 3 strings are required"),
        ("say", [1, 2, 3], "observation/say: text must be str, got int"),
        ("image", np.zeros((3, 16, 32, 3)), "observation/image: an image must be uint8"),
    ],
)
def test_wrong_values_are_refused_by_path(key, value, message):
    observations, actions = values()
    with pytest.raises(ValueError, match=message):
        encode(observations | {key: value}, actions)


def test_a_segment_must_stand_together():
    with pytest.raises(ValueError, match="must stand together"):
        encode(*values(), segments=[1, 2, 1])


@settings(deadline=None, max_examples=60)
@given(
    length=st.integers(1, 9),
    chunk=st.integers(1, 5),
    shown=st.lists(st.integers(0, 8), min_size=1, max_size=4),
    actions=st.sampled_from(["sequential", "direct"]),
)
def test_a_chunk_is_the_next_actions_of_the_episode(length, chunk, shown, actions):
    """Whatever timesteps are shown; what lies behind the end of the episode is neither shown nor predicted."""
    steps = np.array(shown) % length
    done = {"d": np.arange(length) % 4, "g": np.linspace(-1, 1, length).astype(np.float32)}
    options = LayoutOptions(chunk=chunk, past_actions="hidden", actions=actions)
    layout = Layout.from_spaces(spaces.Discrete(9), ACTIONS, options=options)
    rows, known = next_steps(steps, np.full(len(steps), length), chunk)
    sequence = layout.encode(
        steps,
        {name: values[rows] for name, values in done.items()},
        timesteps=np.zeros(len(steps), int),
        segments=np.arange(1, len(steps) + 1),
        source=0,
        known=known,
    )
    ids = layout.encode_actions(done)
    written = 2 * chunk - 1 if actions == "sequential" else 0
    assert len(sequence) == len(steps) * layout.max_tokens == len(steps) * (1 + 1 + written)
    for number, step in enumerate(steps):
        inside = slice(number * layout.max_tokens, (number + 1) * layout.max_tokens)
        mask, expected = sequence.loss_mask[inside], ids[step : step + chunk].reshape(-1)
        if actions == "direct":
            answered = sequence.answer_at == inside.start + 1
            assert not mask.any()
            assert sequence.answers[answered].tolist() == expected.tolist()
            assert sequence.answer_part[answered].tolist() == list(range(len(expected)))
            continue
        assert np.flatnonzero(mask).tolist() == list(range(1, 1 + len(expected)))
        assert sequence.targets[inside][mask].tolist() == expected.tolist()
        inputs = sequence.ids[inside][2:]
        blanks = [layout.vocabulary.blank] * (len(inputs) - len(expected))
        assert inputs.tolist() == [*expected, *blanks][: len(inputs)]


def test_a_chunk_without_its_actions_is_refused():
    with pytest.raises(ValueError, match="action/d: numbers of shape"):
        encode(*values(), past_actions="hidden", chunk=2)
    layout = Layout.from_spaces(spaces.Discrete(9), ACTIONS, options=LayoutOptions(chunk=2, past_actions="hidden"))
    done = {"d": np.zeros(2, int), "g": np.zeros(2, np.float32)}
    with pytest.raises(ValueError, match=r"known must be bool of shape \(1, 2\)"):
        layout.encode(np.zeros(1, int), done, timesteps=[0], segments=[1], source=0, known=np.ones((2, 1), bool))
