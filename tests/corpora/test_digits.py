import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits

from generalist.corpora.digits import LABELS, open_corpus
from generalist.corpora.open import open_corpus as open_by_name
from generalist.tokenizers.parts import Picture, Words

SPLITS = ("train", "test")


def shown(split: str) -> list[tuple[bytes, str]]:
    corpus = open_corpus("digits", split)
    return [(picture.pixels.tobytes(), words.text) for picture, words in (corpus[i] for i in range(len(corpus)))]


def test_both_splits_together_are_scikit_learns_digits_once_each():
    data = load_digits()
    wanted = sorted(
        (np.rint(pixels / 16 * 255).astype(np.uint8).tobytes(), LABELS[digit])
        for pixels, digit in zip(data.images, data.target, strict=True)
    )
    assert sorted(shown("train") + shown("test")) == wanted
    assert [len(open_corpus("digits", split)) for split in SPLITS] == [1437, 360]


def test_the_test_split_has_as_many_of_every_digit_and_no_picture_of_the_train_split():
    texts = [text for _, text in shown("test")]
    assert {label: texts.count(label) for label in LABELS} == dict.fromkeys(LABELS, 36)
    assert not {pixels for pixels, _ in shown("train")} & {pixels for pixels, _ in shown("test")}


def test_a_document_is_a_grey_picture_and_its_caption():
    corpus = open_by_name("digits", "train")
    picture, words = corpus[0]
    assert isinstance(picture, Picture)
    assert picture.pixels.shape == (8, 8, 1)
    assert max(corpus[index][0].pixels.max() for index in range(20)) == 255
    assert words == Words("a handwritten zero")
    assert corpus.measure == "label"
    assert corpus.labels == LABELS
    assert len(set(LABELS)) == 10


def test_pictures_cannot_be_overwritten_and_a_corpus_can_be_sent():
    corpus = pickle.loads(pickle.dumps(open_corpus("digits", "test")))
    with pytest.raises(ValueError, match="read-only"):
        corpus[0][0].pixels[:] = 0


def test_other_splits_are_refused():
    with pytest.raises(ValueError, match="digits has the splits train and test, not heldout"):
        open_corpus("digits", "heldout")


def test_the_pictures_of_the_test_split_are_spread_evenly_over_those_of_a_digit():
    """Of n they are the middles of 36 equal parts."""
    sevens = load_digits().images[load_digits().target == 7]
    test = {pixels for pixels, text in shown("test") if text == LABELS[7]}
    places = [k for k, each in enumerate(sevens) if np.rint(each / 16 * 255).astype(np.uint8).tobytes() in test]
    assert len(sevens) == 179
    assert places == [(2 * k + 1) * 179 // 72 for k in range(36)]
