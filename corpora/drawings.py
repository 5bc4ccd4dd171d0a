"""Pictures to be written: the documents of a corpus of captions or labels turned around, words first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from generalist.corpora.corpus import BadExampleError, Corpus, Measure, note_of
from generalist.tokenizers.parts import Document, Picture, Words

UNSAID = 10
"""Of the training documents every so-manieth says nothing, so that guidance has something to compare with (Ho &
Salimans 2022)."""

Reader = Callable[[np.ndarray], str]
"""What a picture, uint8[height, width, channels], shows, in the words of its corpus."""
Learner = Callable[[Sequence[np.ndarray], Sequence[str]], Reader]
"""A reader that was fitted on pictures and the words that they are meant to show."""


@dataclass(frozen=True, eq=False)
class Drawings:
    """Documents (words, picture that is written), or the picture alone.

    Args:
        corpus: of captions or labels: a picture and words in each document.
        unsaid: every so-manieth document is the picture alone; 0 for none.
    """

    corpus: Corpus
    unsaid: int = 0

    measure: Measure = field(default="drawing", init=False)
    labels: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self):
        if self.corpus.measure not in ("caption", "label"):
            raise ValueError(f"drawings are of captions or labels, and this corpus is for {self.corpus.measure}")

    @property
    def note(self) -> str:
        return note_of(self.corpus)

    @property
    def reader(self) -> Reader | None:
        """What reads a picture back without a learned judge of our own; None where the corpus has none."""
        return getattr(self.corpus, "reader", None)

    @property
    def learner(self) -> Learner | None:
        """What fits such a reader on other pictures; None where the corpus has none."""
        return getattr(self.corpus, "learner", None)

    def __len__(self) -> int:
        return len(self.corpus)

    def __getitem__(self, index: int) -> Document:
        """Raises BadExampleError as the corpus, and for a document without words or with other than one picture."""
        document = self.corpus[index]
        words = " ".join(part.text for part in document if isinstance(part, Words))
        pictures = [part for part in document if isinstance(part, Picture)]
        if len(pictures) != 1 or not words:
            raise BadExampleError(
                f"document {index}: one picture and words are needed, it has {len(pictures)} pictures"
            )
        written = replace(pictures[0], written=True)
        if self.unsaid and index % self.unsaid == self.unsaid - 1:
            return (written,)
        return Words(words, target=False), written
