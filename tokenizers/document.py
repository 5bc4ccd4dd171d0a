"""Documents: texts, pictures and speakers in a row, as token sequences. A text, a caption, a question, a dialogue.

Gato's vision and language data are such rows (Reed et al. 2022, sec. 2.1 and 3). Here a document begins with the
separator, so that its first word has something to be predicted from, and a text that is whole ends with `end`, so that
who generates knows when to stop. The paper mentions neither. Not here: where documents come from; see `corpora/`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Literal

import numpy as np
from gymnasium import spaces

from generalist.tokenizers.image import ImageFormat, PatchField, WholeImageField
from generalist.tokenizers.sequence import NO_LOCAL, UNLIMITED, Kind, TokenSequence
from generalist.tokenizers.space import Leaf
from generalist.tokenizers.text import TextTokenizer
from generalist.tokenizers.visual import VisualTokenizer
from generalist.tokenizers.vocabulary import Vocabulary


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


@dataclass(frozen=True, eq=False)
class Picture:
    """uint8 pixels [height, width, channels] of any size; channels are 1 (grey), 3 (colour) or 4 (alpha is dropped).

    Args:
        written: the picture is a target: its ids (`generalist.tokenizers.visual`) stand in the document and carry a
            loss. Otherwise it is read, as patches or whole.
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


PICTURE = Leaf((), "picture", spaces.Box(0, 255, (1, 1, 3), np.uint8))
"""Of every picture, whatever its size, which a layout's options say."""

Part = Words | Picture | Speaker
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


@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """How pictures become tokens. All are brought to one size: static shapes want so.

    Args:
        images: as patches (the paper), or whole, one token, for a convolutional encoder.
        shape: (height, width, channels) to which pictures are brought; channels 1 (grey) or 3 (colour).
        patch_size: side of a square patch in pixels.
    """

    images: Literal["patches", "conv"] = "patches"
    shape: tuple[int, int, int] = (64, 64, 3)
    patch_size: int = 16

    def __post_init__(self):
        object.__setattr__(self, "shape", tuple(self.shape))
        if self.images not in ("patches", "conv"):
            raise ValueError(f"images must be patches or conv, got {self.images!r}")
        if len(self.shape) != 3 or min(self.shape) < 1 or self.shape[2] not in (1, 3):
            raise ValueError(f"the shape of pictures must be (height, width, 1 or 3), got {self.shape}")
        if self.patch_size < 1:
            raise ValueError(f"patch_size must be positive, got {self.patch_size}")


