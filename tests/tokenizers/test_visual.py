"""The arithmetic of a visual tokenizer: every id has its picture, every level its number, and nothing else is taken."""

import numpy as np
import pytest
from visual import visual_tokenizer

from generalist.tokenizers.visual import (
    VisualConfig,
    VisualTokenizer,
    bounded,
    decoded,
    encoded,
    levelled,
)

SMALL = VisualConfig(shape=(8, 12, 3), strides=(2, 2), width=6, levels=(4, 3, 2))


def tokenizer(config: VisualConfig = SMALL) -> VisualTokenizer:
    return visual_tokenizer(config)


def test_sizes_follow_from_the_form():
    assert SMALL.side == 4
    assert SMALL.grid == (2, 3)
    assert SMALL.tokens == 6
    assert SMALL.codes == tokenizer().size == 24


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (2,), (3,), (7, 2), (8, 6, 5)])
def test_every_level_is_reached_and_none_beyond(levels):
    z = np.linspace(-12, 12, 4001, dtype=np.float32)[:, None] * np.ones(len(levels), np.float32)
    whole = np.rint(bounded(z, levels))
    for column, count in zip(whole.T, levels, strict=True):
        assert sorted(set(column.tolist())) == list(range(-(count // 2), count - count // 2))
    assert np.abs(levelled(whole, levels)).max() <= 1
    assert np.abs(bounded(np.zeros((1, len(levels)), np.float32), levels)).max() < 1e-3  # 0 stays 0


def test_each_id_means_other_levels():
    found = tokenizer()
    ids = np.arange(24, dtype=np.int32).repeat(6).reshape(24, 6)
    pictures = found.decode(ids)
    assert pictures.shape == (24, 8, 12, 3)
    assert len({picture.tobytes() for picture in pictures}) == 24


def test_an_id_is_made_of_the_levels_that_it_is_decoded_to():
    """The encoder's own numbers, through ids and back, are what the decoder reads."""
    found, pictures = tokenizer(), np.random.default_rng(1).integers(0, 256, (70, 8, 12, 3)).astype(np.uint8)
    z = encoded(found.parameters, pictures.astype(np.float32) / np.float32(127.5) - 1, SMALL)
    codes = levelled(np.rint(bounded(z, SMALL.levels)), SMALL.levels)
    expected = np.clip(np.rint((decoded(found.parameters, codes, SMALL) + 1) * 127.5), 0, 255)
    ids = found.encode(pictures)
    assert ids.shape == (70, 6)
    assert len(np.unique(ids)) > 8
    np.testing.assert_allclose(found.decode(ids).astype(float), expected, atol=1)


def test_a_token_sees_its_place_and_those_around_it():
    found, pictures = tokenizer(), np.zeros((2, 8, 12, 3), np.float32)
    pictures[1, :2, :2] = 1
    one, other = encoded(found.parameters, pictures, SMALL).reshape(2, 6, -1)
    changed = np.flatnonzero((one != other).any(axis=-1))
    assert 0 in changed
    assert 2 not in changed  # two cells away


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shape": (9, 12, 3)}, "multiple of the product"),
        ({"shape": (8, 12, 4)}, "1 or 3"),
        ({"levels": (1, 5)}, "levels must be 2 or more"),
        ({"levels": (256, 257)}, "levels must be 2 or more"),
        ({"strides": ()}, "multiple of the product"),
        ({"width": 0}, "width must be positive"),
        ({"shape": (4096, 12, 3)}, "at most 2048 pixels along a side"),
    ],
)
def test_a_form_that_cannot_be_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        VisualConfig(**{"shape": (8, 12, 3), "strides": (2, 2), "width": 6, "levels": (4, 3, 2)} | change)


def test_what_is_no_picture_and_what_is_no_id_is_refused():
    found = tokenizer()
    with pytest.raises(ValueError, match=r"pictures are uint8\[n, \(8, 12, 3\)\]"):
        found.encode(np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="pictures are uint8"):
        found.encode(np.zeros((1, 8, 12, 3), np.float32))
    with pytest.raises(ValueError, match="has 6 ids"):
        found.decode(np.zeros((1, 5), np.int32))
    with pytest.raises(ValueError, match=r"lie in \[0, 24\)"):
        found.decode(np.full((1, 6), 24))
    with pytest.raises(ValueError, match="not those of its form"):
        VisualTokenizer(SMALL, {})


def test_versions_are_by_content():
    assert tokenizer() == tokenizer()
    other = {name: value + 1 for name, value in tokenizer().parameters.items()}
    assert tokenizer() != VisualTokenizer(SMALL, other)
    assert tokenizer().version.startswith("visual-")
    assert found_none(tokenizer())


def found_none(tokenizer: VisualTokenizer) -> bool:
    """No pictures are no ids."""
    return tokenizer.decode(tokenizer.encode(np.zeros((0, 8, 12, 3), np.uint8))).shape == (0, 8, 12, 3)
