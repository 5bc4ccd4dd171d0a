"""JSON and other small files that are whole or absent, also after a crash or on a full disk."""

import json
import os
from pathlib import Path
from typing import Any

TEMPORARY = ".part-"
"""Beginning of the name of a file that is being written."""


def user_cache() -> Path:
    """`generalist` in the user's cache folder (XDG_CACHE_HOME, or ~/.cache): what is made again where it is missing."""
    # A relative XDG_CACHE_HOME is invalid and to be ignored (XDG Base Directory Specification).
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "generalist"


def temporary_path(path: Path) -> Path:
    """Where this process writes a file before it gets its name."""
    return path.with_name(f"{TEMPORARY}{path.name}-{os.getpid()}")


def write_atomically(path: str | os.PathLike, data: bytes) -> None:
    """The file holds either its old content or all of `data`; what was begun is removed."""
    path = Path(path)
    temporary = temporary_path(path)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike, data: Any) -> None:
    """Write JSON whole or not at all. Raises ValueError for NaN and infinities, which JSON has not."""
    write_atomically(path, json.dumps(data, indent=1, allow_nan=False).encode())


def read_json(path: Path, otherwise: str) -> dict[str, Any]:
    """Contents of a JSON file. Raises ValueError: missing (then `otherwise` says what to do) or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"there is no {path}: {otherwise}") from None
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply to be read: restore it") from None
    except ValueError as cause:
        raise ValueError(
            f"{path} is damaged ({cause}): restore it, or make this folder anew with --overwrite"
        ) from cause
