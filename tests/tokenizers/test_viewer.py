import numpy as np
import pytest
from gymnasium import spaces

from generalist.tokenizers.layout import Layout, LayoutOptions
from generalist.tokenizers.sequence import Capacity, empty, stack
from generalist.tokenizers.viewer import SequenceView, html, rows, table

OBSERVATIONS = spaces.Dict(
    image=spaces.Box(0, 255, (20, 16, 3), np.uint8),
    n=spaces.Discrete(5000),
    say=spaces.Text(9, charset="<go>&é"),
    v=spaces.Box(-9, 9, (2, 1)),
)
ACTIONS = spaces.Dict(d=spaces.Discrete(3), g=spaces.Box(-2, 2, ()))


def sequence_and_layout(**options):
    layout = Layout.from_spaces(OBSERVATIONS, ACTIONS, options=LayoutOptions(**options))
    observations = {
        "image": np.full((2, 20, 16, 3), 200, np.uint8),
        "n": np.asarray([7, 4100]),
        "say": ["<go>", "é"],
        "v": np.asarray([[[0.5], [-1]], [[0], [0]]]),
    }
    actions = {"d": np.asarray([2, 0]), "g": np.asarray([1.0, -2.0])}
    return layout.encode(observations, actions, timesteps=[0, 1], segments=[1, 1], source=4), layout


def view(**options):
    sequence, layout = sequence_and_layout(**options)
    return SequenceView(sequence, layout.vocabulary, layout)


def test_every_position_is_explained():
    lines = list(rows(view()))
    values = [line.value for line in lines]
    assert values[:4] == ["'<'", "'g'", "'o'", "'>'"]
    assert values[4] == "observation/image: rows 0-102, cols 0-127, mean 200"
    assert values[6:8] == ["observation/n = 7 digit 1 of 2", "observation/n = 7 digit 2 of 2"]
    assert values[8].startswith("observation/v[0,0] = 0.5")
    assert values[10:12] == ["|", "action/d = 2"]
    assert values[12].startswith("action/g = 1.0")
    assert values[13:15] == ["0xC3", "0xA9"]
    assert [line.target.split(" ", 1)[-1] for line in lines if line.index in (10, 11, 12)] == [
        "action/d = 2",
        values[12],
        "",
    ]
    assert [line.loss for line in lines[:5]] == ["yes", "yes", "yes", "", ""]
    assert lines[4].local == "4"
    assert lines[10].local == ""
    assert {line.source for line in lines} == {4}


def test_targets_of_hidden_actions_are_read():
    lines = list(rows(view(past_actions="hidden")))
    assert lines[11].value == "action/d = 2"
    assert lines[11].target.split(" ", 1)[1].startswith("action/g = 1.0")
    assert lines[11].visible == "own step"


def test_actions_of_a_chunk_are_told_apart():
    layout = Layout.from_spaces(spaces.Discrete(5), ACTIONS, options=LayoutOptions(chunk=3, past_actions="hidden"))
    done = {"d": np.asarray([2, 1, 1]), "g": np.asarray([1.0, -2.0, -2.0])}
    known = np.asarray([[True, True, False]])
    sequence = layout.encode(np.asarray([4]), done, timesteps=[0], segments=[1], source=0, known=known)
    lines = list(rows(SequenceView(sequence, layout.vocabulary, layout)))
    targets = [line.target.split(" ", 1)[-1] for line in lines]
    assert targets[1] == "action/d = 2"
    assert targets[2].startswith("action/g = 1.0")
    assert not targets[2].endswith("later")
    assert targets[3] == "action/d = 1, 1 step later"
    assert targets[4].startswith("action/g = -")
    assert targets[4].endswith(", 1 step later")
    assert targets[5:] == ["", ""]
    assert lines[4].value == "action/d = 1, 1 step later"
    assert lines[6].value == "blank"


