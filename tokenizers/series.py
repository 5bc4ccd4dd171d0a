"""Numbers in a row, one token each, as a document's part: a series in time, in units of its own beginning.

A number is shown as F((x - centre) / scale), the paper's companding of continuous values (Reed et al. 2022, sec. 2.1),
where centre and scale are mean and standard deviation of what is known of the series, so that units do not matter, and
what is to come changes nothing of how the past is shown.
"""

from dataclasses import dataclass

import numpy as np

from generalist.tokenizers.continuous import ContinuousTokenizer, compand, expand
from generalist.tokenizers.vocabulary import Vocabulary

SMALLEST_SCALE = 1e-6
"""Of |centre|: a series that hardly moves has this scale, one that is 0 throughout has 1."""


@dataclass(frozen=True, eq=False)
class Series:
    """Some numbers [n] of a series.

    Args:
        centre, scale: of `Series.units_of` what is known.
        target: whether they carry a loss.
    """

    values: np.ndarray
    centre: float
    scale: float
    target: bool = True

    def __post_init__(self):
        values = np.asarray(self.values, np.float64)
        if values.ndim != 1 or not np.isfinite([*values, self.centre, self.scale]).all() or self.scale <= 0:
            raise ValueError(
                f"a series is finite numbers [n] with a centre and a positive scale, got shape {values.shape}, centre "
                f"{self.centre} and scale {self.scale}"
            )
        object.__setattr__(self, "values", values)

    @staticmethod
    def units_of(known: np.ndarray) -> tuple[float, float]:
        """Centre and scale. Raises ValueError without a number."""
        if not np.size(known):
            raise ValueError("a series of which nothing is known has no units; give at least one number")
        centre, spread = float(np.mean(known)), float(np.std(known))
        return centre, max(spread, SMALLEST_SCALE * abs(centre)) or 1.0

    def ids(self, vocabulary: Vocabulary) -> np.ndarray:
        """int32[n]."""
        return bins(vocabulary).encode(compand((self.values - self.centre) / self.scale))

    def read(self, ids: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
        """float64 of ids of any shape, in the units of this series."""
        return self.centre + self.scale * expand(bins(vocabulary).decode(ids))


def bins(vocabulary: Vocabulary) -> ContinuousTokenizer:
    return ContinuousTokenizer(vocabulary.continuous[0], vocabulary.bins)