@dataclass(frozen=True)
class DocumentLayout:
    """How documents become tokens: one segment each, every position may look at all before it in its document.

    Args:
        visual: what gives pictures that are written their ids; None where none are.
    """

    vocabulary: Vocabulary
    text: TextTokenizer
    pictures: PictureOptions = PictureOptions()
    visual: VisualTokenizer | None = None

    def __post_init__(self):
        if self.visual is not None and self.visual.size != self.vocabulary.visual_size:
            raise ValueError(
                f"the visual tokenizer {self.visual.version} has {self.visual.size} ids, the vocabulary holds "
                f"{self.vocabulary.visual_size}; build it with Vocabulary(visual_size={self.visual.size})"
            )
        if self.text.size > self.vocabulary.text_size:
            raise ValueError(
                f"the text tokenizer {self.text.version} has {self.text.size} ids, the vocabulary holds "
                f"{self.vocabulary.text_size}; build it with Vocabulary(text_size={self.text.size})"
            )

    @cached_property
    def _field(self) -> PatchField:
        height, width, channels = self.pictures.shape
        form = ImageFormat(1, height, width, channels, False)
        return PatchField(PICTURE, form, self.pictures.patch_size, channels)

    @property
    def patches(self) -> int:
        """Patches of a picture, 0 where it is shown whole."""
        return self._field.count if self.pictures.images == "patches" else 0

    @property
    def patch_values(self) -> int:
        return self.pictures.patch_size**2 * self.pictures.shape[2] if self.patches else 0

    @property
    def picture_tokens(self) -> int:
        """Positions that a picture takes that is read."""
        return self.patches or 1

    @property
    def written_tokens(self) -> int:
        """Positions that a picture takes that is written. Raises ValueError where there is no visual tokenizer."""
        return self._tokenizer.config.tokens

    @property
    def _tokenizer(self) -> VisualTokenizer:
        if self.visual is None:
            raise ValueError(
                "a picture that is written needs a visual tokenizer: generalist tokenizer train-images CORPUS "
                "--out FILE, then --train.visual FILE"
            )
        return self.visual

    def length(self, document: Document) -> int:
        """Positions of a whole document."""
        total = 1
        for part in document:
            if isinstance(part, Words):
                total += len(self.text.encode(part.text)) + part.whole
            elif isinstance(part, Speaker):
                total += 1
            else:
                total += self.written_tokens if part.written else self.picture_tokens
        return total

    def encode(self, documents: Sequence[Document], *, source: int, limit: int | None = None) -> TokenSequence:
        """One segment per document, one after the other, without padding.

        Args:
            source: index of the source.
            limit: positions; what is beyond is cut off, a picture that does not fit whole with it.

        Raises:
            ValueError: no documents, or a negative limit.
        """
        if not documents or (limit is not None and limit < 0):
            raise ValueError(f"need at least one document and a limit of 0 or more, got {len(documents)} and {limit}")
        pieces = [self._tokens(document, index + 1) for index, document in enumerate(documents)]
        columns = {name: np.concatenate([piece[0][name] for piece in pieces]) for name in pieces[0][0]}
        rows = [(offset + at, pixels) for offset, piece in _offsets(pieces) for at, pixels in piece[1]]
        total = len(columns["ids"]) if limit is None else min(limit, len(columns["ids"]))
        while rows and rows[-1][0] + self.picture_tokens > total:
            total = min(total, rows.pop()[0])
        columns = {name: column[:total] for name, column in columns.items()}
        if total:
            columns["loss_mask"][-1] = False  # nothing follows it
        return TokenSequence(
            **columns,
            timestep=np.zeros(total, np.int32),
            source=np.full(total, source, np.int32),
            context=np.full(total, UNLIMITED, np.int32),
            visible=np.ones(total, np.bool_),
            **self._features(rows),
        )

    def _tokens(self, document: Document, segment: int) -> tuple[dict[str, np.ndarray], list[tuple[int, np.ndarray]]]:
        """Arrays per position, and (position, pixels) of every picture."""
        vocabulary, pictures = self.vocabulary, []
        ids, kinds, wanted = [[vocabulary.separator]], [[Kind.SEPARATOR]], [[False]]
        local = [[NO_LOCAL]]
        length = 1
        for part in document:
            if isinstance(part, Words):
                found = [*self.text.encode(part.text).tolist(), *[vocabulary.end] * part.whole]
                kind, target = Kind.TEXT, part.target
            elif isinstance(part, Speaker):
                found, kind, target = [vocabulary.speaker(part.name)], Kind.SEPARATOR, False
            elif part.written:
                found, kind, target = self._ids_of(part), Kind.VISUAL, True
            else:
                pictures.append((length, part.pixels))
                found = [vocabulary.feature] * self.picture_tokens
                kind, target = (Kind.PATCH if self.patches else Kind.IMAGE), False
            length += len(found)
            ids.append(found)
            kinds.append([kind] * len(found))
            wanted.append([target] * len(found))
            local.append([*range(len(found))] if kind is Kind.VISUAL else [NO_LOCAL] * len(found))
        flat = np.asarray([*chain.from_iterable(ids)], np.int32)
        follows = np.asarray([*[*chain.from_iterable(wanted)][1:], False], np.bool_)
        return {
            "ids": flat,
            "targets": np.where(follows, np.append(flat[1:], 0), 0).astype(np.int32),
            "loss_mask": follows,
            "kind": np.asarray([*chain.from_iterable(kinds)], np.int32),
            "local": np.asarray([*chain.from_iterable(local)], np.int32),
            "position": np.arange(length, dtype=np.int32),
            "segment": np.full(length, segment, np.int32),
        }, pictures

    def _ids_of(self, picture: Picture) -> list[int]:
        """Of a picture that is written."""
        visual = self._tokenizer
        pixels = sized(picture.pixels, PictureOptions(images="conv", shape=visual.config.shape))[0]
        return (visual.encode_once(pixels) + self.vocabulary.visual[0]).tolist()

    def _features(self, rows: list[tuple[int, np.ndarray]]) -> dict[str, np.ndarray]:
        """The feature arrays of a `TokenSequence`; rows are (position of the first token, pixels)."""
        at = np.asarray([at for at, _ in rows], np.int32)
        empty = np.zeros(0, np.int32)
        found = {
            "patches": np.zeros((0, self.patch_values), np.float32),
            "patch_at": empty,
            "patch_rows": np.zeros((0, 2), np.int32),
            "patch_cols": np.zeros((0, 2), np.int32),
            "vectors": np.zeros((0, 0), np.float32),
            "vector_at": empty,
            "images": np.zeros((0, *(self.pictures.shape if not self.patches else (0, 0, 0))), np.uint8),
            "image_at": empty,
            **dict.fromkeys(("answers", "answer_at", "answer_part"), empty),
        }
        if not rows:
            return found
        pixels = np.concatenate([sized(each, self.pictures) for _, each in rows])
        if not self.patches:
            return found | {"images": pixels, "image_at": at}
        row, column = self._field.intervals
        return found | {
            "patches": self._field.encode(pixels).reshape(-1, self.patch_values),
            "patch_at": (at[:, None] + np.arange(self.patches, dtype=np.int32)).reshape(-1),
            "patch_rows": np.tile(row, (len(rows), 1)),
            "patch_cols": np.tile(column, (len(rows), 1)),
        }


def sized(pixels: np.ndarray, options: PictureOptions) -> np.ndarray:
    """uint8[1, *shape]: shrinks by area, enlarges bilinearly, as images of environments."""
    height, width, channels = pixels.shape
    form = ImageFormat(1, height, width, channels, False, "rgb")
    return WholeImageField(PICTURE, form, options.shape).encode(pixels[None])[:, 0]


def _offsets(pieces: list) -> list[tuple[int, tuple]]:
    """Each piece with the position at which it begins."""
    starts = np.cumsum([0] + [len(piece[0]["ids"]) for piece in pieces[:-1]])
    return list(zip(starts.tolist(), pieces, strict=True))
