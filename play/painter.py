"""A trained agent that draws: texts in, pictures out. The compiled steps are `generalist.agent.painting`."""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from generalist.agent.generating import Drawing
from generalist.agent.painting import Span
from generalist.agent.sampling import DRAWN_AT, GUIDANCE, SamplingConfig
from generalist.play.spans import drawn
from generalist.play.writer import Writer, shown
from generalist.tokenizers.parts import Document, Words
from generalist.tokenizers.sequence import Kind
from generalist.tokenizers.visual import VisualTokenizer
from generalist.train.checkpoint import Which

ROWS = 16
"""Most pictures that are drawn together."""


@dataclass(frozen=True, eq=False)
class Painter:
    """One set of weights and one source of documents, as which it draws.

    Args:
        writer: of that source.
        visual: what its ids mean.
    """

    writer: Writer
    visual: VisualTokenizer

    @classmethod
    def load(cls, run: str | os.PathLike[str], step: Which = None, *, source: str | None = None) -> "Painter":
        """From a run directory, as the named document source or the first whose pictures are written.

        Raises:
            As `generalist.play.agent.Agent.load`; ValueError where no source writes pictures.
        """
        return cls.of(Writer.load(run, step, source=source, measures=("drawing", "world")))

    @classmethod
    def of(cls, writer: Writer) -> "Painter":
        """As the writer's source. Raises ValueError where it writes no pictures."""
        if writer.layout.visual is None:
            raise ValueError("this run writes no pictures: train one on drawings:CORPUS with --train.visual FILE")
        return cls(writer, writer.layout.visual)

    def __repr__(self) -> str:
        height, width, _ = self.visual.config.shape
        return f"Painter({height} x {width} pixels of {self.visual.config.tokens} ids each)"

    def draw(
        self,
        texts: Sequence[str | Document],
        sampling: SamplingConfig | None = None,
        *,
        guidance: float = GUIDANCE,
        seeds: Sequence[int] | None = None,
    ) -> np.ndarray:
        """uint8[n, height, width, channels]: a picture of each text.

        Args:
            texts: what the pictures are of; or documents that a picture follows.
            sampling: how ids are chosen; at the temperature `DRAWN_AT` by default.
            guidance: above 1, further from what would be drawn without a text; each picture then costs twice. 1 where
                the source has no documents without words, as those of worlds.
            seeds: of each picture, 0, 1, 2, ... by default; a picture does not depend on what it is drawn beside.

        Raises:
            ValueError: a text and its picture are longer than the window; guidance below 1.
        """
        ids = self.ids(texts, sampling, guidance=guidance, seeds=seeds)
        return self.visual.decode(ids)

    def ids(
        self,
        texts: Sequence[str | Document],
        sampling: SamplingConfig | None = None,
        *,
        guidance: float = GUIDANCE,
        seeds: Sequence[int] | None = None,
    ) -> np.ndarray:
        """int32[n, tokens]: the ids of the same pictures."""
        if isinstance(texts, str):
            raise ValueError("texts are a list, got one text; draw([text]) draws one")
        if not guidance >= 1:
            raise ValueError(f"guidance must be 1 or more, got {guidance}; 1 draws as the text alone says")
        sampling = sampling or SamplingConfig(temperature=DRAWN_AT)
        seeds = list(range(len(texts)) if seeds is None else seeds)
        rows = ROWS // 2 if guidance > 1 else ROWS
        parts = [
            self._together(texts[at : at + rows], seeds[at : at + rows], sampling, guidance)
            for at in range(0, len(texts), rows)
        ]
        return np.concatenate([np.zeros((0, self.visual.config.tokens), np.int32), *parts])

    def _together(
        self, texts: Sequence[str | Document], seeds: Sequence[int], sampling: SamplingConfig, guidance: float
    ) -> np.ndarray:
        writer, tokens, guided = self.writer, self.visual.config.tokens, guidance > 1
        prompts = [_prompt(text) for text in texts]
        # Twins stand in the second half, so the first is filled up to as many.
        count = 1 << (len(prompts) - 1).bit_length()
        prompts += [prompts[0]] * (count - len(prompts))
        encoded = [writer.encoded(prompt) for prompt in (*prompts, *([()] * count if guided else []))]
        longest = max(map(len, encoded)) + tokens
        if longest > writer.config.window:
            raise ValueError(f"a text and its picture have {longest} tokens, the agent sees {writer.config.window}")
        span = Span.of(writer.layout.vocabulary, Kind.VISUAL)
        drawing = Drawing.of(sampling, [*seeds, *[0] * (count - len(texts))])
        return drawn(writer, encoded, span, tokens, drawing, guidance)[: len(texts)]


def _prompt(text: str | Document) -> Document:
    return (Words(text, target=False),) if isinstance(text, str) else tuple(map(shown, text))


def grid_png(pictures: np.ndarray, columns: int, scale: int = 1) -> bytes:
    """Pictures [n, h, w, c] as one PNG, row by row of so many, each pixel `scale` wide and high, a line between."""
    n, h, w, c = pictures.shape
    rows = -(-n // columns)
    gap = 1
    whole = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, c), 255, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * (h + gap), number % columns * (w + gap)
        whole[top : top + h, left : left + w] = picture
    image = Image.fromarray(whole if c == 3 else whole[..., 0])
    image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()
