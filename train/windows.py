"""Which timesteps of which episodes make one training example: the sampling of subsequences and prompts.

Everything is a pure function of a NumPy generator, so that example i of a source is a function of (seed, source, i).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from generalist.train.config import PromptConfig


@dataclass(frozen=True)
class EpisodeTable:
    """Where each episode lies in a source's concatenated steps: `starts` int[E], `lengths` int[E] in timesteps."""

    starts: np.ndarray
    lengths: np.ndarray

    def __post_init__(self):
        if len(self.starts) == 0:
            raise ValueError("a source needs at least one episode; collect more, or lower return_filter")
        if np.any(self.lengths < 1):
            raise ValueError("every episode needs at least one timestep")

    @cached_property
    def ends(self) -> np.ndarray:
        """int64[E]: timesteps up to the end of each episode, these episodes end to end."""
        return np.cumsum(self.lengths)

    @property
    def total(self) -> int:
        return int(self.ends[-1])

    def draw(self, rng: np.random.Generator, size: int | None = None) -> tuple[Any, Any]:
        """Episodes and timesteps inside them, every timestep equally likely."""
        drawn = rng.integers(self.total, size=size)
        episode = np.searchsorted(self.ends, drawn, side="right")
        return episode, drawn - (self.ends[episode] - self.lengths[episode])


@dataclass(frozen=True)
class Window:
    """Timesteps of one or more segments, parallel arrays of shape [n].

    steps: index into the source's concatenated steps; timestep: index inside the segment; segment: from 1.
    """

    steps: np.ndarray
    timesteps: np.ndarray
    segments: np.ndarray


def short_windows(table: EpisodeTable, rng: np.random.Generator, *, context: int, count: int) -> Window:
    """`count` windows of `context` consecutive timesteps (fewer where the episode is shorter), a segment each.

    Every timestep of the source is equally likely to start a window, up to the last `context - 1` of its episode.
    """
    episode, inside = table.draw(rng, count)
    offset = np.minimum(inside, np.maximum(table.lengths[episode] - context, 0))
    if context == 1:
        return Window(table.starts[episode] + offset, np.zeros(count, int), np.arange(1, count + 1))
    length = np.minimum(context, table.lengths[episode])
    timesteps = np.concatenate([np.arange(n) for n in length])
    first = np.repeat(table.starts[episode] + offset, length)
    return Window(first + timesteps, timesteps, np.repeat(np.arange(1, count + 1), length))


def long_window(table: EpisodeTable, rng: np.random.Generator, *, room: int, prompt: PromptConfig) -> Window:
    """One segment of at most `room` timesteps: a random stretch of an episode, sometimes after a prompt (sec. 2.3).

    The prompt is a stretch of *another* episode of the source, from its end or from anywhere.
    """
    episode, _ = table.draw(rng)
    steps = []
    others = len(table.lengths) - 1
    prompt_room = min(int(room * prompt.share), room - 1)
    if rng.random() < prompt.fraction and others and prompt_room > 0:
        other = rng.integers(others)
        other += other >= episode
        length = min(prompt_room, int(table.lengths[other]))
        slack = int(table.lengths[other]) - length
        offset = slack if rng.random() < prompt.end else rng.integers(slack + 1)
        steps.append(table.starts[other] + offset + np.arange(length))
        room -= length
    length = min(room, int(table.lengths[episode]))
    offset = rng.integers(int(table.lengths[episode]) - length + 1)
    steps.append(table.starts[episode] + offset + np.arange(length))
    joined = np.concatenate(steps)
    return Window(joined, np.arange(len(joined)), np.ones(len(joined), int))
