"""How much of a batch is padding: the packer's first-fit rule on the sizes of examples, without the examples.

Sources may be real or imagined (`imagined_source`), where demonstrations do not exist yet.
"""

from collections.abc import Sequence

import numpy as np

from generalist.tokenizers.layout import Layout
from generalist.tokenizers.sequence import FEATURES, Capacity
from generalist.train.config import TrainConfig
from generalist.train.data import Source, TaskSource
from generalist.train.documents import DocumentSource
from generalist.train.step_tokens import StepTokens
from generalist.train.windows import EpisodeTable, Window

ROWS = 128
"""At most this many rows are packed at a time, to stay quick; more rows leave a little less padding."""


def imagined_source(
    config: TrainConfig, index: int, layout: Layout, step_tokens: Sequence[int], horizon: int
) -> TaskSource:
    """A source of which only the sizes are known: one episode of `horizon` timesteps for each of `step_tokens`."""
    count = max(2, len(step_tokens))  # two, so that a prompt finds another episode
    tokens = np.resize(np.asarray(step_tokens, int), count)
    return TaskSource(
        index=index,
        layout=layout,
        steps=None,
        table=EpisodeTable(np.arange(count) * horizon, np.full(count, horizon)),
        step_tokens=StepTokens.known(np.repeat(tokens, horizon)),
        sequence_length=config.sequence_length,
        prompt=config.prompt,
        seed=config.seed,
    )


def most_text(layout: Layout) -> int:
    """Tokens of the longest text of a timestep; all others are there in every timestep."""
    observed = len(layout.body_kinds) - layout.written_tokens - layout.options.separator
    return layout.max_observation_tokens - observed


def step_sizes(source: TaskSource, window: Window) -> np.ndarray:
    """int[n, 6]: tokens, targets, patches, vectors, images and answers of the timesteps of a window."""
    layout, tokens = source.layout, source.step_tokens.in_window(window)
    texts = tokens - (layout.max_tokens - most_text(layout))
    targets = layout.written_tokens + np.maximum(texts - 1, 0) * layout.options.predict_text
    counts = (layout.patch_count, layout.vector_count, layout.image_count, layout.answer_count)
    return np.stack([tokens, targets, *(np.full(len(texts), count) for count in counts)], axis=1)


def element_sizes(source: Source, i: int) -> np.ndarray:
    """int[6]: tokens, targets, patches, vectors, images and answers of element i."""
    if isinstance(source, DocumentSource):
        made = source[i]
        return np.asarray([len(made), made.loss_mask.sum(), *(len(getattr(made, at)) for at in FEATURES)])
    return step_sizes(source, source.window(i)).sum(axis=0)


def padding_share(
    sources: Sequence[Source], weights: Sequence[float], capacity: Capacity, *, rows: int, batches: int = 3
) -> float:
    """Share of positions that hold no token, over a few batches drawn and packed as in training.

    Args:
        rows: that are packed together: of a batch, or of one stream of it; see `ROWS`.
        weights: share of examples of each source.
    """
    limit = np.asarray([capacity.tokens, capacity.targets, *capacity.features.values()])
    rng = np.random.default_rng(0)
    share = np.asarray(weights, float) / np.sum(weights)
    drawn = np.zeros(len(sources), int)
    full: list[float] = []
    bins = np.zeros((min(rows, ROWS), len(limit)), int)
    while len(full) < batches:
        i = rng.choice(len(sources), p=share)
        size = element_sizes(sources[i], int(drawn[i]))
        drawn[i] += 1
        fits = np.asarray((bins + size <= limit).all(axis=1))
        if not fits.any():
            full.append(bins[:, 0].mean() / capacity.tokens)
            bins[:] = 0
            fits[0] = True
        bins[fits.argmax()] += size
    return 1.0 - float(np.mean(full))
