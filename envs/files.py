"""JSON and other small files that are whole or absent, also after a crash or on a full disk."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

TEMPORARY = ".part-"
"""Beginning of the name of a file that is being written."""


NO_ROOM = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "your share of the disk (quota) is used up; free some space and run the same command again",
    errno.EFBIG: "file too large for what is allowed here (ulimit -f)",
}
"""What to say of the errors of writing that are for want of room; of no others."""
ALMOST_NOTHING = 1 << 20
"""Bytes; a disk with less is taken for full where a writer does not say why it failed."""


class WritingError(OSError):
    """A file of ours cannot be written. The message names it, and says that a disk is full only where it is."""

    def __str__(self) -> str:
        return self.strerror or super().__str__()  # without the number of the error


def cannot_write(path: Path, cause: Exception) -> WritingError:
    """The error for `path`, because of `cause`: an OSError, or what a library raised for one."""
    known = [each for each in NO_ROOM if os.strerror(each) in str(cause)]  # libraries say it in words alone
    number = (isinstance(cause, OSError) and cause.errno) or next(iter(known), None)
    there = next(each for each in (path, *path.absolute().parents) if each.exists())
    if number is None and shutil.disk_usage(there).free < ALMOST_NOTHING:
        number = errno.ENOSPC
    why = NO_ROOM.get(number or 0) or (isinstance(cause, OSError) and cause.strerror) or " ".join(str(cause).split())
    said = f"cannot write {path}: {why}"
    return WritingError(said) if number is None else WritingError(number, said)


def user_cache() -> Path:
    """`generalist` in the user's cache folder (XDG_CACHE_HOME, or ~/.cache): what is made again where it is missing."""
    # A relative XDG_CACHE_HOME is invalid and to be ignored (XDG Base Directory Specification).
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "generalist"


def temporary_path(path: Path) -> Path:
    """Where this process writes a file before it gets its name."""
    return path.with_name(f"{TEMPORARY}{path.name}-{os.getpid()}")


def write_atomically(path: str | os.PathLike, data: bytes) -> None:
    """The file holds either its old content or all of `data`; what was begun is removed. Raises WritingError."""
    path = Path(path)
    temporary = temporary_path(path)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as cause:
        raise cannot_write(path, cause) from cause
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
