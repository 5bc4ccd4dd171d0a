"""Which episodes and documents are held out: never trained on, so that what is measured on them says what was learned.

Neither statistics of observations nor the threshold of the return filter know them. They are no test: the best
checkpoint is chosen by them. `generalist eval` measures on seeds and splits of its own.
"""

import numpy as np

from generalist.corpora.corpus import Corpus, Part, groups_of

GOLDEN = (5**0.5 - 1) / 2


def held_out_indices(count: int, share: float) -> np.ndarray:
    """int64 (ascending): which of `count` things are held out, by their indices alone.

    They are `share` of all, at least one and never all; none of a single thing, or where `share` is 0. They are those
    with the smallest fractional parts of multiples of the golden ratio: spread evenly over the indices, and in step
    with no pattern that repeats every so many of them.
    """
    if not share or count < 2:
        return np.zeros(0, np.int64)
    number = min(max(1, int(share * count + 0.5)), count - 1)
    order = np.argsort(np.arange(1, count + 1) * GOLDEN % 1, kind="stable")
    return np.sort(order[:number])


def split_indices(count: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """int64 (ascending): those that are trained on and those that are held out."""
    held_out = held_out_indices(count, share)
    return np.setdiff1d(np.arange(count), held_out, assume_unique=True), held_out


def split_corpus(corpus: Corpus, share: float) -> tuple[Corpus, Corpus | None]:
    """The documents that are trained on and those that are held out; a picture of several documents is in one of both.

    None where nothing is held out, as in a corpus of one document.
    """
    pictures, group = np.unique(np.asarray(groups_of(corpus), np.int64), return_inverse=True)
    _, held_out = split_indices(len(pictures), share)
    if not len(held_out):
        return corpus, None
    out = np.isin(group, held_out)
    return Part(corpus, np.flatnonzero(~out).tolist()), Part(corpus, np.flatnonzero(out).tolist())
