"""Pictures to be written: words come first, some say nothing, and what is drawn is read back."""

import numpy as np
import pytest

from generalist.corpora.corpus import BadExampleError
from generalist.corpora.drawings import UNSAID, Drawings
from generalist.corpora.open import open_corpus, splits
from generalist.corpora.scenes import caption, parsed, picture, tiles_of
from generalist.tokenizers.parts import Picture, Words

pytest.importorskip("minigrid")


def test_words_come_first_and_the_picture_is_written():
    corpus, shown = open_corpus("drawings:scenes/captions", "test"), open_corpus("scenes/captions", "test")
    assert corpus.measure == "drawing"
    assert len(corpus) == len(shown)
    for index in range(12):
        words, drawn = corpus[index]
        assert words == Words(shown[index][1].text, target=False)
        assert drawn.written
        np.testing.assert_array_equal(drawn.pixels, shown[index][0].pixels)


def test_every_tenth_of_training_says_nothing():
    corpus = open_corpus("drawings:digits")
    silent = [index for index in range(50) if len(corpus[index]) == 1]
    assert silent == [9, 19, 29, 39, 49]
    assert UNSAID == 10
    assert all(len(open_corpus("drawings:digits", "test")[index]) == 2 for index in range(50))


def test_splits_are_those_of_the_corpus():
    assert splits("drawings:scenes/captions") == ("test", "heldout")
    assert splits("drawings:digits") == ("test",)


@pytest.mark.parametrize("split", ["test", "heldout"])
def test_a_room_is_read_back_exactly(split):
    shown = open_corpus("scenes/captions", split)
    reader = open_corpus("drawings:scenes/captions", split).reader
    for index in range(60):
        assert parsed(shown[index][0].pixels) == shown.scene(index)
        assert reader(shown[index][0].pixels) == shown[index][1].text


def test_a_soft_room_is_read_as_the_nearest_and_an_empty_one_has_nothing():
    shown = open_corpus("scenes/captions", "test")
    rng = np.random.default_rng(0)
    soft = np.clip(shown[3][0].pixels + rng.normal(0, 12, (56, 56, 3)), 0, 255).astype(np.uint8)
    assert parsed(soft) == shown.scene(3)
    assert caption(parsed(picture(()))) == "nothing"
    assert tiles_of(picture(()))[0].tolist() == [19] * 7
    with pytest.raises(ValueError, match="56 x 56"):
        parsed(np.zeros((8, 8, 3), np.uint8))


def test_digits_are_read_by_a_classifier_of_real_ones():
    corpus, reader = open_corpus("digits", "test"), open_corpus("drawings:digits", "test").reader
    right = [reader(corpus[index][0].pixels) == corpus[index][1].text for index in range(0, 360, 3)]
    assert np.mean(right) > 0.95
    assert reader(np.repeat(np.repeat(corpus[0][0].pixels, 7, 0), 7, 1)) == corpus[0][1].text  # larger


def test_what_has_no_picture_or_no_words_is_none():
    with pytest.raises(ValueError, match="this corpus is for text"):
        open_corpus("drawings:docstrings")
    with pytest.raises(ValueError, match="no corpus 'digit'"):
        open_corpus("drawings:digit")

    class Odd:
        measure, labels = "caption", ()

        def __len__(self):
            return 2

        def __getitem__(self, index):
            return (Words("a"),) if index else (Picture(np.zeros((8, 8, 3), np.uint8)),)

    for index in range(2):
        with pytest.raises(BadExampleError, match=f"document {index}: one picture and words"):
            Drawings(Odd())[index]
    assert Drawings(Odd()).reader is None
