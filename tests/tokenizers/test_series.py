import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generalist.tokenizers.document import DocumentLayout
from generalist.tokenizers.sequence import NO_LOCAL, Kind
from generalist.tokenizers.series import Series
from generalist.tokenizers.text import ByteTokenizer
from generalist.tokenizers.vocabulary import Vocabulary

VOCABULARY = Vocabulary()
LAYOUT = DocumentLayout(VOCABULARY, ByteTokenizer())


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40), st.floats(1e-3, 1e6), st.floats(-1e6, 1e6))
def test_units_do_not_matter(numbers, factor, shift):
    """Euros or cents, from zero or from a hundred: the same ids, but for rounding at the edge of a bin."""
    values = np.asarray(numbers)
    if np.std(values) < 1e-3 * (1 + np.abs(values).max()):
        return
    one = Series(values, *Series.units_of(values)).ids(VOCABULARY)
    moved = factor * values + shift
    if np.std(moved) < 1e-6 * np.abs(moved).max():
        return
    other = Series(moved, *Series.units_of(moved)).ids(VOCABULARY)
    assert np.abs(one - other).max() <= 1


def test_numbers_come_back_to_a_twentieth_of_the_spread():
    values = np.random.default_rng(0).normal(1e4, 50, 500)
    series = Series(values, *Series.units_of(values))
    np.testing.assert_allclose(series.read(series.ids(VOCABULARY), VOCABULARY), values, atol=50 / 20)


def test_what_is_to_come_changes_nothing_of_the_past():
    known = np.arange(10.0)
    units = Series.units_of(known)
    ids = [LAYOUT.encode([(Series(known, *units), Series(np.asarray([to]), *units))], source=0).ids for to in (0, 99)]
    assert ids[0][:-1].tolist() == ids[1][:-1].tolist()
    assert ids[0][-1] != ids[1][-1]


def test_each_number_is_a_token_that_is_predicted_from_the_one_before():
    known, future = np.arange(5.0), np.arange(5.0, 8.0)
    units = Series.units_of(known)
    document = (Series(known, *units, target=False), Series(future, *units))
    found = LAYOUT.encode([document], source=2)
    assert len(found) == LAYOUT.length(document) == 1 + 8
    assert found.kind.tolist() == [Kind.SEPARATOR] + [Kind.CONTINUOUS] * 8
    assert (found.local == NO_LOCAL).all()
    assert found.loss_mask.tolist() == [False] * 5 + [True] * 3 + [False]
    start, stop = VOCABULARY.continuous
    assert ((found.ids[1:] >= start) & (found.ids[1:] < stop)).all()
    assert found.targets[5:8].tolist() == found.ids[6:9].tolist()


@pytest.mark.parametrize("known", [[7.0], [7.0, 7.0], [0.0, 0.0]])
def test_a_series_that_does_not_move_has_units(known):
    centre, scale = Series.units_of(np.asarray(known))
    assert (centre, scale > 0) == (known[0], True)


@pytest.mark.parametrize(
    "wrong", [{"values": [[1.0]]}, {"values": [np.nan]}, {"scale": 0.0}, {"scale": -1.0}, {"centre": np.inf}]
)
def test_what_is_no_series(wrong):
    with pytest.raises(ValueError, match="a series is finite numbers"):
        Series(**{"values": [1.0], "centre": 0.0, "scale": 1.0} | wrong)
    with pytest.raises(ValueError, match="nothing is known"):
        Series.units_of(np.asarray([]))
