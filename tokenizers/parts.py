"""What documents are made of: texts, pictures, speakers, numbers. `generalist.tokenizers.document` has their tokens."""

from dataclasses import dataclass
from typing import Literal, TypeGuard

import numpy as np

from generalist.tokenizers.bands import Bands
from generalist.tokenizers.series import Series


@dataclass(frozen=True)
class Words:
    """A text.

    Args:
        target: whether its tokens, and the `end` after it, carry a loss.
        whole: False where the text goes on in another document; then no `end` follows.
    """

    text: str
    target: bool = True
    whole: bool = True


@dataclass(frozen=True)
class Choice(Words):
    """The right answer to a question.

    Args:
        among: all that can be chosen, the right one too.
    """

    among: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Picture:
    """uint8 pixels [height, width, channels] of any size; channels are 1 (grey), 3 (colour) or 4 (alpha is dropped).

    Args:
        written: the picture is a target: its ids (`generalist.tokenizers.visual`) stand in the document and carry a
            loss. Otherwise it is read, as `PictureOptions` says.
    """

    pixels: np.ndarray
    written: bool = False

    def __post_init__(self):
        shape = np.shape(self.pixels)
        if self.pixels.dtype != np.uint8 or len(shape) != 3 or shape[2] not in (1, 3, 4) or not min(shape):
            raise ValueError(
                f"a picture is uint8 [height, width, 1, 3 or 4 channels], got {self.pixels.dtype} of shape {shape}"
            )


@dataclass(frozen=True)
class Speaker:
    """Who says the words that follow."""

    name: Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Said:
    """Ids of text as they are: a part of a dialogue in the words of a public model, or a text that was cut.

    Args:
        target: whether they carry a loss.
    """

    ids: tuple[int, ...]
    target: bool


Part = Words | Said | Picture | Bands | Speaker | Series
Document = tuple[Part, ...]


def prompt_and_answer(document: Document) -> tuple[Document, str]:
    """A document cut before its last target: what is shown to a model, and what it should say.

    Raises:
        ValueError: no text of the document is a target.
    """
    for index in range(len(document) - 1, -1, -1):
        part = document[index]
        if isinstance(part, Words) and part.target:
            return document[:index], part.text
    raise ValueError("a document without a target has no answer")


def is_read(part: Part) -> TypeGuard[Picture | Bands]:
    """Whether it is a picture that is read."""
    return isinstance(part, Picture | Bands) and not is_written(part)


def is_written(part: Part) -> bool:
    return isinstance(part, Picture) and part.written
