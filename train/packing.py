"""Examples into rows of fixed capacity, first fit: the rows of one stream, and the one number that says where it is.

A batch is filled until the next example fits none of its rows; that example begins the next batch. So a stream's
position is the number of its next example, and nothing else is needed to go on. Rows are handed on without the padding
of their features, which is most of their bytes; `to_batch` adds it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from generalist.tokenizers.sequence import FEATURES, TOKEN_FIELDS, Capacity, TokenBatch, TokenSequence, shapes

UNMOVED = tuple(name for name in TOKEN_FIELDS if name != "segment")

SEGMENTS = 1 << 16
"""More than the segments of one example; keeps segments of packed examples apart."""


@dataclass(frozen=True)
class Packed:
    """Some rows of a batch.

    Args:
        tokens: the arrays of `TOKEN_FIELDS`, [rows, T], padded.
        counts: int[rows], features of each kind in each row, by the name of the array of their positions.
        features: every array of features, those of all rows one after the other, [sum of counts, ...].
    """

    tokens: dict[str, np.ndarray]
    counts: dict[str, np.ndarray]
    features: dict[str, np.ndarray]


class PackedRows(Iterator[Packed]):
    """Batches of `rows` packed rows, without end.

    Args:
        examples: example i, for any i; a function of i.
        capacity: of a row; any one example fits.
        position: number of the first example.
    """

    def __init__(self, examples: Sequence[TokenSequence] | Any, capacity: Capacity, rows: int, position: int = 0):
        self.examples, self.capacity, self.rows, self.position = examples, capacity, rows, position
        self._left_over: TokenSequence | None = None
        self._limits = np.array((capacity.tokens, capacity.targets, *capacity.features.values()))

    def __next__(self) -> Packed:
        tokens = {name: np.zeros((self.rows, self.capacity.tokens), dtype) for name, dtype in TOKEN_FIELDS.items()}
        placed: list[list[tuple[int, TokenSequence]]] = [[] for _ in range(self.rows)]
        used = np.zeros((self.rows, len(self._limits)), np.int64)
        while True:
            one = self.examples[self.position] if self._left_over is None else self._left_over
            sizes = _sizes(one)
            after = used + sizes
            fits = np.all(after <= self._limits, axis=1)
            row = int(fits.argmax())
            if not fits[row]:
                if not used.any():
                    raise ValueError(f"an example of {sizes.tolist()} does not fit a row of {self._limits.tolist()}")
                self._left_over = one
                break
            start = int(used[row, 0])
            placed[row].append((start, one))
            _place(tokens, row, start, one, len(placed[row]))
            used[row] = after[row]
            self._left_over = None
            self.position += 1
        counts = {name: used[:, 2 + number] for number, name in enumerate(FEATURES)}
        return Packed(tokens, counts, _features(placed, self.capacity))


def _sizes(one: TokenSequence) -> np.ndarray:
    """int[6]: tokens, targets, and features of each kind."""
    return np.array([len(one), np.count_nonzero(one.loss_mask), *(len(getattr(one, at)) for at in FEATURES)])


def _place(tokens: dict[str, np.ndarray], row: int, start: int, one: TokenSequence, number: int) -> None:
    """Write an example's tokens behind what is in the row, its segments kept apart."""
    here = slice(start, start + len(one))
    for name in UNMOVED:
        tokens[name][row, here] = getattr(one, name)
    tokens["segment"][row, here] = one.segment + number * SEGMENTS


def _features(placed: list[list[tuple[int, TokenSequence]]], capacity: Capacity) -> dict[str, np.ndarray]:
    """Features of all rows, their positions moved to where their example landed."""
    everything = [each for row in placed for each in row]
    found: dict[str, np.ndarray] = {}
    for at, arrays in FEATURES.items():
        having = [(start, one) for start, one in everything if len(getattr(one, at))]
        if not having:
            continue
        found[at] = np.concatenate([getattr(one, at) + start for start, one in having])
        for name in arrays:
            values = [getattr(one, name) for _, one in having]
            if name == "vectors":  # those of a layout may be shorter than the longest of the mixture
                values = [_widened(each, capacity.vector_values) for each in values]
            found[name] = np.concatenate(values)
    return found


def _widened(vectors: np.ndarray, width: int) -> np.ndarray:
    if vectors.shape[1] == width:
        return vectors
    wide = np.zeros((len(vectors), width), vectors.dtype)
    wide[:, : vectors.shape[1]] = vectors
    return wide


def to_batch(parts: Sequence[Packed], capacity: Capacity) -> TokenBatch:
    """The rows of one or more parts, one after the other, as a batch of static shapes."""
    rows = sum(len(part.tokens["ids"]) for part in parts)
    arrays = {name: np.concatenate([part.tokens[name] for part in parts]) for name in TOKEN_FIELDS}
    for name, (shape, dtype) in shapes(capacity).items():
        if name not in TOKEN_FIELDS:
            arrays[name] = np.zeros((rows, *shape), dtype)
    for at, names in FEATURES.items():
        arrays[at][:] = capacity.tokens
        first = 0
        for part in parts:
            counts = part.counts[at]
            if at in part.features:
                row = first + np.repeat(np.arange(len(counts)), counts)
                slot = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
                for name in (at, *names):
                    arrays[name][row, slot] = part.features[name]
            first += len(counts)
    return TokenBatch(**arrays)
