"""Shard files: array_record files of serialised episodes that are whole or absent, never half written."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from generalist.envs.files import TEMPORARY, TOO_MANY, cannot_write, check_opens, failed_by, temporary_path

SPLIT = "train"
WRITER_OPTIONS = "group_size:1"
"""One record per chunk: any episode is read without its neighbours."""
READER_OPTIONS = "readahead_buffer_size:0"


def shard_path(folder: Path, shard: int, shards: int) -> Path:
    """File of shard `shard` of `shards` of the data set in `folder` = DATA/<name>/<version>, as TFDS names it.

    Where the folder was renamed, its shards keep their name.
    """
    end = f"-{SPLIT}.array_record-{shard:05d}-of-{shards:05d}"
    path = folder / f"{folder.parent.name}{end}"
    return path if path.exists() else folder / f"{dataset_name(folder)}{end}"


def dataset_name(folder: Path) -> str:
    """What the shards of a data set are called: as its folder, or as that was called when they were written."""
    there = sorted(each.name for each in folder.glob(f"[!.]*-{SPLIT}.array_record-*"))
    return there[0].rsplit(f"-{SPLIT}.", 1)[0] if there else folder.parent.name


def write_shard(path: Path, records: Iterable[bytes]) -> None:
    """Write a shard under a temporary name, read it back, and give it its name.

    Raises:
        WritingError: the file cannot be written completely (full disk, permissions). Nothing is left behind.
    """
    temporary = temporary_path(path)
    try:
        count = _write(temporary, records)
        _check_written(temporary, count)
        try:
            os.replace(temporary, path)
        except OSError as cause:
            raise cannot_write(path, cause) from cause
    finally:
        temporary.unlink(missing_ok=True)


def open_shard(path: Path, records: int | None = None) -> ArrayRecordReader:
    """Reader of a shard.

    Raises:
        ValueError: it is missing, cut, damaged or has not `records` records, with its name.
        OSError: it cannot be opened, which says nothing of its content: too many open files, permissions.
    """
    if not path.exists():
        raise ValueError(f"shard {path} is missing: restore it, or run the same collection or import again")
    try:
        reader = ArrayRecordReader(str(path), READER_OPTIONS)
        readable = reader.ok()
    except RuntimeError:
        readable = False
    if not readable:
        check_opens(path)
        raise ValueError(f"shard {path} is truncated or corrupt: {REPAIR}")
    if records is not None and reader.num_records() != records:
        raise ValueError(f"shard {path} has {reader.num_records()} episodes instead of {records}: {REPAIR}")
    return reader


REPAIR = (
    "restore it from a copy, or move it elsewhere and run the same collection or import again, which makes only what "
    "is missing"
)


def read_records(reader: ArrayRecordReader, path: Path, indices: list[int]) -> list[bytes]:
    """Records of a shard.

    Raises:
        ValueError: its contents are damaged, with its name.
        OSError: it cannot be opened, as `open_shard`.
    """
    try:
        return reader.read(indices)
    except RuntimeError as cause:
        if failed_by(cause, TOO_MANY):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path)) from cause
        raise ValueError(f"shard {path} is corrupt ({cause}): {REPAIR}") from cause


def remove_temporary_files(folder: Path) -> None:
    """Delete what interrupted writers left; only while nobody writes into `folder`."""
    for path in folder.glob(f"{TEMPORARY}*"):
        path.unlink(missing_ok=True)


def _write(path: Path, records: Iterable[bytes]) -> int:
    count = 0
    try:
        writer = ArrayRecordWriter(str(path), WRITER_OPTIONS)
    except RuntimeError as cause:
        raise cannot_write(path.parent, cause) from cause
    try:
        for record in records:
            _call(writer.write, path, record)
            count += 1
    finally:
        _call(writer.close, path)
    return count


def _call(function, path: Path, *args) -> None:
    try:
        function(*args)
    except RuntimeError as cause:
        raise cannot_write(path.parent, cause) from cause


def _check_written(path: Path, count: int) -> None:
    """A full disk is not always reported by the writer, so the file is flushed and opened."""
    try:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        open_shard(path, count).close()
    except (OSError, ValueError) as cause:
        raise cannot_write(path.parent, OSError(f"what was written cannot be read back ({cause})")) from cause
