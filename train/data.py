"""The examples of a mixture: windows of demonstrations and documents, mixed by weight (grain), packed into rows.

A stream of rows is a function of (seed, its number) and can be gone on with from its position. Who makes the streams is
`generalist.train.makers`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import grain
import numpy as np
from grain.experimental import WindowShuffleMapDataset

from generalist.demonstrations.checks import first_fault
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.sequence import Capacity, TokenSequence
from generalist.train.config import PromptConfig
from generalist.train.documents import DocumentSource
from generalist.train.packing import PackedRows
from generalist.train.returns import returns_to_go
from generalist.train.shown import ShownSteps
from generalist.train.step_tokens import StepTokens
from generalist.train.windows import EpisodeTable, Window, long_window, short_windows

MIXED = 1 << 14
"""Examples of a stream that are shuffled together: each of hundreds of sources has many among them."""


@dataclass(frozen=True)
class TaskSource:
    """Examples of one task: element i is a function of (seed, index of the source, i).

    Args:
        index: the source's number, stored with every token.
        layout: how a timestep becomes tokens.
        steps: of the demonstrations; None where only sizes are known.
        table: the episodes that examples are taken from.
        step_tokens: tokens of each timestep.
        name: of the task, for errors.
    """

    index: int
    layout: Layout
    steps: ShownSteps | None
    table: EpisodeTable
    step_tokens: StepTokens
    sequence_length: int
    prompt: PromptConfig
    seed: int
    name: str = ""

    def window(self, i: int) -> Window:
        """The timesteps of element i, cut to whole timesteps that fit the row."""
        rng = np.random.default_rng((self.seed, self.index, i))
        context, length = self.layout.options.context, self.sequence_length
        if context is None:
            window = long_window(self.table, rng, room=length // self.step_tokens.least, prompt=self.prompt)
        else:
            count = max(1, length // (context * self.step_tokens.least))
            window = short_windows(self.table, rng, context=context, count=count)
        fits = np.cumsum(self.step_tokens.in_window(window)) <= length
        return window if fits.all() else Window(window.steps[fits], window.timesteps[fits], window.segments[fits])

    def __getitem__(self, i: int) -> TokenSequence:
        if self.steps is None:
            raise ValueError("only the sizes of this source are known")
        window = self.window(int(i))
        observations = self.steps.observations(window.steps)
        shown = self.layout.return_field is not None
        actions, known = self.steps.chunks(window.steps, self.layout.options.chunk)
        try:
            return self.layout.encode(
                observations,
                actions,
                timesteps=window.timesteps,
                segments=window.segments,
                source=self.index,
                told=True,
                known=known,
                returns=returns_to_go(self.steps.columns, window.steps) if shown else None,
            )
        except ValueError as cause:
            raise self._named(cause, window) from cause

    def _named(self, cause: ValueError, window: Window) -> ValueError:
        """The error with task, key, episode and step of the value that it is about."""
        assert self.steps is not None
        columns = self.steps.columns
        parts = (("observation", columns.observation_space), ("action", columns.action_space))
        for (part, space), values in zip(parts, columns.take(window.steps), strict=True):
            if (fault := first_fault(part, space, values)) is not None:
                place = columns.place(int(window.steps[fault.row]))
                return ValueError(f"{self.name}: {fault.what} in {place}: drop or repair this episode")
        return ValueError(f"{self.name}: {cause}")

    @property
    def capacity(self) -> Capacity:
        """The smallest row that holds any one element."""
        layout, steps = self.layout, self.sequence_length // self.step_tokens.least
        return Capacity(
            tokens=self.sequence_length,
            targets=max(1, min(self.sequence_length, steps * layout.target_count)),
            patches=steps * layout.patch_count,
            patch_values=layout.patch_values,
            vectors=steps * layout.vector_count,
            vector_values=layout.vector_values,
            images=steps * layout.image_count,
            image_shape=layout.image_shape,
            answers=steps * layout.answer_count,
        )


Source = TaskSource | DocumentSource


def check_timesteps(task: str, source: TaskSource, sequence_length: int) -> None:
    """Raises ValueError where a timestep of the task is longer than a row of training."""
    longest, actions = source.step_tokens.most, source.layout.written_tokens
    if longest <= sequence_length:
        return
    shorter = (
        f"; the action alone has {actions}"
        if actions >= sequence_length
        else f", or show images or arrays as one token each (--train.sources.{source.index}.layout.images conv, "
        "....layout.continuous vector)"
    )
    raise ValueError(
        f"a timestep of {task} has {longest} tokens and does not fit sequence_length {sequence_length}: raise it "
        f"(--train.sequence-length, and --train.agent.window with it){shorter}"
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
    counts = ("tokens", "targets", "patches", "vectors", "vector_values", "images", "answers")
    return Capacity(
        **{name: max(getattr(row, name) for row in rows) for name in counts},
        patch_values=max(patches, default=0),
        image_shape=next(iter(shapes), (0, 0, 0)),
    )


def packed_rows(
    sources: Sequence[Source],
    weights: Sequence[float],
    capacity: Capacity,
    *,
    rows: int,
    stream: int = 0,
    of: int = 1,
    position: int = 0,
) -> PackedRows:
    """An endless stream of batches of `rows` rows: every `of`-th example of each source, from number `stream` on.

    Whoever makes a stream makes the same rows, and no two of the `of` streams have an example in common. The examples
    of all sources are shuffled, `MIXED` at a time: mixed by weight alone, those of sources that have the same weight
    come one after the other, and the rows of an update would be of one family.

    Args:
        weights: share of examples of each source.
        position: what `PackedRows.position` was.
    """

    def examples(source: Source) -> grain.MapDataset:
        return grain.MapDataset.range(stream, 1 << 40, of).map(source.__getitem__)

    mixed = grain.MapDataset.mix([examples(source) for source in sources], weights=list(weights))
    shuffled = WindowShuffleMapDataset(mixed, window_size=MIXED, seed=stream * MIXED)
    return PackedRows(shuffled, capacity, rows, position)
