"""How large the records of an array_record file become when they are unpacked, read from its headers.

The file is Riegeli's: blocks of 64 KiB that begin with a header of 24 bytes, and through them chunks, whose headers of
40 bytes say how many bytes follow and how many they become (riegeli/doc/riegeli_records_file_format.md).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from generalist.demonstrations.public.reader import BadDataError

BLOCK, BLOCK_HEADER = 1 << 16, 24
CHUNK_HEADER = struct.Struct("<QQQQQ")
"""Hash, size of the data, its hash, kind (one byte) and number of records, and the size when it is unpacked."""
LARGE, RATIO = 1 << 28, 200
"""A chunk that becomes larger than this is read only if it does not grow by more than that: pictures and arrays do not,
a chunk that is made to fill the memory does."""


def check_chunks(path: Path) -> None:
    """Raises BadDataError for a chunk that grows too much; what is damaged is left to the reader and its checksums."""
    with path.open("rb") as file:
        for size, unpacked in _chunks(file):
            if unpacked > LARGE and unpacked > RATIO * size:
                raise BadDataError(
                    f"{path} has {size:,} bytes that become {unpacked:,} when they are unpacked, and is not read: "
                    f"write it with less compression, if it is your own"
                )


def _chunks(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """(bytes, bytes when unpacked) of every chunk."""
    place = 0  # as if there were no headers of blocks
    while len(head := _read(file, place, CHUNK_HEADER.size)) == CHUNK_HEADER.size:
        _, size, _, kind, unpacked = CHUNK_HEADER.unpack(head)
        yield size, unpacked
        place += max(CHUNK_HEADER.size + size, kind >> 8)


def _read(file: BinaryIO, place: int, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        block, inside = divmod(place + len(parts), BLOCK - BLOCK_HEADER)
        start = block * BLOCK + BLOCK_HEADER + inside
        if start >= 1 << 63:
            break
        file.seek(start)
        part = file.read(min(count - len(parts), BLOCK - BLOCK_HEADER - inside))
        if not part:
            break
        parts += part
    return parts
