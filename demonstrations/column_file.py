"""One file of named arrays and a heap of bytes, mapped into memory: whole or absent, and never silently wrong.

    "GENCOLS1" | array | array | ... | heap | checksums of 64 KiB blocks | JSON | its offset, length, crc32, "GENCOLS1"

The JSON says what stands where and how long the file is. A block is compared with its checksum when a process first
reads something of it, so that opening a file of any size is quick and every byte that is used was checked. What is
mapped belongs to the operating system's file cache, not to the process. Nothing here knows of steps or spaces.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from generalist.envs.files import FULL, TEMPORARY, temporary_path

MAGIC = b"GENCOLS1"
BLOCK = 1 << 16
"""Bytes that share a checksum."""
ALIGNMENT = 64
Identity = tuple[int, int, int, int]
"""Device, inode, size and time of the last change."""
_NO_DESCRIPTOR: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}
"""Before Python 3.13 a mapping keeps a descriptor."""
_FOOTER = struct.Struct("<QII8s")


@dataclass(frozen=True)
class ArraySpec:
    """Shape and dtype of one array of a file."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


class ColumnFileWriter:
    """Writes a file under a temporary name; `finish` gives it its own. A context manager: an exception leaves nothing.

    Only one process at a time writes a file: the others wait until it is written or given up, and must then look
    whether they still need to. What a killed one leaves is written over.

    Args:
        arrays: what it will hold besides the heap.

    Raises:
        OSError: (from every method) the file cannot be written, with its name and why.
    """

    def __init__(self, path: Path, arrays: Mapping[str, ArraySpec]):
        self.path, self._finished = path, False
        self._specs, self._offsets, end = dict(arrays), {}, len(MAGIC)
        for name, spec in self._specs.items():
            end += -end % ALIGNMENT
            self._offsets[name] = end
            end += spec.nbytes
        self._heap = self._end = end + -end % ALIGNMENT
        self._filled = dict.fromkeys(self._specs, 0)
        with _explained(path):
            self._temporary, self._file = _open_temporary(path)
        try:
            self._write(MAGIC, 0)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> ColumnFileWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._finished:  # else the name may be another process's by now
            self._temporary.unlink(missing_ok=True)
        self._file.close()

    def append(self, name: str, rows: np.ndarray) -> None:
        """The next rows of an array, along its first axis."""
        spec = self._specs[name]
        data = np.ascontiguousarray(rows, spec.dtype)
        if data.shape[1:] != spec.shape[1:] or self._filled[name] + data.nbytes > spec.nbytes:
            raise ValueError(f"{self.path}: array {name} has shape {spec.shape}, {data.shape} more do not fit")
        self._write(data.data.cast("B") if data.nbytes else b"", self._offsets[name] + self._filled[name])
        self._filled[name] += data.nbytes

    def append_heap(self, data: bytes) -> int:
        """More bytes of the heap; gives the offset of the first in it."""
        start = self._end
        self._write(data, start)
        self._end += len(data)
        return start - self._heap

    def finish(self, note: Mapping[str, Any]) -> None:
        """Write the checksums and `note` (JSON), flush, and give the file its name."""
        if short := [name for name, spec in self._specs.items() if self._filled[name] != spec.nbytes]:
            raise ValueError(f"{self.path}: arrays {', '.join(short)} are not full")
        with _explained(self.path):
            os.ftruncate(self._file.fileno(), self._end)
        checks = self._checksums().tobytes()
        said = {
            "arrays": {
                name: [list(spec.shape), spec.dtype.str, self._offsets[name]] for name, spec in self._specs.items()
            },
            "heap": [self._heap, self._end - self._heap],
            "checked": self._end,
            "checks_crc32": zlib.crc32(checks),
            "note": dict(note),
        }
        text = json.dumps(said, allow_nan=False).encode()
        at = self._end + len(checks)
        footer = _FOOTER.pack(at, len(text), zlib.crc32(text), MAGIC)
        self._write(checks + text + footer, self._end)
        with _explained(self.path):
            os.fsync(self._file.fileno())
            self._temporary.replace(self.path)
        self._finished = True

    def _checksums(self) -> np.ndarray:
        self._file.seek(0)
        found = []
        for start in range(0, self._end, BLOCK):
            with _explained(self.path):
                found.append(zlib.crc32(self._file.read(min(BLOCK, self._end - start))))
        return np.array(found, np.uint32)

    def _write(self, data: Any, at: int) -> None:
        with _explained(self.path):
            _write_whole(self._file.fileno(), data, at)


def _open_temporary(path: Path) -> tuple[Path, BinaryIO]:
    """The empty file that is to become `path`, once nobody else writes it."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    while True:
        file = open(os.open(temporary, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)  # noqa: SIM115
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        except (ImportError, OSError):  # a file system without locks: a name that is this process's alone
            file.close()
            temporary.unlink(missing_ok=True)
            return temporary_path(path), temporary_path(path).open("w+b", buffering=0)
        except BaseException:
            file.close()
            raise
        if _is_file_at(file, temporary):
            file.truncate(0)
            return temporary, file
        file.close()  # who had it has finished or given it up


def _is_file_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _write_whole(file: int, data: Any, at: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(file, view, at)
        view, at = view[count:], at + count


class _explained:  # noqa: N801 (used as a context)
    """Adds to an OSError what could not be written, and that the disk is full where it is."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, OSError) and not getattr(error, "explained", False):
            why = "the disk is full; free some space" if error.errno in FULL else (error.strerror or str(error))
            said = OSError(error.errno, f"cannot write {self._path}: {why}. What it is made from is untouched")
            said.explained = True  # pyright: ignore[reportAttributeAccessIssue]
            raise said from error


