"""JSON lines as numbered objects: an index of where lines begin, then one line at a time. Blank lines do not count."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO

import numpy as np

from generalist.corpora.corpus import BadExampleError
from generalist.corpora.files import MOST_LINE, Source, open_source


def numbered_lines(stream: BinaryIO) -> Iterator[tuple[int, int, int, bytes]]:
    """(line number from 1, byte offset, length, line) of every line that is not blank.

    Of a line of more than `MOST_LINE` bytes it gives the beginning, one byte too long to be parsed.
    """
    at = number = 0
    while line := stream.readline(MOST_LINE + 1):
        number, length, part = number + 1, len(line), line
        while not part.endswith(b"\n") and (part := stream.readline(MOST_LINE + 1)):
            length += len(part)
        if line.strip():
            yield number, at, length, line
        at += length


def parse_line(line: bytes, where: str) -> dict[str, Any]:
    """The object of one line; `where` begins the message of an error.

    Raises:
        BadExampleError: longer than `MOST_LINE`, not UTF-8, not JSON, or not an object.
    """
    if len(line) > MOST_LINE:
        raise BadExampleError(f"{where}: the line has more than {MOST_LINE:,} bytes; cut the text into several")
    try:
        value = json.loads(line.decode("utf-8-sig"))  # Windows begins files with a mark
    except UnicodeDecodeError as error:
        raise BadExampleError(
            f"{where}: byte {error.start} of the line is not UTF-8; write the file as UTF-8"
        ) from None
    except (ValueError, RecursionError) as error:
        raise BadExampleError(f"{where}: not a line of JSON ({error})") from None
    if not isinstance(value, dict):
        raise BadExampleError(f"{where}: a line must be a JSON object, got {type(value).__name__}")
    return value


def string_field(fields: dict[str, Any], name: str, where: str) -> str:
    """A field that must be a string.

    Raises:
        BadExampleError: it is missing or something else.
    """
    value = fields.get(name)
    if not isinstance(value, str):
        given = type(value).__name__ if name in fields else f"the fields {', '.join(sorted(fields)) or 'none'}"
        raise BadExampleError(f"{where}: needs a string {name!r}, got {given}")
    return value


def path_inside(folder: Path, name: str, where: str) -> Path:
    """The file `name` of `folder`.

    Raises:
        BadExampleError: the name is empty, absolute, or leads out of the folder by "..".
    """
    forms = PurePosixPath(name), PureWindowsPath(name)
    leaves = any(form.is_absolute() or form.drive or form.root or ".." in form.parts for form in forms)
    if not name or leaves or "\0" in name:
        raise BadExampleError(f"{where}: {name!r} is not a path inside {folder}; give one relative to it, without ..")
    return folder / name


@dataclass(frozen=True, eq=False)
class JsonLines:
    """The lines of a file, also of a .gz, by number from 0; reading one reads that line."""

    path: Path
    _source: Source = field(init=False, repr=False)
    _index: np.ndarray = field(init=False, repr=False)  # int64[n, 3]: line number, offset, length

    def __post_init__(self):
        object.__setattr__(self, "_source", open_source(self.path))
        with self._source.open() as stream:
            rows = np.fromiter(
                (value for number, at, length, _ in numbered_lines(stream) for value in (number, at, length)), np.int64
            )
        object.__setattr__(self, "_index", rows.reshape(-1, 3))

    def __len__(self) -> int:
        return len(self._index)

    def where(self, index: int) -> str:
        """FILE:LINE, as editors know it."""
        return f"{self.path}:{self._index[index][0]}"

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Raises BadExampleError, naming FILE:LINE."""
        _, at, length = self._index[index].tolist()
        return parse_line(self._source.read(at, min(length, MOST_LINE + 1)), self.where(index))
