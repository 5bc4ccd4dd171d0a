"""Documents as a source of the mixture: shuffled, split into rows without loss, damaged ones passed over and named."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import grain
import numpy as np

from generalist.corpora.corpus import BadExampleError, Corpus, sizes_of
from generalist.envs.files import write_atomically
from generalist.tokenizers.bands import Bands
from generalist.tokenizers.document import DocumentLayout
from generalist.tokenizers.parts import Document, Part, Picture, Words, is_read
from generalist.tokenizers.pictures import turned
from generalist.tokenizers.sequence import Capacity, TokenSequence

TRIES = 1000
"""So many damaged documents in a row are taken for a damaged corpus."""


@dataclass(frozen=True)
class DocumentSource:
    """Documents of one corpus: element i is a function of (seed, index of the source, i).

    A text that is longer than a row is several elements, which together hold every byte of it once; where sizes are not
    known before reading (TFDS), it is one element, another piece of it each time, drawn at random. Other documents are
    one element each and lose what does not fit the row.

    Args:
        index: the source's number, stored with every token.
        name: of the corpus.
        pictures: that a row has room for.
        turns: whether pictures are turned that the layout wants turned: in training, not where it is measured.
        bad: damaged documents that were met, by name.
    """

    index: int
    name: str
    layout: DocumentLayout
    corpus: Corpus
    sequence_length: int
    pictures: int
    seed: int
    turns: bool = True
    bad: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def piece_bytes(self) -> int:
        """Bytes of a piece of text: with the separator, the `end` and a character that a cut would split, a row."""
        return self.sequence_length - 5

    @cached_property
    def ends(self) -> np.ndarray | None:
        """int64[documents]: number of pieces up to each document's end; None where every document is one piece."""
        sizes = sizes_of(self.corpus)
        if sizes is None or not len(sizes):
            return None
        pieces = np.maximum(1, -(-np.asarray(sizes, np.int64) // self.piece_bytes))
        return None if pieces.max() == 1 else np.cumsum(pieces)

    @cached_property
    def _order(self) -> grain.MapDataset:
        """Numbers of pieces, shuffled anew in each epoch; nothing is stored."""
        count = len(self.corpus) if self.ends is None else int(self.ends[-1])
        seed = np.random.default_rng((self.seed, self.index)).integers(2**31)
        return grain.MapDataset.range(count).shuffle(seed=int(seed))

    def _read(self, i: int) -> Document:
        at = int(cast(int, self._order[i]))
        if self.ends is None:
            document = self.corpus[at]
            match document:
                case (Words() as words,):
                    count = -(-len(words.text.encode(errors="replace")) // self.piece_bytes)
                    piece = np.random.default_rng((self.seed, self.index, i)).integers(max(1, count))
                    return (piece_of(words, int(piece), self.piece_bytes),)
            return document
        number = int(np.searchsorted(self.ends, at, side="right"))
        first = int(self.ends[number - 1]) if number else 0
        [words] = self.corpus[number]
        assert isinstance(words, Words)
        return (piece_of(words, at - first, self.piece_bytes),)

    def document(self, i: int) -> Document:
        """The document, or piece of one, of element i; after a damaged one, the next that is not.

        Raises:
            BadExampleError: `TRIES` in a row are damaged.
        """
        for tried in range(TRIES):
            try:
                return self._checked(self._read(i + tried))
            except BadExampleError as error:
                problem = str(error)
                self.bad.setdefault(problem.split(": ")[0], problem)  # FILE:LINE
        raise BadExampleError(f"{self.name}: {TRIES} documents in a row are damaged; the last: {problem}")

    def _checked(self, document: Document) -> Document:
        read = [part for part in document if is_read(part)]
        if (pictures := len(read)) > self.pictures:
            said = next((part.text for part in document if isinstance(part, Words)), "")
            raise BadExampleError(
                f"{self.name}, {said[:40]!r}: {pictures} pictures, a row has room for {self.pictures}; raise "
                "pictures_per_row"
            )
        options = self.layout.pictures
        for part in read if options.images == "bands" else []:
            have = part.count if isinstance(part, Bands) else part.pixels.shape[2]
            if have < max(options.choose, default=0) + 1 or (not options.choose and have != options.shape[2]):
                wanted = f"band {max(options.choose)} (from 0)" if options.choose else f"{options.shape[2]} bands"
                raise BadExampleError(f"{self.name}: a picture of {have} bands, {wanted} are read")
        return document

    def __getitem__(self, i: int) -> TokenSequence:
        document = self.document(int(i))
        if self.turns and self.layout.pictures.turned:
            rng = np.random.default_rng((self.seed, self.index, int(i), 1))
            document = tuple(_turned(part, rng) for part in document)
        return self.layout.encode([document], source=self.index, limit=self.sequence_length)

    @property
    def capacity(self) -> Capacity:
        """The smallest row that holds any one element, with room for `pictures` pictures."""
        layout, count = self.layout, min(self.pictures, self.sequence_length // self.layout.picture_tokens)
        if self.pictures and not count:
            raise ValueError(
                f"a picture of {self.name} has {layout.picture_tokens} tokens and does not fit sequence_length "
                f"{self.sequence_length}; raise it, shrink pictures.shape, or show pictures whole (images conv)"
            )
        return replace(layout.shows(count), tokens=self.sequence_length, targets=self.sequence_length)


def _turned(part: Part, rng: np.random.Generator) -> Part:
    if isinstance(part, Bands):
        return replace(part, values=turned(part.values, rng))
    return replace(part, pixels=turned(part.pixels, rng)) if isinstance(part, Picture) and not part.written else part


def piece_of(words: Words, number: int, size: int) -> Words:
    """Piece `number` of a text cut every `size` UTF-8 bytes, each cut moved on to the next character.

    Pieces hold at most `size + 3` bytes and join to the text.
    """
    raw = words.text.encode(errors="replace")
    start, stop = (_boundary(raw, at * size) for at in (number, number + 1))
    return Words(raw[start:stop].decode(), words.target, words.whole and stop == len(raw))


def _boundary(raw: bytes, at: int) -> int:
    while at < len(raw) and raw[at] & 0xC0 == 0x80:
        at += 1
    return min(at, len(raw))


def keep_damaged(path: Path, sources: Sequence[Any]) -> int:
    """Write the damaged documents that the sources met, by source and name, if there are any; gives their number."""
    met = {source.name: dict(source.bad) for source in sources if isinstance(source, DocumentSource) and source.bad}
    if met:
        write_atomically(path, json.dumps(met, indent=1).encode())  # for people: nothing reads it
    return sum(map(len, met.values()))
