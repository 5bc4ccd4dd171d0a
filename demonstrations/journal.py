"""The journal of a shard that is being recorded: episodes are appended one by one, and survive a kill at any moment.

A finished shard is one array_record file, which cannot be appended to; until then its records stand here, each with its
length and checksum. A record that was cut, or damaged, ends what counts.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from generalist.envs.files import what_to_do

PREFIX = ".journal-"
_HEADER = struct.Struct("<QI")  # length of the record, crc32 of it


def journal_path(shard: Path) -> Path:
    """Where the records of a shard stand until it is finished."""
    return shard.with_name(f"{PREFIX}{shard.name}")


class Journal:
    """Records in the order in which they were appended. Only one process may have it open."""

    def __init__(self, path: Path):
        self.path = path
        self.count = 0
        self._end = 0
        self._file: Any = None
        for record in read_journal(path):
            self.count += 1
            self._end += _HEADER.size + len(record)

    def append(self, record: bytes) -> None:
        """Write one record. Raises OSError if it cannot be written whole; those before it stay."""
        try:
            file = self._opened()
            file.write(_HEADER.pack(len(record), zlib.crc32(record)) + record)
        except OSError as cause:
            self.close()
            help = what_to_do(cause)
            raise OSError(f"cannot write {self.path.parent} ({cause}){help and ': '}{help}") from cause
        self.count += 1
        self._end += _HEADER.size + len(record)

    def _opened(self) -> BinaryIO:
        """The file, unbuffered, at the end of its whole records."""
        if self._file is None:
            self._file = open(self.path, "r+b" if self.path.exists() else "wb", buffering=0)  # noqa: SIM115
            self._file.truncate(self._end)  # what a kill or a full disk left of a record
            self._file.seek(self._end)
        return self._file

    def close(self) -> None:
        """Close the file; the next record opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def records(self) -> Iterator[bytes]:
        """All of them, one in memory at a time."""
        return read_journal(self.path)

    def remove(self) -> None:
        """Delete the file."""
        self.close()
        self.path.unlink(missing_ok=True)


def read_journal(path: Path) -> Iterator[bytes]:
    """The whole records of a journal, up to the first that is cut or damaged; none if there is no file."""
    if not path.exists():
        return
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            length, checksum = _HEADER.unpack(header)
            if length > size - file.tell():
                return
            record = file.read(length)
            if zlib.crc32(record) != checksum:
                return
            yield record
