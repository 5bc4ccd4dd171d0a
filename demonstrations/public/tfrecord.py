"""Records of TFDS files one after another, without TensorFlow: TFRecord, with its checksums, and array_record.

A TFRecord is a length (8 bytes), its masked CRC-32C, the data, and the data's masked CRC-32C, all little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from generalist.demonstrations.public.chunks import check_chunks
from generalist.demonstrations.public.crc32c import masked_crc32c
from generalist.demonstrations.public.reader import REPAIR, BadDataError
from generalist.demonstrations.shards import READER_OPTIONS
from generalist.envs.files import check_opens

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")
TOGETHER, TOGETHER_BYTES = 8, 1 << 24
"""Records that are read from an array_record file at a time, or fewer, of about so many bytes in the file."""
MOST_BYTES = 1 << 31
"""Of a record: protobuf reads no more."""


def read_records(path: Path, file_format: str, count: int, start: int = 0) -> Iterator[bytes]:
    """The records `start` to `count` of a file.

    Raises:
        BadDataError: the file is missing, cut off or corrupt, or has not `count` records; with its name.
    """
    if not path.is_file():
        raise BadDataError(f"{path} is missing: {REPAIR}")
    if file_format == "array_record":
        yield from _array_records(path, count, start)
    else:
        yield from _tf_records(path, count, start)


def _tf_records(path: Path, count: int, start: int) -> Iterator[bytes]:
    size = path.stat().st_size
    with path.open("rb") as file:
        for number in range(count):
            head = file.read(HEADER.size)
            if len(head) < HEADER.size:
                raise BadDataError(f"{path} ends after {number} of {count} records: {REPAIR}")
            length, checksum = HEADER.unpack(head)
            if masked_crc32c(head[:8]) != checksum:
                raise BadDataError(f"{path} is corrupt at record {number} (the length's checksum is wrong): {REPAIR}")
            if file.tell() + length + FOOTER.size > size:
                raise BadDataError(f"{path} is cut off in record {number} of {count}: {REPAIR}")
            if length > MOST_BYTES:
                raise BadDataError(
                    f"{path} says that record {number} has {length:,} bytes, need at most {MOST_BYTES:,}"
                )
            if number < start:
                file.seek(length + FOOTER.size, 1)
                continue
            data = file.read(length)
            if FOOTER.unpack(file.read(FOOTER.size))[0] != masked_crc32c(data):
                raise BadDataError(f"{path} is corrupt at record {number} (the data's checksum is wrong): {REPAIR}")
            yield data
        if file.read(1):
            raise BadDataError(f"{path} has more than its {count} records: {REPAIR}")


def _array_records(path: Path, count: int, start: int) -> Iterator[bytes]:
    from array_record.python.array_record_module import ArrayRecordReader

    try:
        reader = ArrayRecordReader(str(path), READER_OPTIONS)
        found = reader.num_records() if reader.ok() else None
    except RuntimeError:
        found = None
    if found != count:  # a file that is cut off may say that it has no records
        check_opens(path)
        said = "is cut off or corrupt" if not found else f"has {found} records instead of {count}"
        raise BadDataError(f"{path} {said}: {REPAIR}")
    check_chunks(path)
    together = max(1, min(TOGETHER, TOGETHER_BYTES * count // max(path.stat().st_size, 1)))
    for first in range(start, count, together):
        wanted = list(range(first, min(first + together, count)))
        try:
            records = reader.read(wanted)
        except RuntimeError:
            records = (_array_record(reader, path, number) for number in wanted)  # up to the one that is damaged
        yield from records


def _array_record(reader: Any, path: Path, number: int) -> bytes:
    try:
        return reader.read([number])[0]
    except RuntimeError as cause:
        raise BadDataError(f"{path} is corrupt in record {number} ({cause}): {REPAIR}") from cause
