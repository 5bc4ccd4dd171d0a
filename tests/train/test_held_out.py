"""What is held out: a share by index, spread evenly; of a corpus by its pictures."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generalist.corpora.corpus import every_so_manieth, groups_of, sizes_of
from generalist.tokenizers.parts import Document, Words
from generalist.train.held_out import held_out_indices, split_corpus, split_indices


@given(st.integers(0, 3000), st.floats(0.001, 0.5))
def test_a_share_is_held_out_and_the_rest_is_trained_on(count, share):
    training, held_out = split_indices(count, share)
    assert sorted([*training, *held_out]) == list(range(count))
    assert list(training) == sorted(training)
    assert list(held_out) == sorted(held_out)
    assert len(held_out) == (0 if count < 2 else min(max(1, int(count * share + 0.5)), count - 1))
    assert training.dtype == held_out.dtype == np.int64


def test_two_episodes_are_one_and_one_and_nothing_is_held_out_of_one():
    assert [len(held_out_indices(count, 0.05)) for count in (0, 1, 2, 10, 30, 100)] == [0, 0, 1, 1, 2, 5]
    assert [len(held_out_indices(count, 0.0)) for count in (2, 1000)] == [0, 0]


@pytest.mark.parametrize("count", [400, 1000, 5000])
def test_they_are_spread_evenly_and_keep_step_with_no_pattern(count):
    """No stretch is without any, and of every residue class about the same share is held out."""
    held_out = held_out_indices(count, 0.05)
    gaps = np.diff([-1, *held_out, count])
    assert gaps.max() <= 2 * 20
    for period in (2, 3, 4, 5, 10):
        shares = np.bincount(held_out % period, minlength=period) / (count / period)
        assert shares.min() > 0
        assert shares.max() < 0.05 + 3 * period / count


@dataclass(frozen=True)
class Captions:
    """Three captions of each picture, apart from each other."""

    pictures: int
    measure: str = "caption"
    labels: tuple[str, ...] = ()

    @property
    def groups(self) -> list[int]:
        return [index % self.pictures for index in range(len(self))]

    def __len__(self) -> int:
        return 3 * self.pictures

    def __getitem__(self, index: int) -> Document:
        return (Words(str(index)),)


class Texts(Captions):
    @property
    def groups(self):
        raise AttributeError

    @property
    def sizes(self) -> list[int]:
        return [10 + index for index in range(len(self))]


def numbers(corpus) -> list[int]:
    return [int(corpus[index][0].text) for index in range(len(corpus))]


def test_a_picture_with_several_captions_is_trained_on_or_held_out():
    """Also where the training split is itself a part of a corpus; the test split is not touched."""
    whole = Captions(100)
    test = every_so_manieth(whole, "test")
    training, held_out = split_corpus(every_so_manieth(whole, "train"), 0.05)
    assert sorted(numbers(training) + numbers(held_out) + numbers(test)) == list(range(300))
    pictures = [{number % 100 for number in numbers(part)} for part in (training, held_out, test)]
    assert [len(part) for part in pictures] == [93, 5, 2]
    assert set.union(*pictures) == set(range(100))
    assert len(held_out) == 15
    assert [groups_of(held_out)[index] for index in range(3)] == [number % 100 for number in numbers(held_out)[:3]]


def test_documents_that_stand_alone_are_chosen_by_number():
    training, held_out = split_corpus(Texts(10), 0.1)
    assert numbers(held_out) == held_out_indices(30, 0.1).tolist()
    assert list(sizes_of(training)) == [10 + number for number in numbers(training)]
    assert training.measure == "caption"


def test_nothing_is_held_out_of_one_document_or_where_none_is_asked_for():
    assert split_corpus(Captions(1), 0.05)[1] is None
    corpus = Texts(5)
    assert split_corpus(corpus, 0.0) == (corpus, None)
