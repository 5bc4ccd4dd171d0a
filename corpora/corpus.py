"""What a corpus is: numbered documents of one kind, and what should be measured on them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from generalist.tokenizers.parts import Document

Measure = Literal["text", "caption", "answer", "label", "dialogue", "drawing", "series", "world", "choice"]
"""What the target of a document is: running text, a caption of a picture, an answer to a question, one of a few labels,
what an assistant says, a picture, the numbers that come next, the frame that comes next, one of a question's choices.
"""

Split = Literal["train", "test", "heldout"]

HELD_OUT = 50
"""Of a corpus without a split of its own, every so-manieth document is the test split."""


class BadExampleError(ValueError):
    """One example cannot be read; the message names it and says why. Others can."""


class Corpus(Protocol):
    """Documents [0, len). Reading one is a function of its number; opening a corpus reads no more than an index."""

    @property
    def measure(self) -> Measure: ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Every possible answer where `measure` is "label", else empty."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Document:
        """Raises BadExampleError, naming file and line or member, if this document is damaged."""
        ...


def sizes_of(corpus: Corpus) -> Sequence[int] | None:
    """UTF-8 bytes of each document of a corpus of texts that knows them without reading (`corpus.sizes`), else None."""
    return getattr(corpus, "sizes", None)


def note_of(corpus: Corpus) -> str:
    """What was passed over as the corpus was opened, hidden files among it (`corpus.note`); "" if nothing was."""
    return getattr(corpus, "note", "")


def groups_of(corpus: Corpus) -> Sequence[int]:
    """Number of the picture of each document where several may share one (`corpus.groups`), else of the document."""
    return getattr(corpus, "groups", range(len(corpus)))


def score_of(corpus: Corpus) -> Callable[[int, str], float] | None:
    """What an answer to document i is worth, in [0, 1], of a corpus that says so itself (`corpus.score`), else None."""
    return getattr(corpus, "score", None)


@dataclass(frozen=True)
class Part:
    """Some documents of a corpus, by number."""

    corpus: Corpus
    chosen: Sequence[int]

    @property
    def measure(self) -> Measure:
        return self.corpus.measure

    @property
    def labels(self) -> tuple[str, ...]:
        return self.corpus.labels

    @property
    def sizes(self) -> Sequence[int] | None:
        sizes = sizes_of(self.corpus)
        return None if sizes is None else [sizes[index] for index in self.chosen]

    @property
    def groups(self) -> Sequence[int]:
        groups = groups_of(self.corpus)
        return [groups[index] for index in self.chosen]

    @property
    def note(self) -> str:
        return note_of(self.corpus)

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Document:
        return self.corpus[self.chosen[index]]


def every_so_manieth(corpus: Corpus, split: Split, *, every: int = HELD_OUT) -> Part:
    """The training or test documents of a corpus that has no split of its own; a picture is in one of them.

    Raises:
        ValueError: the split is neither, or would be empty.
    """
    if split not in ("train", "test"):
        raise ValueError(f"this corpus has the splits train and test, not {split}")
    groups = groups_of(corpus)
    chosen = [index for index, group in enumerate(groups) if (group % every == every - 1) == (split == "test")]
    if not chosen:
        many = f"{len(corpus)} documents" + ("" if isinstance(groups, range) else f" of {max(groups) + 1} pictures")
        raise ValueError(f"the {split} split is empty: the corpus has {many}, every {every}th is test")
    return Part(corpus, chosen)
