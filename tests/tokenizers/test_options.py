import pytest

from generalist.tokenizers.options import LayoutOptions


def test_defaults_are_the_papers():
    options = LayoutOptions()
    assert (options.continuous, options.images, options.past_actions) == ("tokens", "patches", "shown")
    assert (options.patch_size, options.separator, options.context) == (16, True, None)


def test_a_shape_from_json_becomes_a_tuple():
    assert LayoutOptions(image_shape=[8, 9, 1]) == LayoutOptions(image_shape=(8, 9, 1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("continuous", "bins"),
        ("images", "vit"),
        ("past_actions", True),
        ("actions", "joint"),
        ("patch_size", 0),
        ("channels", 4),
        ("image_shape", (8, 8)),
        ("image_shape", (8, 8, 4)),
        ("context", 0),
        ("chunk", 0),
        ("chunk", 1025),
        ("text_every", 0),
        ("max_text_tokens", 0),
        ("action_text_tokens", 0),
    ],
)
def test_bad_choices_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"LayoutOptions.{name} must be"):
        LayoutOptions(**{name: value})


def test_direct_actions_cannot_be_shown():
    with pytest.raises(ValueError, match='"direct" shows no action at all: it needs past_actions="hidden"'):
        LayoutOptions(actions="direct")
    assert LayoutOptions(actions="direct", past_actions="hidden").actions == "direct"


def test_every_timestep_sees_a_text():
    with pytest.raises(ValueError, match=r"text_every 4 leaves timesteps without a text: .* looks back 3 \(context\)"):
        LayoutOptions(context=3, text_every=4)
    assert LayoutOptions(context=3, text_every=3).text_every == 3
    assert LayoutOptions(text_every=100).context is None


def test_a_chunk_cannot_be_shown():
    with pytest.raises(ValueError, match=r'chunk 2 predicts later actions.*needs past_actions="hidden"'):
        LayoutOptions(chunk=2)
    assert LayoutOptions(chunk=2, past_actions="hidden").chunk == 2
