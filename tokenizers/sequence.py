"""The one definition of the sequence format: what stands at each position and what is predicted from it.

A `TokenSequence` holds one example (one or more segments); a `TokenBatch` is the same arrays with a leading batch axis.
Fake data, abstract shapes, packing and the viewer all derive from `TOKEN_FIELDS` and `Capacity`.

Letters: B batch, T positions, P image patches, N vectors, M whole images, R answers.
"""

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np

Array = Any
"""NumPy on the host, JAX on the device, abstract before compilation: the three share no type that checkers know."""


class Kind(IntEnum):
    """What stands at a position."""

    PAD = 0
    TEXT = 1
    PATCH = 2
    IMAGE = 3
    VECTOR = 4
    CONTINUOUS = 5
    DISCRETE = 6
    SEPARATOR = 7
    ACTION = 8
    VISUAL = 9


NO_LOCAL = -1
"""Local position of separators and actions: no position encoding is added there (Reed et al. 2022, Fig. 18)."""

UNLIMITED = np.iinfo(np.int32).max
"""Value of `context` for a position that may attend to every earlier timestep of its segment."""

TOKEN_FIELDS: dict[str, type] = {
    "ids": np.int32,
    "targets": np.int32,
    "loss_mask": np.bool_,
    "kind": np.int32,
    "local": np.int32,
    "timestep": np.int32,
    "position": np.int32,
    "segment": np.int32,
    "source": np.int32,
    "context": np.int32,
    "visible": np.bool_,
}
"""Name and dtype of every per-position array."""

FEATURES: dict[str, tuple[str, ...]] = {
    "patch_at": ("patches", "patch_rows", "patch_cols"),
    "vector_at": ("vectors",),
    "image_at": ("images",),
    "answer_at": ("answers", "answer_part"),
}
"""What a position has besides its token: arrays of a row for each, by the array that says where it belongs."""


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """How much one row of a batch can hold: static shapes for the compiler.

    Args:
        tokens: positions T.
        targets: positions that may carry a loss; the loss is computed at exactly this many gathered positions.
        patches, patch_values: image patches P and the number of values in one (height x width x channels).
        vectors, vector_values: vectors N and the length to which each is padded with zeros.
        images, image_shape: whole images M and their (height, width, channels).
        answers: action tokens R that are predicted directly, see `LayoutOptions.actions`.
    """

    tokens: int
    targets: int
    patches: int = 0
    patch_values: int = 0
    vectors: int = 0
    vector_values: int = 0
    images: int = 0
    image_shape: tuple[int, int, int] = (0, 0, 0)
    answers: int = 0

    @property
    def features(self) -> dict[str, int]:
        """How many there may be of each kind, by the names of `FEATURES`."""
        return dict(zip(FEATURES, (self.patches, self.vectors, self.images, self.answers), strict=True))

    def __post_init__(self):
        if self.tokens < 1 or not 0 < self.targets <= self.tokens:
            raise ValueError(f"need tokens >= 1 and 0 < targets <= tokens, got {self.tokens} and {self.targets}")


@dataclass(frozen=True, kw_only=True)
class TokenSequence:
    """One example as parallel arrays; every array is NumPy on the host, or JAX on the device.

    Per position, shape [T]:
        ids: token id; `Vocabulary.feature` where a patch, vector or image stands.
        targets: the id to predict *from* this position (the token that follows it); arbitrary where `loss_mask` is
            False.
        loss_mask: True where the prediction counts (text and actions, sec. 2.3), stored at the predicting position.
        kind: a `Kind`.
        local: index inside the observation of its timestep, or inside a picture that is written, or `NO_LOCAL`.
        timestep: index of the timestep inside the segment.
        position: index of the token inside the segment (rotary position).
        segment: positions attend only within one segment; 0 is padding.
        source: index of the source (task), for metrics per source and the optional task embedding.
        context: how many timesteps back the position may look, itself included; `UNLIMITED` for all.
        visible: whether later timesteps may attend to this position. False hides past actions; inside
            its own timestep a hidden position is attended to causally as any other.

    Features; the `*_at` arrays hold the position in the sequence, T or more for unused rows:
        patches [P, patch_values] uint8, patch_at [P], patch_rows [P, 2] and patch_cols [P, 2]:
            quantised interval [first, last] of table indices, both ends included.
        vectors [N, vector_values] float32 (normalised and companded), vector_at [N].
        images [M, height, width, channels] uint8, image_at [M].
        answers [R] int32, answer_at [R], answer_part [R]: the id that this position answers with as this part (token)
            of its action, where actions are predicted directly.
    """

    ids: Array
    targets: Array
    loss_mask: Array
    kind: Array
    local: Array
    timestep: Array
    position: Array
    segment: Array
    source: Array
    context: Array
    visible: Array
    patches: Array
    patch_at: Array
    patch_rows: Array
    patch_cols: Array
    vectors: Array
    vector_at: Array
    images: Array
    image_at: Array
    answers: Array
    answer_at: Array
    answer_part: Array

    def __len__(self) -> int:
        return self.ids.shape[-1]

    def arrays(self) -> dict[str, Array]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


class TokenBatch(TokenSequence):
    """A `TokenSequence` whose arrays all have a leading batch axis B."""


def shapes(capacity: Capacity) -> dict[str, tuple[tuple[int, ...], type]]:
    """Shape and dtype of every array of a sequence that fills `capacity`."""
    per_position = {name: ((capacity.tokens,), dtype) for name, dtype in TOKEN_FIELDS.items()}
    return per_position | {
        "patches": ((capacity.patches, capacity.patch_values), np.uint8),
        "patch_at": ((capacity.patches,), np.int32),
        "patch_rows": ((capacity.patches, 2), np.int32),
        "patch_cols": ((capacity.patches, 2), np.int32),
        "vectors": ((capacity.vectors, capacity.vector_values), np.float32),
        "vector_at": ((capacity.vectors,), np.int32),
        "images": ((capacity.images, *capacity.image_shape), np.uint8),
        "image_at": ((capacity.images,), np.int32),
        **dict.fromkeys(("answers", "answer_at", "answer_part"), ((capacity.answers,), np.int32)),
    }


def empty(capacity: Capacity, *, pad_id: int = 0) -> TokenSequence:
    """A sequence of padding: segment 0 everywhere, every feature row unused."""
    arrays = {name: np.zeros(shape, dtype) for name, (shape, dtype) in shapes(capacity).items()}
    arrays["ids"][:] = pad_id
    for name in FEATURES:
        arrays[name][:] = capacity.tokens
    return TokenSequence(**arrays)


def stack(sequences: list[TokenSequence]) -> TokenBatch:
    """Sequences of equal shapes as one batch with a leading axis B."""
    rows = [sequence.arrays() for sequence in sequences]
    return TokenBatch(**{name: np.stack([row[name] for row in rows]) for name in rows[0]})
