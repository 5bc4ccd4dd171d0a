"""The input pipeline: demonstrations of many tasks, mixed by weight, packed into rows of fixed capacity (grain).

Batches are a function of (seed, index) and the iterator's position can be saved and restored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grain
import numpy as np

from generalist.tokenizers.layout import Layout
from generalist.tokenizers.sequence import TOKEN_FIELDS, Capacity, TokenBatch, TokenSequence
from generalist.train.config import PromptConfig
from generalist.train.documents import DocumentSource
from generalist.train.windows import EpisodeTable, Window, long_window, short_windows

FEATURES = {"patch_at": ("patches", "patch_rows", "patch_cols"), "vector_at": ("vectors",), "image_at": ("images",)}
"""Arrays of each kind of feature, by the array that holds its position."""

SEGMENTS = 1 << 12
"""More than the segments of one example; keeps segments of packed examples apart."""


@dataclass(frozen=True)
class TaskSource:
    """Examples of one task: element i is a function of (seed, index of the source, i).

    Args:
        index: the source's number, stored with every token.
        layout: how a timestep becomes tokens.
        observations: pytree of arrays [steps, ...]; actions likewise.
        table: episodes in them.
        step_tokens: int[steps], tokens of each timestep.
    """

    index: int
    layout: Layout
    observations: Any
    actions: Any
    table: EpisodeTable
    step_tokens: np.ndarray
    sequence_length: int
    prompt: PromptConfig
    seed: int

    def window(self, i: int) -> Window:
        """The timesteps of element i, cut to whole timesteps that fit the row."""
        rng = np.random.default_rng((self.seed, self.index, i))
        context, length = self.layout.options.context, self.sequence_length
        if context is None:
            room = length // int(self.step_tokens.min())
            window = long_window(self.table, rng, room=room, prompt=self.prompt)
        else:
            count = max(1, length // (context * int(self.step_tokens.min())))
            window = short_windows(self.table, rng, context=context, count=count)
        fits = np.cumsum(self.step_tokens[window.steps]) <= length
        return Window(window.steps[fits], window.timesteps[fits], window.segments[fits])

    def __getitem__(self, i: int) -> TokenSequence:
        window = self.window(int(i))
        return self.layout.encode(
            take(self.observations, window.steps),
            take(self.actions, window.steps),
            timesteps=window.timesteps,
            segments=window.segments,
            source=self.index,
        )

    @property
    def capacity(self) -> Capacity:
        """The smallest row that holds any one element."""
        layout, steps = self.layout, self.sequence_length // int(self.step_tokens.min())
        return Capacity(
            tokens=self.sequence_length,
            targets=max(1, min(self.sequence_length, steps * layout.target_count)),
            patches=steps * layout.patch_count,
            patch_values=layout.patch_values,
            vectors=steps * layout.vector_count,
            vector_values=layout.vector_values,
            images=steps * layout.image_count,
            image_shape=layout.image_shape,
        )


Source = TaskSource | DocumentSource


def take(tree: Any, index: np.ndarray | slice) -> Any:
    """Rows `index` of every leaf of a nested dict or tuple."""
    if isinstance(tree, Mapping):
        return {key: take(value, index) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(take(value, index) for value in tree)
    return np.asarray(tree)[index]


def check_timesteps(task: str, source: TaskSource, sequence_length: int) -> None:
    """Raises ValueError where a timestep of the task is longer than a row of training."""
    longest = int(source.step_tokens.max())
    if longest > sequence_length:
        raise ValueError(
            f"a timestep of {task} has {longest} tokens and does not fit sequence_length {sequence_length}: raise it "
            "(--train.sequence-length), or show images or arrays as one token each "
            f"(--train.sources.{source.index}.layout.images conv, ....layout.continuous vector)"
        )


def row_capacity(sources: Sequence[Source]) -> Capacity:
    """The smallest row that holds any one element of any source.

    Raises:
        ValueError: the sources show images in different shapes, or patches of different sizes.
    """
    rows = [source.capacity for source in sources]
    shapes = {row.image_shape for row in rows if row.images}
    if len(shapes) > 1:
        raise ValueError(f"whole images of all sources must share one shape, got {sorted(shapes)}")
    patches = {row.patch_values for row in rows if row.patches}
    if len(patches) > 1:
        raise ValueError(f"patches of all sources must share one size, got {sorted(patches)} values")
    counts = ("tokens", "targets", "patches", "vectors", "vector_values", "images")
    return Capacity(
        **{name: max(getattr(row, name) for row in rows) for name in counts},
        patch_values=max(patches, default=0),
        image_shape=next(iter(shapes), (0, 0, 0)),
    )


def to_row(sequence: TokenSequence, capacity: Capacity) -> dict[str, np.ndarray]:
    """A sequence as the few arrays that the packer handles; `target_count` only counts."""
    arrays = sequence.arrays()
    row = {name: arrays[name] for group in FEATURES for name in (group, *FEATURES[group])}
    missing = capacity.vector_values - row["vectors"].shape[1]
    row["vectors"] = np.pad(row["vectors"], ((0, 0), (0, missing)))
    row["patches"] = row["patches"].reshape(len(row["patch_at"]), capacity.patch_values)
    row["images"] = row["images"].reshape(len(row["image_at"]), *capacity.image_shape)
    row["tokens"] = np.stack([arrays[name].astype(np.int32) for name in TOKEN_FIELDS], axis=1)
    row["target_count"] = np.zeros(int(arrays["loss_mask"].sum()), np.bool_)
    return row


def lengths(capacity: Capacity) -> dict[str, int]:
    """How many entries of each array of `to_row` a packed row can hold."""
    count = {"patch_at": capacity.patches, "vector_at": capacity.vectors, "image_at": capacity.images}
    features = {name: count[group] for group in FEATURES for name in (group, *FEATURES[group])}
    return features | {"tokens": capacity.tokens, "target_count": capacity.targets}


def from_packed(packed: dict[str, np.ndarray], capacity: Capacity) -> TokenSequence:
    """A packed row as a sequence: segments kept apart, feature positions moved to where their example landed."""
    example = packed["tokens_segment_ids"]
    columns = dict(zip(TOKEN_FIELDS, packed["tokens"].T, strict=True))
    columns = {name: column.astype(TOKEN_FIELDS[name]) for name, column in columns.items()}
    columns["segment"] = np.where(example > 0, example * SEGMENTS + columns["segment"], 0).astype(np.int32)
    starts = np.searchsorted(example[: np.count_nonzero(example)], np.arange(example.max() + 1))
    arrays = {}
    for at, names in FEATURES.items():
        owner = packed[f"{at}_segment_ids"]
        moved = packed[at] + starts[np.minimum(owner, len(starts) - 1)]
        arrays[at] = np.where(owner > 0, moved, capacity.tokens).astype(np.int32)
        arrays |= {name: packed[name] for name in names}
    return TokenSequence(**columns, **arrays)


def batches(
    sources: Sequence[Source],
    weights: Sequence[float],
    capacity: Capacity,
    *,
    batch_size: int,
    streams: Sequence[int] = (0,),
    of: int = 1,
    prefetch: int = 4,
) -> grain.IterDataset[TokenBatch]:
    """An endless, checkpointable stream of the rows that `streams` make of batches of `batch_size` rows.

    A batch is made by `of` streams, `batch_size / of` rows each, one after the other. Each stream takes its own
    examples and packs them alone, so whoever makes a stream makes the same rows.

    Args:
        weights: share of examples of each source.
        streams: numbers, below `of`, of those that are made here.
        prefetch: batches that are made ahead by a background thread.
    """
    rows = batch_size // of
    parts = [_stream(sources, weights, capacity, rows, stream, of) for stream in streams]
    ready = grain.experimental.ZipIterDataset(parts).map(join)
    return grain.experimental.ThreadPrefetchIterDataset(ready, prefetch_buffer_size=prefetch) if prefetch else ready


def _stream(
    sources: Sequence[Source], weights: Sequence[float], capacity: Capacity, rows: int, stream: int, of: int
) -> grain.IterDataset[dict[str, np.ndarray]]:
    """Every `of`-th example of each source, from number `stream` on, in packed batches of `rows`."""

    def examples(source: Source) -> grain.MapDataset:
        return grain.MapDataset.range(stream, 1 << 40, of).map(lambda i: to_row(source[i], capacity))

    mixed = grain.MapDataset.mix([examples(source) for source in sources], weights=list(weights))
    packed = grain.experimental.FirstFitPackIterDataset(
        mixed.to_iter_dataset(grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)),
        length_struct=lengths(capacity),
        num_packing_bins=rows,
        shuffle_bins=False,
    )
    return packed.map(lambda row: from_packed(row, capacity).arrays()).batch(rows, drop_remainder=True)


def join(parts: Any) -> TokenBatch:
    """The rows of several streams, given as a tuple of dicts of arrays, as one batch."""
    if len(parts) == 1:
        return TokenBatch(**parts[0])
    return TokenBatch(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
