"""Which timesteps of which episodes make one training example: the sampling of subsequences and prompts.

Everything is a pure function of a NumPy generator, so that example i of a source is a function of (seed, source, i).
"""

from dataclasses import dataclass

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

    def selected(self, episodes: slice | np.ndarray) -> "EpisodeTable":
        """Only these episodes, of the same steps."""
        return EpisodeTable(self.starts[episodes], self.lengths[episodes])

    @property
    def total(self) -> int:
        return int(self.lengths.sum())


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
    ends = np.cumsum(table.lengths)
    drawn = rng.integers(ends[-1], size=count)
    episode = np.searchsorted(ends, drawn, side="right")
    offset = np.minimum(drawn - (ends - table.lengths)[episode], np.maximum(table.lengths[episode] - context, 0))
    length = np.minimum(context, table.lengths[episode])
    timesteps = np.concatenate([np.arange(n) for n in length]) if context > 1 else np.zeros(count, int)
    first = np.repeat(table.starts[episode] + offset, length)
    return Window(first + timesteps, timesteps, np.repeat(np.arange(1, count + 1), length))


def long_window(table: EpisodeTable, rng: np.random.Generator, *, room: int, prompt: PromptConfig) -> Window:
    """One segment of at most `room` timesteps: a random stretch of an episode, sometimes after a prompt (sec. 2.3).

    The prompt is a stretch of *another* episode of the source, from its end or from anywhere.
    """
    episode = rng.choice(len(table.lengths), p=table.lengths / table.total)
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
