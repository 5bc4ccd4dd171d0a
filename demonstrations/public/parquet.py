"""Parquet files as JAT and LeRobot have them: rows read group by group, nested lists as arrays, pictures decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from generalist.demonstrations.public.distrust import check_expansion
from generalist.demonstrations.public.pictures import MOST_VALUES, decode_picture
from generalist.demonstrations.public.reader import REPAIR, BadDataError, check_columns, naming
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
            _check_group(file.metadata.row_group(group), columns)
            batches = file.iter_batches(size, row_groups=[group], columns=columns)
            for batch in batches:
                taken = batch.slice(skipped)
                skipped = max(0, skipped - batch.num_rows)
                if taken.num_rows:
                    yield taken


def _check_group(group: Any, names: list[str]) -> None:
    """Raises ValueError where the columns would take absurdly more memory than they take on disk."""
    for index in range(group.num_columns):
        column = group.column(index)
        if column.path_in_schema in names or any(column.path_in_schema.startswith(f"{name}.") for name in names):
            what = f"column {column.path_in_schema}"
            check_expansion(column.total_compressed_size, column.total_uncompressed_size, what)
            if column.num_values > MOST_VALUES * max(1, group.num_rows):
                raise ValueError(f"{what} has {column.num_values:,} values in {group.num_rows:,} rows")


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
        return _pictures(values.to_pylist(), decode)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _lists(values, decode)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise ValueError(f"values of type {kind} are neither numbers, text nor pictures")
    return values.to_numpy(zero_copy_only=False)


def _pictures(rows: list[dict[str, Any]], decode: Callable[[bytes], np.ndarray]) -> np.ndarray:
    for row in rows:
        if row["bytes"] is None:
            raise ValueError(f"a picture is not in the file, only its path {str(row.get('path'))!r:.100}")
    return np.stack([decode(row["bytes"]) for row in rows])


def _lists(values: Any, decode: Callable[[bytes], np.ndarray]) -> Any:
    lengths = set(values.value_lengths().to_pylist()) if len(values) else {0}
    if len(lengths) > 1:
        raise ValueError(f"lists have {min(lengths)} to {max(lengths)} values, need the same number in each")
    inner, length = to_array(values.flatten(), decode), lengths.pop()
    if isinstance(inner, np.ndarray):
        return inner.reshape(len(values), length, *inner.shape[1:])
    if len(values) and length != 1:
        raise ValueError(f"has {length} texts a row, need one")
    return inner
