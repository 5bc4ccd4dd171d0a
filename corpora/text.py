"""Text files as documents: .txt and .md whole, .jsonl and .jsonl.gz one text per line (field `text`).

Texts are cut, without loss, into pieces of at most `PIECE_BYTES` bytes of UTF-8; a document is one piece. Opening
streams through the files and keeps 27 bytes per piece; reading a piece of .txt or .md reads only its bytes, one of
.jsonl its line (the last two lines are kept, for texts of many pieces). Of a .gz see `files.py`.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from generalist.corpora.corpus import BadExampleError, Measure
from generalist.corpora.files import MOST_LINE, Source, files_of, has_suffix, open_source
from generalist.corpora.json_lines import numbered_lines, parse_line, string_field
from generalist.tokenizers.parts import Document, Words

PIECE_BYTES = 1000
SUFFIXES = (".txt", ".md", ".jsonl", ".jsonl.gz")

_BLOCK = 1 << 18
_ROW = struct.Struct("<IIqIIH?")
_FIELDS = [
    ("source", "<u4"),
    ("line", "<u4"),  # from 1; 0 where the file is one text
    ("at", "<i8"),  # bytes of the piece in a whole file, or of the line
    ("length", "<u4"),
    ("begin", "<u4"),  # bytes of the piece in the text of a line
    ("size", "<u2"),
    ("last", "?"),
]


def open_corpus(path: str | Path) -> "TextCorpus":
    """The texts of a file, or of all files of a folder and the folders in it, in the order of their paths.

    Empty texts and empty files give no documents; hidden files of a folder are passed over, see `note`. A text
    that is not UTF-8, or a line without one, is an error when it is read; the others stay readable.

    Raises:
        FileNotFoundError: nothing at `path`.
        ValueError: no text at all, a file of another kind, or a damaged .gz.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no file or folder at {path}; give one with {', '.join(SUFFIXES)}")
    if path.is_file() and not has_suffix(path, SUFFIXES):
        raise ValueError(f"{path} is none of {', '.join(SUFFIXES)}; rename or convert it")
    files, note = files_of(path, SUFFIXES, deep=True)
    sources = tuple(map(open_source, files))
    rows = bytearray()
    for number, source in enumerate(sources):
        for row in _pieces(source):
            rows += _ROW.pack(number, *row)
    if not rows:
        raise ValueError(f"no text in {path}: {len(files)} files ({', '.join(SUFFIXES)}), all empty; give some text")
    return TextCorpus(sources, np.frombuffer(bytes(rows), np.dtype(_FIELDS)), note)


def _pieces(source: Source) -> Iterator[tuple]:
    """Rows of the index, without the number of the source."""
    with source.open() as stream:
        if ".jsonl" not in source.path.name.lower():
            at = 0
            for size, last in _cuts(stream):
                yield 0, at, size, 0, size, last
                at += size
            return
        for number, at, length, line in numbered_lines(stream):
            try:
                text = _text_of(line, f"{source.path}:{number}")
            except BadExampleError:  # a document all the same: reading it says what is wrong
                yield number, at, min(length, MOST_LINE + 1), 0, 0, True
                continue
            begin = 0
            for size, last in _cuts(io.BytesIO(text)):
                yield number, at, length, begin, size, last
                begin += size


def _cuts(stream: BinaryIO) -> Iterator[tuple[int, bool]]:
    """Size in bytes of every piece of a text, and whether it is the last."""
    held, at = b"", 0
    while block := stream.read(_BLOCK):
        held, at = held[at:] + block, 0
        while len(held) - at > PIECE_BYTES:
            size = _cut(held, at)
            yield size, False
            at += size
    if len(held) > at:
        yield len(held) - at, True


def _cut(held: bytes, at: int) -> int:
    """Bytes of the piece at `at`, where more than `PIECE_BYTES` follow; it ends after white space or a character."""
    end = at + PIECE_BYTES
    while end > at + PIECE_BYTES - 3 and held[end] & 0xC0 == 0x80:
        end -= 1
    if held[end] & 0xC0 == 0x80:
        end = at + PIECE_BYTES  # no UTF-8 at all; reading says so
    from_ = at + PIECE_BYTES * 3 // 4
    space = max(held.rfind(each, from_, end) for each in (b" ", b"\n", b"\t", b"\r"))
    return (end if space < 0 else space + 1) - at


def _text_of(line: bytes, where: str) -> bytes:
    # JSON can hold lone surrogates, which have no UTF-8 form; they are passed on as they are.
    return string_field(parse_line(line, where), "text", where).encode(errors="surrogatepass")


@lru_cache(maxsize=2)
def _text_at(source: Source, at: int, length: int, where: str) -> bytes:
    return _text_of(source.read(at, length), where)


@dataclass(frozen=True, eq=False)
class TextCorpus:
    """Pieces of texts in the order of files, lines and places in the text."""

    sources: tuple[Source, ...]
    index: np.ndarray = field(repr=False)
    note: str = ""

    measure: Measure = field(default="text", init=False)
    labels: tuple[str, ...] = field(default=(), init=False)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: int) -> Document:
        number, line, at, length, begin, size, last = self.index[index].item()
        source = self.sources[number]
        if line:
            raw = _text_at(source, at, length, f"{source.path}:{line}")[begin : begin + size]
            return (Words(raw.decode(errors="surrogatepass"), whole=last),)
        try:
            return (Words(source.read(at, length).decode(), whole=last),)
        except UnicodeDecodeError as error:
            line = _lines_before(source, at + error.start) + 1
            raise BadExampleError(
                f"{source.path}:{line}: byte {at + error.start} is not UTF-8; write the file as UTF-8"
            ) from None


def _lines_before(source: Source, at: int) -> int:
    with source.open() as stream:
        return sum(stream.read(min(_BLOCK, at - start)).count(b"\n") for start in range(0, at, _BLOCK))
