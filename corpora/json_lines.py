"""JSON lines as numbered objects: an index of where lines begin, then one line at a time. Blank lines do not count."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO

import numpy as np

from generalist.corpora.corpus import BadExampleError


def numbered_lines(stream: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """(line number from 1, byte offset, line) of every line that is not blank."""
    at = 0
    for number, line in enumerate(iter(stream.readline, b""), start=1):
        if line.strip():
            yield number, at, line
        at += len(line)


def parse_line(line: bytes, where: str) -> dict[str, Any]:
    """The object of one line; `where` begins the message of an error.

    Raises:
        BadExampleError: not UTF-8, not JSON, or not an object.
    """
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
    """The lines of a file by number from 0; reading one opens the file and reads that line."""

    path: Path
    _index: np.ndarray = field(init=False, repr=False)  # int64[n, 3]: line number, offset, length

    def __post_init__(self):
        with self.path.open("rb") as stream:
            rows = np.fromiter(
                (value for number, at, line in numbered_lines(stream) for value in (number, at, len(line))), np.int64
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
        with self.path.open("rb") as stream:
            stream.seek(at)
            return parse_line(stream.read(length), self.where(index))