class ColumnFile:
    """A finished file, opened for reading. Pickled, it is opened again where it arrives.

    Args:
        path: of the file.
        identity: of the file that is expected there, see `identity`; None for any.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is cut, damaged or not the expected one, with its name. Only what says where things are is
            checked here; see `array`.
    """

    def __init__(self, path: Path, identity: Identity | None = None):
        self.path = Path(path)
        with self.path.open("rb") as file:
            self.identity = _identity(os.fstat(file.fileno()))
            if identity not in (None, self.identity):
                raise self._changed("was replaced or changed")
            self._map = self._mapped(file)
        said = self._said()
        self.note: dict[str, Any] = said["note"]
        self._arrays: dict[str, list[Any]] = said["arrays"]
        self._heap, self.heap_size = said["heap"]
        at = said["checked"]
        blocks = -(-at // BLOCK)
        self._checks = np.frombuffer(self._map, np.uint32, blocks, at)
        if zlib.crc32(self._checks.tobytes()) != said["checks_crc32"]:
            raise self._damaged("its checksums are damaged")
        self._checked, self._unchecked = np.zeros(blocks, np.bool_), blocks
        self._end = at

    def _mapped(self, file: BinaryIO) -> mmap.mmap:
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ, **_NO_DESCRIPTOR)
        except ValueError:
            raise self._damaged("it is empty") from None

    def _said(self) -> dict[str, Any]:
        size = len(self._map)
        if size < _FOOTER.size:
            raise self._damaged(f"it has {size} bytes")
        at, length, crc, magic = _FOOTER.unpack_from(self._map, size - _FOOTER.size)
        if magic != MAGIC or at + length + _FOOTER.size != size:
            raise self._damaged(f"its {size} bytes do not end as they should")
        text = self._map[at : at + length]
        if zlib.crc32(text) != crc:
            raise self._damaged("its description is damaged")
        return json.loads(text)

    def __reduce__(self):
        return ColumnFile, (self.path, self.identity)

    def close(self) -> None:
        """Give up the mapping; arrays that were given out must not be used any more."""
        self._checks = np.zeros(0, np.uint32)
        with suppress(BufferError):  # where an array is still alive, the mapping goes with it
            self._map.close()

    def array(self, name: str) -> np.ndarray:
        """A read-only view of the whole array. What is taken from it is checked by `check_rows` first."""
        shape, dtype, offset = self._arrays[name]
        count = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(self._map, np.dtype(dtype), count, offset).reshape(shape)

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def check_rows(self, name: str, rows: np.ndarray) -> None:
        """Raises ValueError, with the file's name, if a block of these rows of an array is not what was written."""
        if self._unchecked:
            shape, dtype, offset = self._arrays[name]
            size = int(np.prod(shape[1:], dtype=np.int64)) * np.dtype(dtype).itemsize
            if size:
                starts = offset + np.asarray(rows, np.int64) * size
                self._check(starts, starts + size)

    def heap(self, starts: np.ndarray, lengths: np.ndarray) -> list[bytes]:
        """Pieces of the heap. Raises ValueError, with the file's name, for damaged ones."""
        first = self._heap + starts.astype(np.int64)
        ends = first + lengths
        if self._unchecked:
            self._check(first, ends)
        return [self._map[start:end] for start, end in zip(first.tolist(), ends.tolist(), strict=True)]

    def check_unchanged(self) -> None:
        """Raises ValueError if the file is no longer the one that was opened."""
        try:
            now = _identity(os.stat(self.path))
        except FileNotFoundError:
            raise self._changed("was removed") from None
        if now != self.identity:
            raise self._changed("was replaced or changed")

    def _check(self, starts: np.ndarray, ends: np.ndarray) -> None:
        first, last = starts // BLOCK, (np.maximum(ends, starts + 1) - 1) // BLOCK
        if len(last) and last.max() >= len(self._checked):
            raise self._damaged("it points beyond its end")
        if self._checked[first].all() and self._checked[last].all() and (last - first).max(initial=0) < 2:
            return
        for begin, end in zip(first.tolist(), last.tolist(), strict=True):
            for block in range(begin, end + 1):
                if not self._checked[block]:
                    self._check_block(block)

    def _check_block(self, block: int) -> None:
        start = block * BLOCK
        if zlib.crc32(self._map[start : min(start + BLOCK, self._end)]) != self._checks[block]:
            raise self._damaged(f"bytes {start} to {start + BLOCK} are not what was written")
        self._checked[block] = True
        self._unchecked -= 1

    def _damaged(self, what: str) -> ValueError:
        return ValueError(
            f"{self.path} is damaged ({what}): delete this file, it is made anew from what it was made of"
        )

    def _changed(self, what: str) -> ValueError:
        return ValueError(f"{self.path} {what} while it was in use: start again to read what is there now")


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
