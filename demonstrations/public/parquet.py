"""Parquet files as JAT and LeRobot have them: rows read group by group, nested lists as arrays, pictures decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from generalist.demonstrations.public.reader import REPAIR, BadDataError, check_columns, decode_picture, naming
from generalist.envs.task import needs_extra

EXTRA = "data"


def open_parquet(path: Path, columns: Iterable[str] = ()) -> Any:
    """A `pyarrow.parquet.ParquetFile`, checked: its end is there, and these columns are. Raises BadDataError."""
    with needs_extra(EXTRA):
        import pyarrow.parquet as parquet
    if not path.is_file():
        raise BadDataError(f"{path} is missing: {REPAIR}")
    with naming(path):
        file = parquet.ParquetFile(path, page_checksum_verification=True)
    check_columns(columns, file.schema_arrow.names, path)
    return file


def read_batches(path: Path, columns: list[str], start: int, size: int) -> Iterator[Any]:
    """Record batches of at most `size` rows from row `start` on; groups of rows before that are not read."""
    file = open_parquet(path, columns)
    first = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        skipped = min(max(0, start - first), rows)
        first += rows
        if skipped == rows:
            continue
        with naming(path, f"row group {group}"):
            batches = file.iter_batches(size, row_groups=[group], columns=columns)
            for batch in batches:
                taken = batch.slice(skipped)
                skipped = max(0, skipped - batch.num_rows)
                if taken.num_rows:
                    yield taken


def to_array(values: Any, decode: Callable[[bytes], np.ndarray] = decode_picture) -> Any:
    """An arrow array of N numbers, strings, pictures or lists of them, as an array [N, ...] or a list of N.

    Args:
        decode: makes pixels of a picture.

    Raises:
        ValueError: missing values, lists of different lengths, or a type that is none of these.
    """
    import pyarrow as pa

    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    kind = values.type
    if values.null_count:
        raise ValueError(f"{values.null_count} of {len(values)} values are missing")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return values.to_pylist()
    if pa.types.is_struct(kind) and "bytes" in kind.names:
        return np.stack([decode(row["bytes"] or b"") for row in values.to_pylist()])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _lists(values)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise ValueError(f"values of type {kind} are neither numbers, text nor pictures")
    return values.to_numpy(zero_copy_only=False)


def _lists(values: Any) -> Any:
    lengths = set(values.value_lengths().to_pylist()) if len(values) else {0}
    if len(lengths) > 1:
        raise ValueError(f"lists have {min(lengths)} to {max(lengths)} values, need the same number in each")
    inner = to_array(values.flatten())
    return inner.reshape(len(values), lengths.pop(), *inner.shape[1:]) if isinstance(inner, np.ndarray) else inner
