"""A trained agent that goes on with series: what is known in, draws of what may come out."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generalist.agent.generating import Drawing
from generalist.agent.painting import Span
from generalist.agent.sampling import SamplingConfig
from generalist.play.spans import drawn
from generalist.play.writer import Writer
from generalist.tokenizers.sequence import Kind
from generalist.tokenizers.series import Series
from generalist.train.checkpoint import Which

ROWS = 64
"""Most draws that are made together."""


@dataclass(frozen=True, eq=False)
class Forecaster:
    """One set of weights and one source of series, as which it forecasts."""

    writer: Writer

    @classmethod
    def load(cls, run: str | os.PathLike[str], step: Which = None, *, source: str | None = None) -> "Forecaster":
        """From a run directory, as the named source or the first of series. Raises as `Writer.load`."""
        return cls(Writer.load(run, step, source=source, measures=("series",)))

    def __repr__(self) -> str:
        return f"Forecaster(source {self.writer.source})"

    def forecast(
        self,
        known: Sequence[np.ndarray],
        horizon: int,
        *,
        draws: int = 20,
        sampling: SamplingConfig | None = None,
    ) -> np.ndarray:
        """float64[n, draws, horizon]: what may follow each series, in its own units.

        The median over draws is a forecast, their quantiles are its interval. A draw depends on `sampling.seed`, the
        number of its series and its own number alone.

        Args:
            known: of each series the numbers [m] that are known, as many as training shows (`corpora.series`).
            draws: of each.
            sampling: how ids are chosen; drawn from the whole distribution by default.

        Raises:
            ValueError: no draws or no horizon, or a series and its horizon are longer than the window.
        """
        if draws < 1 or horizon < 1:
            raise ValueError(f"at least one draw of at least one number is required, got {draws} of {horizon}")
        sampling, writer = sampling or SamplingConfig(temperature=1.0), self.writer
        parts = [Series(each, *Series.units_of(each), target=False) for each in known]
        encoded = [writer.encoded((part,)) for part in parts]
        if (longest := max(map(len, encoded), default=0) + horizon) > writer.config.window:
            raise ValueError(f"a series and its horizon have {longest} tokens, the agent sees {writer.config.window}")
        vocabulary = writer.layout.vocabulary
        span = Span.of(vocabulary, Kind.CONTINUOUS)
        rows = np.repeat(np.arange(len(parts)), draws)
        ids = [np.zeros((0, horizon), np.int32)]
        for first in range(0, len(rows), ROWS):
            chosen = np.resize(rows[first : first + ROWS], ROWS)  # one shape is compiled
            drawing = Drawing.of(sampling, range(first, first + ROWS))
            ids.append(drawn(writer, [encoded[row] for row in chosen], span, horizon, drawing))
        each = np.concatenate(ids)[: len(rows)].reshape(len(parts), draws, horizon)
        return np.asarray([part.read(span.start + own, vocabulary) for part, own in zip(parts, each, strict=True)])
