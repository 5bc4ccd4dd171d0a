"""The steps of a data set as a layout shows them: pictures that it shrinks are shrunk once, not at every draw."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces

from generalist.demonstrations.columns import Columns
from generalist.demonstrations.columns_writer import Piece
from generalist.demonstrations.make_columns import SUFFIX, fingerprint, kept_columns
from generalist.demonstrations.storage import Demonstrations
from generalist.envs.spaces import space_leaves
from generalist.tokenizers.encoding import next_steps
from generalist.tokenizers.image import ShownImages, WholeImageField
from generalist.tokenizers.layout import Layout

TOGETHER = 64
"""Pictures that are shrunk at a time, on one core."""


@dataclass(frozen=True)
class ShownSteps:
    """Observations and actions by random access. Pickled, its files are opened again where it arrives.

    Args:
        columns: the steps as they were recorded.
        shrunk: pictures of some leaves of the observation as the layout shows them, by the leaf's index.
    """

    columns: Columns
    shrunk: dict[int, Columns] = field(default_factory=dict)

    def observations(self, steps: np.ndarray) -> Any:
        """Of steps int[n]; raises as `Columns.take`."""
        instead = {index: ShownImages(found.rows("observation", 0, steps)) for index, found in self.shrunk.items()}
        return self.columns.observations(steps, instead=instead)

    def actions(self, steps: np.ndarray) -> Any:
        """Of steps int[n]; raises as `Columns.take`."""
        return self.columns.actions(steps)

    def chunks(self, steps: np.ndarray, count: int) -> tuple[Any, np.ndarray]:
        """Actions of steps int[n] and of those that follow each in its episode, n * count in all, and which of them
        there are, bool[n, count]. Raises as `Columns.take`.
        """
        starts = self.columns.starts
        rows, known = next_steps(steps, starts[np.searchsorted(starts, steps, side="right")], count)
        return self.columns.actions(rows), known


def shown_steps(demonstrations: Demonstrations, columns: Columns, layout: Layout) -> ShownSteps:
    """The steps of these demonstrations; shrinks pictures, and keeps them beside, where that was not done before.

    Raises:
        ValueError: a damaged file, named. OSError: no room for the pictures.
    """
    order = [path for path, _ in space_leaves(demonstrations.observation_space)]
    shrunk = {
        (index := order.index(part.leaf.keys)): _shrunk(demonstrations, columns, index, part)
        for part in layout.image_fields
        if isinstance(part, WholeImageField) and _is_smaller(part)
    }
    return ShownSteps(columns, shrunk)


def _is_smaller(part: WholeImageField) -> bool:
    height, width, _ = part.image_shape
    return height * width < part.form.height * part.form.width


def _shrunk(demonstrations: Demonstrations, columns: Columns, index: int, part: WholeImageField) -> Columns:
    size = "x".join(map(str, part.image_shape))
    usual = part.form.rule == "auto" and (part.form.channels in (1, 3) or part.form.channels_first)
    reading = "" if usual else f"-{len(part.form.pictures)}of{part.form.channels}-{part.form.rule}"
    return kept_columns(
        demonstrations.folder / f"pictures-{index}-{size}{reading}{SUFFIX}",
        spaces.Box(0, 255, (part.form.frames, *part.image_shape), np.uint8),
        spaces.Dict({}),
        columns.lengths,
        lambda: _shrink(columns, index, part),
        made_from=fingerprint(columns.made_from.encode(), f"{index} {size}{reading} {part.VERSION}".encode()),
    )


def _shrink(columns: Columns, index: int, part: WholeImageField) -> Iterator[Piece]:
    """Every picture of a leaf, in order; the files are read on this thread, the pictures are made on all cores."""
    waiting: deque[tuple[int, Future]] = deque()
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        for episode, (start, stop) in enumerate(zip(columns.starts[:-1], columns.starts[1:], strict=True)):
            for begin in range(start, stop, TOGETHER):
                rows = columns.rows("observation", index, np.arange(begin, min(begin + TOGETHER, stop)))
                waiting.append((episode, pool.submit(part.encode, rows)))
                if len(waiting) > 2 * cores:
                    yield _piece(*waiting.popleft())
        for each in waiting:
            yield _piece(*each)


def _piece(episode: int, made: Future) -> Piece:
    pictures = made.result()
    return episode, [pictures], np.zeros(len(pictures), np.float32)
