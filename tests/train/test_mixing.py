"""Examples of many sources: by weight, and not those of one kind after another."""

from dataclasses import replace

import numpy as np

from generalist.tokenizers.sequence import Capacity, TokenSequence, empty
from generalist.train.data import packed_rows

ONE = Capacity(tokens=1, targets=1)
ROW = Capacity(tokens=16, targets=16)


class OneToken:
    """A source whose examples are one token that says which source and which example it is."""

    def __init__(self, index: int):
        self.index = index

    def __getitem__(self, i: int) -> TokenSequence:
        full = np.ones(1, np.int32)
        return replace(empty(ONE), segment=full, source=full * self.index, ids=full * i)


def rows(weights: list[float], count: int, **stream: int) -> tuple[np.ndarray, np.ndarray]:
    """Source and number of the examples of each of some rows, int[count, 16]."""
    sources = [OneToken(index) for index in range(len(weights))]
    made = packed_rows(sources, weights, ROW, rows=1, **stream)
    tokens = [next(made).tokens for _ in range(count)]
    return np.concatenate([each["source"] for each in tokens]), np.concatenate([each["ids"] for each in tokens])


def test_sources_of_the_same_weight_do_not_come_one_after_the_other():
    """Thirty rare sources of one weight: mixed by weight alone, every 160 examples they fill two rows, then none."""
    found, _ = rows([1.0] * 30 + [0.25] * 30, 1000)
    rare = (found >= 30).sum(axis=1)
    assert abs(rare.mean() - 16 / 5) < 0.3
    assert rare.max() < 13
    assert (rare == 0).mean() < 0.1


def test_every_source_has_its_share_and_no_example_comes_twice():
    found, number = rows([3.0, 1.0, 2.0], 1024)
    share = np.bincount(found.reshape(-1)) / found.size
    np.testing.assert_allclose(share, [3 / 6, 1 / 6, 2 / 6], atol=0.01)
    assert len(set(zip(found.reshape(-1).tolist(), number.reshape(-1).tolist(), strict=True))) == found.size


def test_streams_share_no_example_and_are_not_in_the_same_order():
    weights = [1.0, 2.0, 1.0]
    (first, ones), (second, others) = (rows(weights, 64, stream=stream, of=2) for stream in (0, 1))
    assert set(ones.reshape(-1) % 2) == {0}
    assert set(others.reshape(-1) % 2) == {1}
    assert (first != second).mean() > 0.3


def test_a_stream_goes_on_at_its_position():
    _, whole = rows([1.0, 2.0], 64)
    _, rest = rows([1.0, 2.0], 32, position=32 * 16)
    np.testing.assert_array_equal(rest, whole[32:])
