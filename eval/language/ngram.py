"""Byte n-gram models: what a language model must beat. Counts of up to five bytes in a row, no network.

Interpolated Kneser-Ney smoothing with one discount per order (Kneser and Ney 1995; Chen and Goodman 1999, sec. 2.7 and
3): the longest order counts occurrences, a shorter one in how many contexts its bytes occurred. What begins a text has
nothing before it to be counted, so there occurrences count in every order. All orders are sorted arrays of integers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ORDERS = (1, 5)
"""Bytes that the smallest and the largest model look at, the predicted one included."""

END, START = 256, 257
"""Symbols beside the bytes: END is predicted after a text that is whole, START only stands before a text."""

SYMBOLS = 258
PREDICTED = 257
"""Symbols, and those among them that can follow: 256 bytes and END."""

MIN_DISCOUNT = 0.1
"""Lower, and what was never seen would be impossible; the estimate is 0 where nothing was seen just once."""


@dataclass(frozen=True, eq=False)
class Counts:
    """One order: sorted keys of grams (context x SYMBOLS + last symbol) and of contexts, with their counts.

    `totals` are the counts of a context's grams together, `kinds` how many different grams it has.
    """

    grams: np.ndarray
    counts: np.ndarray
    contexts: np.ndarray
    totals: np.ndarray
    kinds: np.ndarray
    discount: float

    @classmethod
    def of(cls, grams: np.ndarray, counts: np.ndarray) -> "Counts":
        """From sorted distinct grams int64[G] and their counts [G]."""
        contexts, starts, kinds = np.unique(grams // SYMBOLS, return_index=True, return_counts=True)
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        discount = once / (once + 2 * twice) if twice else 0.5
        return cls(grams, counts, contexts, np.add.reduceat(counts, starts), kinds, max(discount, MIN_DISCOUNT))

    def mix(self, keys: np.ndarray, below: np.ndarray) -> np.ndarray:
        """Probabilities [N] of the grams `keys` [N] from those of the next shorter order, `below` [N]."""
        count = _looked_up(self.grams, self.counts, keys)
        total = _looked_up(self.contexts, self.totals, keys // SYMBOLS)
        kinds = _looked_up(self.contexts, self.kinds, keys // SYMBOLS)
        seen = np.maximum(count - self.discount, 0) + self.discount * kinds * below
        return np.where(total > 0, seen / np.maximum(total, 1), below)


def _looked_up(known: np.ndarray, values: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Values of `keys`, 0 for those not among `known` (sorted)."""
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[at] == keys, values[at], 0)


@dataclass(frozen=True, eq=False)
class NGram:
    """A fitted model; `orders[k]` predicts a symbol from the k before it."""

    orders: tuple[Counts, ...]

    @classmethod
    def fit(cls, texts: Sequence[str], order: int, *, whole: Sequence[bool] | None = None) -> "NGram":
        """Count texts; 1 MB takes about a second.

        Args:
            order: bytes in a row, 1 to 5.
            whole: which texts END follows; all by default.

        Raises:
            ValueError: another order, or nothing to count.
        """
        if not ORDERS[0] <= order <= ORDERS[1]:
            raise ValueError(f"the order of an n-gram model is {ORDERS[0]} to {ORDERS[1]}, got {order}")
        symbols, _ = _symbols(texts, order, whole)
        at = np.flatnonzero(symbols != START)
        if not len(at):
            raise ValueError(f"an n-gram model needs text, got {len(texts)} texts without a byte; give more documents")
        found: list[Counts] = []
        longer = None
        for length in range(order, 0, -1):
            grams, counts = np.unique(_keys(symbols, at, length), return_counts=True)
            if longer is not None:
                # The suffixes of the longer grams are exactly these grams.
                _, contexts = np.unique(longer % SYMBOLS**length, return_counts=True)
                counts = np.where(grams // SYMBOLS ** (length - 1) == START, counts, contexts)
            found.append(Counts.of(grams, counts))
            longer = grams
        return cls(tuple(reversed(found)))

    def nats(self, texts: Sequence[str], *, whole: Sequence[bool] | None = None) -> np.ndarray:
        """Nats of every text and, where it is whole, the END after it, float64[n]; each text stands alone."""
        symbols, owner = _symbols(texts, len(self.orders), whole)
        at = np.flatnonzero(symbols != START)
        return np.bincount(owner[at], -np.log(self._probabilities(symbols, at)), len(texts))

    def distribution(self, before: bytes) -> np.ndarray:
        """Probabilities float64[257] of what follows `before`, the beginning of a text: 256 bytes and END."""
        context = [START] * (len(self.orders) - 1) + list(before)
        rows = np.array([[*context, symbol] for symbol in range(PREDICTED)], np.int64)
        at = np.arange(1, PREDICTED + 1) * rows.shape[1] - 1
        return self._probabilities(rows.reshape(-1), at)

    def _probabilities(self, symbols: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Of the symbols at positions `at`, each given those before it."""
        found = np.full(len(at), 1 / PREDICTED)
        for length, counts in enumerate(self.orders, 1):
            found = counts.mix(_keys(symbols, at, length), found)
        return found


def _keys(symbols: np.ndarray, at: np.ndarray, length: int) -> np.ndarray:
    """The `length` symbols that end at each position as one number, the last with weight 1: int64[len(at)]."""
    keys = np.zeros(len(at), np.int64)
    for back in range(length - 1, -1, -1):
        keys = keys * SYMBOLS + symbols[at - back]
    return keys


def _symbols(texts: Sequence[str], order: int, whole: Sequence[bool] | None) -> tuple[np.ndarray, np.ndarray]:
    """All texts in a row, START before and END after each: int64[S]; and to which text each symbol belongs, int64[S].

    There are as many STARTs as a context is long, so that no text sees the one before it.
    """
    ends = [True] * len(texts) if whole is None else list(whole)
    pieces = []
    for text, end in zip(texts, ends, strict=True):
        content = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
        pieces.append(np.concatenate([np.full(order - 1, START), content, np.full(int(end), END)]).astype(np.int64))
    owner = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
    return np.concatenate([*pieces, np.zeros(0, np.int64)]), owner
