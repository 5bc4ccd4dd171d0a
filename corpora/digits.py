"""Handwritten digits that come with scikit-learn: 1,797 grey pictures of 8x8 pixels, each with one of ten captions.

Both a captioning and a labelling corpus: the captions are all the labels there are. Pictures stay 8x8; who encodes
them brings them to the size of a model. Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits,
UCI Machine Learning Repository, 1998 (its test set, 13 writers).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from generalist.corpora.corpus import Measure, Split
from generalist.tokenizers.parts import Document, Picture, Words
from generalist.tokenizers.pictures import PictureOptions, sized

LABELS = tuple(
    f"a handwritten {name}" for name in ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
)

TEST_PER_DIGIT = 36
"""Of the 174 to 183 pictures of every digit."""

BRIGHTEST = 16
"""scikit-learn's pixels are 0..16: how many of 4x4 finer pixels had ink."""


@dataclass(frozen=True)
class Digits:
    """One split. The same writers are in both: the test says how well their digits are known, not a stranger's."""

    split: Split

    @property
    def measure(self) -> Measure:
        return "label"

    @property
    def labels(self) -> tuple[str, ...]:
        return LABELS

    def __len__(self) -> int:
        return len(_numbers(self.split))

    def __getitem__(self, index: int) -> Document:
        """(picture uint8[8, 8, 1], caption)."""
        number = _numbers(self.split)[index]
        pixels, digits = _pictures()
        return Picture(pixels[number]), Words(LABELS[digits[number]])

    def reader(self, pixels: np.ndarray) -> str:
        """The label of a picture of any size, by a support vector machine that was fitted on the training pictures."""
        return LABELS[int(_classifier().predict(_rows(_small([pixels])))[0])]

    def learner(self, pictures: Sequence[np.ndarray], labels: Sequence[str]) -> Callable[[np.ndarray], str]:
        """Such a reader that was fitted on other pictures of any size, with what they are meant to be."""
        model = _machine().fit(_rows(_small(pictures)), [LABELS.index(label) for label in labels])
        return lambda pixels: LABELS[int(model.predict(_rows(_small([pixels])))[0])]


def open_corpus(name: str, split: Split) -> Digits:
    """The digits of the split "train" (1,437 pictures) or "test" (360).

    Raises:
        ValueError: another split.
    """
    if split not in ("train", "test"):
        raise ValueError(f"{name} has the splits train and test, not {split}; choose one of them")
    return Digits(split)


@cache
def _classifier() -> Any:
    """A support vector machine on the training pictures (scikit-learn's own example of these digits)."""
    pixels, digits = _pictures()
    known = list(_numbers("train"))
    return _machine().fit(_rows(pixels[known]), digits[known])


def _machine() -> Any:
    from sklearn.svm import SVC

    settings: Any = {"gamma": 0.001, "C": 10}
    return SVC(**settings)


def _small(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """uint8[n, 8, 8, 1]."""
    options = PictureOptions(images="conv", shape=(8, 8, 1))
    return np.concatenate([sized(pixels, options) for pixels in pictures])


def _rows(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(len(pixels), -1).astype(np.float64) * (BRIGHTEST / 255)


@cache
def _pictures() -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8[1797, 8, 8, 1] and digits int[1797]; shared, therefore not writeable."""
    from sklearn.datasets import load_digits

    rows, digits = load_digits(return_X_y=True)
    pixels = np.rint(rows.reshape(-1, 8, 8, 1) * (255 / BRIGHTEST)).astype(np.uint8)
    pixels.flags.writeable = False
    return pixels, np.asarray(digits)


@cache
def _numbers(split: Split) -> tuple[int, ...]:
    """The pictures of a split by number.

    Test: of the n pictures of a digit, in their order, those at floor((k + 1/2) n / 36) for k = 0..35, which are
    spread evenly over the writers.
    """
    digits = _pictures()[1]
    of_each = [np.flatnonzero(digits == digit) for digit in range(len(LABELS))]
    middles = np.arange(TEST_PER_DIGIT) + 0.5
    test = np.concatenate([those[(middles * len(those) / TEST_PER_DIGIT).astype(int)] for those in of_each])
    chosen = np.isin(np.arange(len(digits)), test) == (split == "test")
    return tuple(np.flatnonzero(chosen).tolist())
