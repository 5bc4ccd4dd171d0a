"""Measuring frames that an agent draws for an environment: against the real next frame, beside the frame as it was.

Most of a frame stays as it is, so its error is told as a share of that of the frame before, and blocks that are right
are counted among those that changed. Frames are drawn one after another from real ones; a film goes on from drawn ones.
"""

import time
from collections.abc import Sequence
from typing import Literal

import numpy as np

from generalist.corpora.worlds import Worlds
from generalist.eval.language.corpus_record import AGENT, CorpusRecord, Example, Outcome
from generalist.eval.language.drawing import picture_of, unigram
from generalist.eval.language.measure import EXAMPLES, png_of, read_documents
from generalist.play.painter import Painter
from generalist.play.worlds import LIKELIEST, in_size
from generalist.tokenizers.document import Series
from generalist.tokenizers.parts import Document, Part, Picture, Words

LEARNT = 2000
"""Training documents that baselines learn from."""
NEAR = 16.0
"""A block is right whose pixels differ by less than so many of 255 levels on average."""


def measure_worlds(
    painter: Painter,
    train: Worlds,
    test: Worlds,
    *,
    name: str,
    split: Literal["test", "heldout"] = "test",
    limit: int,
    seed: int = 0,
) -> CorpusRecord:
    """Draw the next frames of test documents. Arguments as of `generalist.eval.language.measure.measure_corpus`."""
    begun = time.perf_counter()
    found, learnt = read_documents(test, limit, seed), read_documents(train, LEARNT, seed)
    known, numbers = list(learnt.documents.values()), tuple(found.documents)
    documents = list(found.documents.values())
    before = np.stack([in_size(painter, frame_before(document)) for document in documents])
    after = np.stack([in_size(painter, picture_of(document)) for document in documents])
    drawn = painter.draw([document[:-1] for document in documents], LIKELIEST, guidance=1.0)
    forecasts = {
        AGENT: drawn,
        "unchanged": before,
        "nearest_frame": nearest_frames(painter, known, documents, before),
        "rebuilt": painter.visual.decode(painter.visual.encode(after)),
    }
    side = painter.visual.config.side
    outcomes = {
        who: Outcome(errors=squared(frames, after), shares=right_blocks(frames, before, after, side))
        for who, frames in forecasts.items()
    }
    nats = tuple((-painter.writer.log_likelihoods(documents)).tolist())
    outcomes[AGENT] = Outcome(nats=nats, errors=outcomes[AGENT].errors, shares=outcomes[AGENT].shares)
    outcomes["unigram_ids"] = Outcome(nats=unigram(painter, known, documents))
    rows = [np.concatenate([before[at], after[at], drawn[at]], axis=1) for at in range(min(EXAMPLES, len(drawn)))]
    return CorpusRecord(
        corpus=name,
        split=split,
        measure="world",
        numbers=numbers,
        tokens=(painter.visual.config.tokens,) * len(documents),
        outcomes=outcomes,
        examples=tuple(
            Example(prompt=f"action {told(document[-2])}", truth="", said={}, png=png_of(row))
            for document, row in zip(documents, rows, strict=False)
        ),
        damaged=(*found.damaged, *learnt.damaged),
        learnt_from=len(known),
        seconds=time.perf_counter() - begun,
    )


def frame_before(document: Document) -> np.ndarray:
    """The pixels of the last frame that is shown."""
    return [part.pixels for part in document[:-1] if isinstance(part, Picture)][-1]


def told(action: Part) -> str:
    """An action in words."""
    if isinstance(action, Words):
        return action.text
    return " ".join(f"{value:.2g}" for value in action.values) if isinstance(action, Series) else ""


def squared(frames: np.ndarray, after: np.ndarray) -> tuple[float, ...]:
    """Mean squared difference of each pair of frames [n, h, w, c], in levels."""
    return tuple(np.mean((frames.astype(np.float64) - after) ** 2, axis=(1, 2, 3)).tolist())


def right_blocks(frames: np.ndarray, before: np.ndarray, after: np.ndarray, side: int) -> tuple[float, ...]:
    """Of each frame the share of blocks that changed and are right; 1 where none changed and none was invented."""
    changed, right = ~_near(before, after, side), _near(frames, after, side)
    counts = changed.sum(axis=(1, 2))
    shares = np.where(counts > 0, (changed & right).sum(axis=(1, 2)) / np.maximum(counts, 1), right.all(axis=(1, 2)))
    return tuple(shares.astype(float).tolist())


def _near(one: np.ndarray, other: np.ndarray, side: int) -> np.ndarray:
    """bool[n, rows, columns]: which blocks of two frames are alike."""
    n, height, width, channels = one.shape
    apart = np.abs(one.astype(np.float64) - other)
    return apart.reshape(n, height // side, side, width // side, side, channels).mean(axis=(2, 4, 5)) < NEAR


def nearest_frames(
    painter: Painter, train: Sequence[Document], test: Sequence[Document], before: np.ndarray
) -> np.ndarray:
    """What followed the training frame that is nearest, among those at which the same was done, or all."""
    known = np.stack([in_size(painter, frame_before(document)) for document in train])
    flat = known.reshape(len(known), -1).astype(np.float32)
    done = np.asarray([told(document[-2]) for document in train])
    found = []
    for document, frame in zip(test, before, strict=True):
        same = np.flatnonzero(done == told(document[-2]))
        among = same if len(same) else np.arange(len(train))
        distances = ((flat[among] - frame.reshape(-1).astype(np.float32)) ** 2).sum(axis=1)
        found.append(in_size(painter, picture_of(train[int(among[distances.argmin()])])))
    return np.stack(found)
