"""What a trained agent draws from one range of ids after prompts: pictures and series. Texts are `Writer`'s."""

from collections.abc import Sequence

import numpy as np

from generalist.agent.cache import empty_cache
from generalist.agent.generating import Drawing
from generalist.agent.painting import Span, make_look, make_paint
from generalist.play.writer import Writer
from generalist.tokenizers.sequence import TokenSequence


def drawn(
    writer: Writer,
    encoded: Sequence[TokenSequence],
    span: Span,
    tokens: int,
    drawing: Drawing,
    guidance: float = 1.0,
) -> np.ndarray:
    """int32[B, tokens]: ids of a range, from 0, that follow prompts, the second half of which are twins if guided."""
    batch = writer.batch(encoded)
    lengths = np.asarray([*map(len, encoded)], np.int32)
    cache = empty_cache(writer.config, len(encoded), writer.rounded(batch.ids.shape[1] + tokens))
    logits, cache = make_look(writer.graphdef, span)(writer.state, cache, batch, lengths - 1)
    paint = make_paint(writer.graphdef, span, tokens, guidance > 1)
    source = np.full(len(encoded), writer.source, np.int32)
    return np.asarray(paint(writer.state, cache, logits, lengths, source, drawing, np.float32(guidance)))
