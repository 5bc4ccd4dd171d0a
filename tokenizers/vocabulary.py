"""The one table of token ids: disjoint ranges for text, continuous bins, discrete values, special tokens and pictures.

Gato's text says that discrete values reuse ids [0, 1024), which collide with text; here the ranges are kept apart.
With a 32,000-piece text tokenizer the text and continuous ranges are Gato's own (Reed et al. 2022, sec. 2.1).
"""

from dataclasses import dataclass

VERSION = 2
"""Raised whenever the meaning of an id changes. Stored in every checkpoint and checked on load."""

SPEAKERS = ("system", "user", "assistant")
SPECIALS = ("separator", "feature", "pad", "end", "blank", *SPEAKERS)


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Half-open id ranges [start, stop) for every kind of token.

    Args:
        text_size: number of text ids (256 for bytes; 32,000 in the paper).
        bins: number of uniform bins for continuous values (1024 in the paper).
        discrete_size: number of ids for discrete values (1024 in the paper).
        visual_size: number of ids of pictures that are written (`generalist.tokenizers.visual`). They come last, so
            that no other id depends on them.
        text_alone: there are no ids but those of text: the vocabulary of a public language model as it is.
        version: the meaning of the table; see `VERSION`.
    """

    text_size: int = 256
    bins: int = 1024
    discrete_size: int = 1024
    visual_size: int = 0
    text_alone: bool = False
    version: int = VERSION

    def __post_init__(self):
        for name in ("text_size", "bins", "discrete_size"):
            if getattr(self, name) < 2:
                raise ValueError(f"Vocabulary.{name} must be at least 2, got {getattr(self, name)}")
        if self.text_alone and self.visual_size:
            raise ValueError("Vocabulary.text_alone has no ids of pictures: visual_size must be 0")
        if self.visual_size < 0:
            raise ValueError(f"Vocabulary.visual_size must not be negative, got {self.visual_size}")

    @property
    def text(self) -> tuple[int, int]:
        return 0, self.text_size

    @property
    def continuous(self) -> tuple[int, int]:
        return self.text_size, self.text_size + self.bins

    @property
    def discrete(self) -> tuple[int, int]:
        start = self.text_size + self.bins
        return start, start + self.discrete_size

    @property
    def specials(self) -> tuple[int, int]:
        start = self.discrete[1]
        return start, start + len(SPECIALS)

    @property
    def visual(self) -> tuple[int, int]:
        start = self.specials[1]
        return start, start + self.visual_size

    @property
    def separator(self) -> int:
        """Between the observation and the action of a timestep (sec. 2.1); begins a document."""
        return self.specials[0]

    @property
    def feature(self) -> int:
        """Placeholder id at positions whose embedding comes from a patch, a vector or an image."""
        return self.specials[0] + 1

    @property
    def pad(self) -> int:
        return self.specials[0] + 2

    @property
    def blank(self) -> int:
        """Stands for an action of a chunk that would lie behind the end of its episode; see `LayoutOptions.chunk`."""
        return self.specials[0] + 4

    @property
    def end(self) -> int:
        """Ends a text action that is shorter than its space allows, and a text of a document."""
        return self.specials[0] + 3

    def speaker(self, name: str) -> int:
        """Comes before what the system, the user or the assistant says in a dialogue."""
        if name not in SPEAKERS:
            raise ValueError(f"a speaker is one of {', '.join(SPEAKERS)}, got {name!r}")
        return self.specials[0] + 5 + SPEAKERS.index(name)

    @property
    def size(self) -> int:
        return self.text_size if self.text_alone else self.visual[1]
