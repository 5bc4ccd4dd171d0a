"""Documents (`generalist.tokenizers.parts`) as token sequences: a text, a caption, a dialogue.

Gato's vision and language data are such rows (Reed et al. 2022, sec. 2.1 and 3). Here a document begins with the
separator, so that its first word has something to be predicted from, and a text that is whole ends with `end`, so that
who generates knows when to stop. The paper mentions neither. With the tokenizer of a public model documents begin and
end as that model's do, and dialogues are what its chat template writes. Not here: where documents come from; see
`corpora/`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from generalist.tokenizers.bands import Bands, band_patches, false_colour
from generalist.tokenizers.image import ImageFormat, PatchField
from generalist.tokenizers.json_text import JsonTokenizer
from generalist.tokenizers.parts import Document, Picture, Said, Speaker, Words, is_written
from generalist.tokenizers.pictures import PICTURE, PictureOptions, sized
from generalist.tokenizers.sequence import NO_LOCAL, UNLIMITED, Capacity, Kind, TokenSequence
from generalist.tokenizers.series import Series
from generalist.tokenizers.spoken import spoken
from generalist.tokenizers.text import TextTokenizer
from generalist.tokenizers.visual import VisualTokenizer
from generalist.tokenizers.vocabulary import Vocabulary


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
    def vectors(self) -> int:
        """Vectors of a picture, one for each patch of all its bands; 0 where it is shown in colours."""
        (height, width, _), size = self.pictures.shape, self.pictures.patch_size
        return -(-height // size) * -(-width // size) if self.pictures.images == "bands" else 0

    @property
    def picture_tokens(self) -> int:
        """Positions that a picture takes that is read. Raises as `written_tokens`, where they are ids."""
        return self.written_tokens if self.pictures.images == "visual" else self.patches or self.vectors or 1

    @property
    def local_positions(self) -> int:
        """Rows of the table of local positions that it needs."""
        return max(self.vectors, self.visual.config.tokens if self.visual else 0)

    def shows(self, count: int) -> Capacity:
        """The capacity of a sequence of one token for what `count` pictures show."""
        whole = count * (self.pictures.images == "conv")
        return Capacity(
            tokens=1,
            targets=1,
            patches=count * self.patches,
            patch_values=self.patch_values if count else 0,
            vectors=count * self.vectors,
            vector_values=self.pictures.vector_values if count else 0,
            images=whole,
            image_shape=self.pictures.shape if whole else (0, 0, 0),
        )

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

    @property
    def ends(self) -> tuple[int, ...]:
        """Each of these ids ends a text; the first one is written."""
        return self.text.ends or (self.vocabulary.end,)

    @property
    def opening(self) -> tuple[int, ...]:
        """Ids before the first part of a document."""
        return (self.vocabulary.separator,) if self.text.begins is None else self.text.begins

    def _read(self, document: Document) -> tuple[list[int], tuple[Any, ...]]:
        """What a document begins with, and its parts, a dialogue as the text tokenizer's own model has them."""
        text, told = self.text, any(isinstance(part, Speaker) for part in document)
        if told and isinstance(text, JsonTokenizer) and (text.speaks or self.vocabulary.text_alone):
            return [], spoken(document, text)
        return [*self.opening], document

    def length(self, document: Document) -> int:
        """Positions of a whole document."""
        opening, parts = self._read(document)
        total = len(opening)
        for part in parts:
            if isinstance(part, Words):
                total += len(self.text.encode(part.text)) + part.whole
            elif isinstance(part, Said):
                total += len(part.ids)
            elif isinstance(part, Speaker):
                total += 1
            elif isinstance(part, Series):
                total += len(part.values)
            else:
                total += self.written_tokens if is_written(part) else self.picture_tokens
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
        rows = [(offset + at, picture) for offset, piece in _offsets(pieces) for at, picture in piece[1]]
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

    def _tokens(self, document: Document, segment: int) -> tuple[dict[str, np.ndarray], list["Shown"]]:
        """Arrays per position, and (position, picture) of every picture that is read."""
        vocabulary, pictures = self.vocabulary, []
        opening, parts = self._read(document)
        length = len(opening)
        kind = Kind.SEPARATOR if self.text.begins is None else Kind.TEXT
        ids, kinds, wanted, local = [opening], [[kind] * length], [[False] * length], [[NO_LOCAL] * length]
        for part in parts:
            if isinstance(part, Words):
                found = [*self.text.encode(part.text).tolist(), *self.ends[:1] * part.whole]
                kind, target = Kind.TEXT, part.target
            elif isinstance(part, Said):
                found, kind, target = [*part.ids], Kind.TEXT, part.target
            elif isinstance(part, Speaker):
                found, kind, target = [vocabulary.speaker(part.name)], Kind.SEPARATOR, False
            elif isinstance(part, Series):
                found, kind, target = part.ids(vocabulary).tolist(), Kind.CONTINUOUS, part.target
            elif self._by_ids(part):
                found, kind, target = self._ids_of(part), Kind.VISUAL, is_written(part)
            else:
                pictures.append((length, part))
                found = [vocabulary.feature] * self.picture_tokens
                kind, target = READ_AS[self.pictures.images], False
            length += len(found)
            ids.append(found)
            kinds.append([kind] * len(found))
            wanted.append([target] * len(found))
            local.append([*range(len(found))] if kind in PLACED else [NO_LOCAL] * len(found))
        flat = np.asarray([*chain.from_iterable(ids)], np.int32)
        follows = np.asarray([*chain.from_iterable(wanted), False], np.bool_)[1 : length + 1]
        follows[-1:] = False
        return {
            "ids": flat,
            "targets": np.where(follows, np.append(flat, 0)[1 : length + 1], 0).astype(np.int32),
            "loss_mask": follows,
            "kind": np.asarray([*chain.from_iterable(kinds)], np.int32),
            "local": np.asarray([*chain.from_iterable(local)], np.int32),
            "position": np.arange(length, dtype=np.int32),
            "segment": np.full(length, segment, np.int32),
        }, pictures

    def _by_ids(self, picture: Picture | Bands) -> bool:
        """Whether a picture is its ids: one that is written, or every one."""
        return is_written(picture) or self.pictures.images == "visual"

    def _ids_of(self, picture: Picture | Bands) -> list[int]:
        visual = self._tokenizer
        pixels = sized(_pixels_of(picture), PictureOptions(images="conv", shape=visual.config.shape))[0]
        return (visual.encode_once(pixels) + self.vocabulary.visual[0]).tolist()

    def _features(self, rows: list["Shown"]) -> dict[str, np.ndarray]:
        """The feature arrays of a `TokenSequence`; rows are (position of the first token, picture)."""
        at = np.asarray([at for at, _ in rows], np.int32)
        empty = np.zeros(0, np.int32)
        found = {
            "patches": np.zeros((0, self.patch_values), np.uint8),
            "patch_at": empty,
            "patch_rows": np.zeros((0, 2), np.int32),
            "patch_cols": np.zeros((0, 2), np.int32),
            "vectors": np.zeros((0, 0), np.float32),
            "vector_at": empty,
            "images": np.zeros((0, *self.shows(1).image_shape), np.uint8),
            "image_at": empty,
            **dict.fromkeys(("answers", "answer_at", "answer_part"), empty),
        }
        if not rows:
            return found
        places = (at[:, None] + np.arange(self.picture_tokens, dtype=np.int32)).reshape(-1)
        if self.vectors:
            vectors = [self._vectors_of(picture) for _, picture in rows]
            return found | {"vectors": np.concatenate(vectors), "vector_at": places}
        pixels = np.concatenate([sized(_pixels_of(picture), self.pictures) for _, picture in rows])
        if not self.patches:
            return found | {"images": pixels, "image_at": at}
        row, column = self._field.intervals
        return found | {
            "patches": self._field.encode(pixels).reshape(-1, self.patch_values),
            "patch_at": places,
            "patch_rows": np.tile(row, (len(rows), 1)),
            "patch_cols": np.tile(column, (len(rows), 1)),
        }

    def _vectors_of(self, picture: Picture | Bands) -> np.ndarray:
        """float32[vectors, vector_values]."""
        options = self.pictures
        if not options.means:
            raise ValueError("bands are shown by their means and spreads, which this layout has none of")
        values = picture.values if isinstance(picture, Bands) else picture.pixels.astype(np.float32)
        return band_patches(options.chosen(values), options.shape, options.patch_size, options.means, options.spreads)


Shown = tuple[int, Picture | Bands]
"""The position of its first token, and a picture that is read."""
READ_AS = {"patches": Kind.PATCH, "conv": Kind.IMAGE, "bands": Kind.VECTOR}
PLACED = (Kind.VISUAL, Kind.VECTOR)
"""Whose place in a picture the local position says."""


def _pixels_of(picture: Picture | Bands) -> np.ndarray:
    return picture.pixels if isinstance(picture, Picture) else false_colour(picture)


def _offsets(pieces: list) -> list[tuple[int, tuple]]:
    """Each piece with the position at which it begins."""
    starts = np.cumsum([0] + [len(piece[0]["ids"]) for piece in pieces[:-1]])
    return list(zip(starts.tolist(), pieces, strict=True))
