"""Contents that carry their own checksum: a JSON object with one more field, and the list of a folder's files.

What is damaged is refused, never half believed. A file without a checksum, as earlier versions and other programs wrote
them, is read as it is; whoever changes one of ours by hand on purpose removes the field `CHECKSUM`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

CHECKSUM = "generalist_checksum"
"""Field of a JSON object: `METHOD` and the SHA-256 of the object without it, as compact JSON with sorted keys."""
METHOD = "sha256:"
BY_HAND = f'if it was changed by hand and is meant so, remove its field "{CHECKSUM}"'

Files = dict[str, list[Any]]
"""By path inside a folder: size and SHA-256."""


def sealed(data: Mapping[str, Any]) -> dict[str, Any]:
    """The object with its checksum as the last field."""
    content = {name: value for name, value in data.items() if name != CHECKSUM}
    return {**content, CHECKSUM: _digest(json.loads(json.dumps(content)))}


def unsealed(data: Any) -> Any:
    """What was sealed, once it is known to be whole. Raises ValueError if it is not what was written."""
    if not isinstance(data, dict):
        return data
    told = data.pop(CHECKSUM, None)
    if told is None:  # the name of the field may be what is damaged
        told = next((value for value in data.values() if isinstance(value, str) and value.startswith(METHOD)), None)
    if told is not None and told != _digest(data):
        raise ValueError(f"its content is not what was written: it does not agree with its checksum; {BY_HAND}")
    return data


def _digest(data: Any) -> str:
    return METHOD + hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def files_of(folder: Path, leave_out: Iterable[str] = ()) -> Files:
    """Every file under a folder, but those named in `leave_out`."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in found}
    return {name: file_entry(path) for name, path in names.items() if name not in leave_out}


def file_entry(path: Path) -> list[Any]:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return [file.tell(), digest]


def check_file(folder: Path, name: str, wanted: Any) -> None:
    """Raises ValueError, with the file's name, if it is missing or not what `files_of` saw."""
    path = folder / name
    try:
        found = file_entry(path)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing") from None
    if found != wanted:
        raise ValueError(f"{path} is damaged: it is not what was written")