def test_targets_of_direct_actions_are_read_where_they_are_predicted():
    shown = view(past_actions="hidden", actions="direct")
    lines = list(rows(shown))
    [first, second] = [line for line in lines if "action" in line.target]
    assert (first.index, first.value, first.loss) == (10, "|", "yes")
    d, g = first.target.split(", ")
    assert d == "action/d = 2"
    assert float(g.removeprefix("action/g = ")) == pytest.approx(1.0, abs=4 / 1024)
    assert second.target.startswith("action/d = 0, action/g = -")
    assert second.index == len(lines) - 1
    assert "20 positions, 8 predicted" in table(shown)
    plain = list(rows(SequenceView(shown.sequence, shown.vocabulary)))
    assert plain[10].target == "1282 2, 1024 +0.5010 (bin)"


def test_direct_actions_of_a_chunk_are_told_apart():
    options = LayoutOptions(chunk=3, past_actions="hidden", actions="direct")
    layout = Layout.from_spaces(spaces.Discrete(5), ACTIONS, options=options)
    done = {"d": np.asarray([2, 1, 1]), "g": np.asarray([1.0, -2.0, -2.0])}
    known = np.asarray([[True, True, False]])
    sequence = layout.encode(np.asarray([4]), done, timesteps=[0], segments=[1], source=0, known=known)
    [_, last] = rows(SequenceView(sequence, layout.vocabulary, layout))
    names = [word.split(" =")[0] for word in last.target.split(", ")]
    assert names == ["action/d", "action/g", "action/d", "1 step later", "action/g", "1 step later"]


def test_without_a_layout_the_vocabulary_explains():
    sequence, layout = sequence_and_layout()
    lines = list(rows(SequenceView(sequence, layout.vocabulary)))
    assert lines[0].value == "'<'"
    assert lines[7].value == "7"
    assert lines[8].value.endswith("(bin)")


def test_one_layout_per_source():
    sequence, layout = sequence_and_layout(continuous="vector", images="conv")
    named = list(rows(SequenceView(sequence, layout.vocabulary, {4: layout})))
    assert named[4].value == "observation/image: 56x56x3, mean 200"
    assert named[7].value.startswith("observation/v: 2 values: +0.39")
    other = list(rows(SequenceView(sequence, layout.vocabulary, {3: layout})))
    assert other[4].value == "56x56x3, mean 200"


def test_table():
    text = table(view(), width=250)
    assert "24 positions, 8 predicted" in text
    assert "observation/v[0,0] = 0.5" in text
    assert len(text.splitlines()) == 2 + len(view().sequence)
    assert table(view()) == str(view())


def test_html_is_self_contained_and_escaped():
    page = html(view())
    assert page == view()._repr_html_()
    assert page.count("<tr") == 1 + len(view().sequence)
    assert "data:image/png;base64," in page
    assert "&#x27;&lt;&#x27;" in page
    assert "http" not in page
    assert 'class="step"' in page


def test_whole_images_are_shown():
    assert html(view(images="conv")).count("data:image/png") == 2
    assert html(view(images="conv", image_shape=(8, 8, 1))).count("data:image/png") == 2


def test_a_limit_says_so():
    sequence, layout = sequence_and_layout()
    short = SequenceView(sequence, layout.vocabulary, layout, limit=3)
    assert str(short).splitlines()[0].strip().startswith(f"first 3 of {len(sequence)} positions")
    assert len(list(rows(short))) == 3


def test_padding_and_batches():
    capacity = Capacity(tokens=4, targets=1, patches=1, patch_values=12, vectors=1, vector_values=2, answers=1)
    nothing = empty(capacity, pad_id=2306)
    _, layout = sequence_and_layout()
    assert [line.value for line in rows(SequenceView(nothing, layout.vocabulary, layout))] == [""] * 4
    html(SequenceView(nothing, layout.vocabulary, layout))
    with pytest.raises(ValueError, match="one sequence is required"):
        SequenceView(stack([nothing]), layout.vocabulary)
