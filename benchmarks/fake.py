"""Batches that fill a row with tokens of every asked kind: the shapes and masks of training without any data."""

import numpy as np

from generalist.agent.batch import abstract_batch
from generalist.tokenizers.sequence import UNLIMITED, Capacity, Kind, TokenBatch
from generalist.tokenizers.vocabulary import Vocabulary


def full_batch(
    capacity: Capacity, rows: int, vocabulary: Vocabulary, *, segments: int = 1, timestep: int = 16
) -> TokenBatch:
    """Rows without padding: equal segments of random ids, features (if any) spread evenly, every target used.

    Args:
        timestep: tokens of one timestep; the last tokens of the row's positions that are not features carry the loss.
    """
    rng = np.random.default_rng(0)
    T = capacity.tokens
    shapes = abstract_batch(capacity, rows)
    arrays = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in vars(shapes).items()}
    within = np.arange(T) % -(-T // segments)
    arrays["ids"][:] = rng.integers(0, vocabulary.size, (rows, T))
    arrays["targets"][:] = rng.integers(0, vocabulary.size, (rows, T))
    arrays["position"][:] = within
    arrays["timestep"][:] = within // timestep
    arrays["local"][:] = within % timestep
    arrays["segment"][:] = 1 + np.arange(T) // -(-T // segments)
    arrays["context"][:] = UNLIMITED
    arrays["visible"][:] = True
    arrays["kind"][:] = Kind.TEXT
    free = np.arange(T)
    for at, values, count in (
        ("patch_at", "patches", capacity.patches),
        ("vector_at", "vectors", capacity.vectors),
        ("image_at", "images", capacity.images),
    ):
        if count:
            taken = free[np.linspace(0, len(free) - 1, count).astype(int)]
            free = np.setdiff1d(free, taken)
            arrays[at][:] = taken
            arrays["ids"][:, taken] = vocabulary.feature
            arrays[values][:] = rng.uniform(0, 1, arrays[values].shape) * (1 if at == "vector_at" else 255)
    arrays["loss_mask"][:, free[-capacity.targets :]] = True
    return TokenBatch(**arrays)
