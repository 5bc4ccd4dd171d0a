"""Frames of demonstrations as documents: what was seen and done, and the frame that came of it, which is written.

The mechanism is that of drawings (`generalist.corpora.drawings`): in the place of a caption stand frames and actions.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from generalist.corpora.corpus import Measure, Split
from generalist.demonstrations.columns import Columns
from generalist.demonstrations.storage import Demonstrations
from generalist.tokenizers.image import ImageFormat, frames, image_format
from generalist.tokenizers.parts import Document, Part, Picture, Words
from generalist.tokenizers.series import Series
from generalist.tokenizers.space import leaves

PAST = 2
"""Frames that are shown: from one, nothing says how things move."""
EVERY = 10
"""Every so-manieth episode is test."""


@dataclass(frozen=True, eq=False)
class Worlds:
    """A document for each frame but the first of an episode: frames and actions in turn, and that frame.

    Args:
        form, leaf: of the picture of an observation, and its number among the leaves.
        episodes: numbers of those of the split.
        past: frames that are shown, fewer at the beginning of an episode.
    """

    columns: Columns
    form: ImageFormat
    leaf: int
    episodes: np.ndarray
    past: int

    @property
    def measure(self) -> Measure:
        return "world"

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    @property
    def groups(self) -> np.ndarray:
        """Number of the episode of each document."""
        return np.repeat(np.arange(len(self.episodes)), self._counts)

    @cached_property
    def _counts(self) -> np.ndarray:
        return np.maximum(self.columns.lengths[self.episodes] - 1, 0)

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum(self._counts)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> Document:
        """(frame, action, ..., frame, action, the next frame, which is written)."""
        index = range(len(self))[index]
        number = int(np.searchsorted(self._ends, index, side="right"))
        last = index - int(self._ends[number] - self._counts[number])
        return self.document(number, last)

    def document(self, number: int, last: int) -> Document:
        """After frame `last`, from 0, of the split's episode `number`."""
        first = max(0, last - self.past + 1)
        seen = self.frames(number, first, last + 2)
        done = self.actions(number, first, last + 1)
        shown = [part for frame, action in zip(seen[:-1], done, strict=True) for part in (Picture(frame), action)]
        return (*shown, Picture(seen[-1], written=True))

    def frames(self, number: int, start: int, stop: int) -> np.ndarray:
        """uint8[stop - start, height, width, 3] of an episode of the split; of stacked frames the newest."""
        rows = self.columns.rows("observation", self.leaf, self._steps(number, start, stop))
        return frames(rows, self.form, 3, "observation")[:, -1]

    def actions(self, number: int, start: int, stop: int) -> list[Part]:
        """What was done at each of these frames, as the part of a document."""
        found = self.columns.actions(self._steps(number, start, stop))
        return [said(found, at) for at in range(stop - start)]

    def _steps(self, number: int, start: int, stop: int) -> np.ndarray:
        return int(self.columns.starts[self.episodes[number]]) + np.arange(start, stop)


def said(actions: Any, at: int) -> Part:
    """Action `at` of nested arrays: a whole number or a text in words, others as numbers."""
    if isinstance(actions, dict | tuple):
        parts = actions.values() if isinstance(actions, dict) else actions
        numbers = [np.ravel(np.asarray(part)[at]).astype(np.float64) for part in parts]
        return Series(np.concatenate(numbers), 0.0, 1.0, target=False)
    action = np.asarray(actions)[at]
    if action.ndim == 0 and action.dtype.kind in "iuUO":
        return Words(str(action), target=False, whole=False)
    return Series(np.ravel(action).astype(np.float64), 0.0, 1.0, target=False)


def open_corpus(path: str, split: Split) -> Worlds:
    """The frames of FOLDER, a task's demonstrations (data/babyai_go_to_local), or FOLDER@PAST with the frames shown.

    Raises:
        FileNotFoundError: no demonstrations there.
        ValueError: another split, observations without a picture, or too few episodes for both splits.
    """
    if split not in ("train", "test"):
        raise ValueError(f"worlds:{path} has the splits train and test, not {split}")
    folder, _, past = path.partition("@")
    if past and not (past.isdigit() and int(past) > 0):
        raise ValueError(f"worlds:{path}: after @ stands how many frames are shown, got {past!r}")
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"no demonstrations in {folder}; collect some, or give the folder of a task's data set")
    demonstrations = Demonstrations.open(folder)
    found = leaves(demonstrations.observation_space, "observation")
    formats = [image_format(each.space) for each in found]
    leaf = next((at for at, form in enumerate(formats) if form is not None), None)
    if leaf is None:
        raise ValueError(f"worlds:{path}: no picture is observed there, but {', '.join(each.path for each in found)}")
    columns = demonstrations.columns(quiet=True)
    numbers = np.arange(len(columns.lengths))
    chosen = numbers[(numbers % EVERY == EVERY - 1) == (split == "test")]
    form = formats[leaf]
    assert form is not None
    corpus = Worlds(columns, form, leaf, chosen, int(past or PAST))
    if not len(corpus):
        raise ValueError(f"worlds:{path} has {len(numbers)} episodes; every {EVERY}th is test, so that 10 are needed")
    return corpus
