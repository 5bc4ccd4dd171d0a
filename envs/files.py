"""JSON and other small files that are whole or absent, also after a crash or on a full disk, and why one failed."""

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from generalist.envs.checksums import sealed, unsealed

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
    """The file holds either its old content or all of `data`; what was begun is removed.

    Raises:
        OSError: it cannot be written, with its name.
    """
    path = Path(path)
    temporary = temporary_path(path)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as cause:
        cause.filename, cause.filename2 = str(path), None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike, data: dict[str, Any]) -> None:
    """Write a JSON object, and its checksum in it, whole or not at all.

    Raises:
        ValueError: NaN or infinities, which JSON has not.
        OSError: as `write_atomically`.
    """
    write_atomically(path, json.dumps(sealed(data), indent=1, allow_nan=False).encode())


def read_json(path: Path, otherwise: str, repair: str = "restore it from a copy") -> dict[str, Any]:
    """Contents of a JSON file.

    Args:
        otherwise: what to do where it is missing.
        repair: what to do where it is damaged.

    Raises:
        ValueError: missing, damaged, or not what was written (see `generalist.envs.checksums`); with its name.
        OSError: it is there and cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"there is no {path}: {otherwise}") from None
    except ValueError as cause:
        raise ValueError(f"{path} is damaged ({cause}): {repair}") from cause
    try:
        return unsealed(json.loads(text))
    except (ValueError, RecursionError) as cause:
        raise ValueError(f"{path} is damaged ({cause}): {repair}") from cause


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
TOO_MANY = (errno.EMFILE, errno.ENFILE)
MOST_FILES = 65_536
MORE_FILES = "too many files are open: allow more (ulimit -n 4096) and run the same command again"


def allow_more_files() -> None:
    """As many open files as the system grants without asking, as far as this is less: a run on many tasks maps many."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS grants less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def failed_by(error: BaseException, codes: tuple[int, ...]) -> bool:
    """Whether one of these `errno` is why something failed: the error's own, that of its causes, or what it cites.

    Libraries in C++ raise errors of other types, whose text has the system's words.
    """
    words = [os.strerror(code) for code in codes]
    seen: BaseException | None = error
    while seen is not None:
        if (isinstance(seen, OSError) and seen.errno in codes) or any(word in str(seen) for word in words):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def check_opens(path: str | os.PathLike) -> None:
    """Raises OSError, with the file's name, if a file that is there cannot be opened and read.

    For readers that do not say why they failed: what cannot be opened (too many files are open) is not damaged.
    """
    with open(path, "rb") as file:
        file.read(1)


def what_to_do(error: BaseException) -> str:
    """What helps against a failing file where that is known, for the end of a message; empty where it is not."""
    if failed_by(error, FULL):
        return "the disk is full: free some space and run the same command again"
    return MORE_FILES if failed_by(error, TOO_MANY) else ""
