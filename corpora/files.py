"""Files of a corpus: which of a folder count, and bytes by offset, also of a .gz.

A .gz has no random access, so its content is held in memory, compressed in blocks: about as large as the file. Unpack
large ones.
"""

import gzip
import zlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

_BLOCK = 1 << 18
MOST_LINE = 1 << 24
"""Bytes of the longest line of JSON that is read."""
MOST_UNPACKED, MOST_RATIO = 1 << 30, 100
"""A .gz that unpacks to more bytes than the first, and to more than so many times its size, is no corpus."""


class Source(Protocol):
    """A file whose bytes are read by offset."""

    @property
    def path(self) -> Path: ...

    def open(self) -> BinaryIO: ...

    def read(self, at: int, length: int) -> bytes: ...


@dataclass(frozen=True, eq=False)
class Plain:
    """A file as it is."""

    path: Path

    def open(self) -> BinaryIO:
        return self.path.open("rb")

    def read(self, at: int, length: int) -> bytes:
        with self.path.open("rb") as stream:
            stream.seek(at)
            return stream.read(length)


@dataclass(frozen=True, eq=False)
class Packed:
    """The content of a .gz in blocks of `_BLOCK` bytes (the last is shorter), each compressed by itself."""

    path: Path
    blocks: tuple[bytes, ...] = field(repr=False)

    def open(self) -> BinaryIO:
        return gzip.open(self.path, "rb")  # pyright: ignore[reportReturnType]

    def read(self, at: int, length: int) -> bytes:
        first = at // _BLOCK
        blocks = self.blocks[first : (at + length - 1) // _BLOCK + 1]
        return b"".join(map(zlib.decompress, blocks))[at - first * _BLOCK :][:length]


def open_source(path: Path) -> Source:
    """A file, or the content of a .gz.

    Raises:
        ValueError: a .gz that is damaged, or that unpacks to more than any text does.
    """
    if path.suffix.lower() != ".gz":
        return Plain(path)
    most = max(MOST_UNPACKED, MOST_RATIO * path.stat().st_size)
    blocks, size = [], 0
    try:
        with gzip.open(path, "rb") as stream:
            for block in iter(partial(stream.read, _BLOCK), b""):
                size += len(block)
                if size > most:
                    raise ValueError(
                        f"{path} unpacks to more than {most:,} bytes, {MOST_RATIO} times its size: no text does; "
                        "unpack it yourself if that is meant"
                    )
                blocks.append(zlib.compress(block))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}); get the file again, or unpack what is left of it") from None
    return Packed(path, tuple(blocks))


def has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    """In small letters or capitals."""
    return path.name.lower().endswith(suffixes)


def files_of(path: Path, suffixes: tuple[str, ...], *, deep: bool) -> tuple[list[Path], str]:
    """The file, or those of a folder with one of these suffixes in the order of their paths; and what was passed over.

    Names that begin with a dot, which systems and editors leave (.DS_Store, ._x, .git), do not count in a folder.

    Args:
        deep: also of the folders in it.
    """
    if path.is_file():
        return [path], ""
    there = [each for each in (path.rglob if deep else path.glob)("*") if has_suffix(each, suffixes) and each.is_file()]
    hidden = {each for each in there if any(part.startswith(".") for part in each.relative_to(path).parts)}
    note = f"{path}: {len(hidden)} hidden files passed over, such as {min(hidden)}" if hidden else ""
    return sorted(each for each in there if each not in hidden), note
