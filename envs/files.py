"""JSON and other small files that are whole or absent, also after a crash or on a full disk, and why one failed."""

import errno
import json
import os
import shutil
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any

from generalist.envs.checksums import sealed, unsealed

TEMPORARY = ".part-"
"""Beginning of the name of a file that is being written."""


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
TOO_MANY = (errno.EMFILE, errno.ENFILE)
MORE_FILES = "too many files are open; allow more (ulimit -n 4096) and run the same command again"
HELP = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "your share of the disk (quota) is used up; free some space and run the same command again",
    errno.EFBIG: "file too large for what is allowed here (ulimit -f)",
    **dict.fromkeys(TOO_MANY, MORE_FILES),
}
"""What helps against errors of files, where that is known; of no others."""
ALMOST_NOTHING = 1 << 20
"""Bytes; a disk with less is taken for full where a writer does not say why it failed."""


class WritingError(OSError):
    """A file of ours cannot be written. The message names it, and says that a disk is full only where it is."""

    def __str__(self) -> str:
        return self.strerror or super().__str__()  # without the number of the error


def cannot_write(path: Path, cause: Exception) -> WritingError:
    """The error for `path`, because of `cause`: an OSError, or what a library raised for one."""
    known = [each for each in HELP if os.strerror(each) in str(cause)]  # libraries say it in words alone
    number = (isinstance(cause, OSError) and cause.errno) or next(iter(known), None)
    there = next(each for each in (path, *path.absolute().parents) if each.exists())
    if number is None and shutil.disk_usage(there).free < ALMOST_NOTHING:
        number = errno.ENOSPC
    why = HELP.get(number or 0) or (isinstance(cause, OSError) and cause.strerror) or " ".join(str(cause).split())
    said = f"cannot write {path}: {why}"
    return WritingError(said) if number is None else WritingError(number, said)


def check_writable(folder: Path) -> None:
    """Makes the folder where it is missing, and writes into it and takes it away again.

    Raises:
        WritingError: it cannot be written.
    """
    probe = folder / f"{TEMPORARY}probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"?" * 4096)
    except OSError as cause:
        raise cannot_write(folder, cause) from cause
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def staying_here() -> chdir:
    """A context after which the working directory is what it was: environments change it, and paths may start there.

    Raises:
        FileNotFoundError: (on entering) the working directory was deleted.
    """
    return chdir(os.curdir)


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


def write_json(path: str | os.PathLike, data: dict[str, Any], *, indent: int | None = 1) -> None:
    """Write a JSON object, and its checksum in it, whole or not at all; an `indent` of None is one line.

    Raises:
        ValueError: NaN or infinities, which JSON has not.
        OSError: as `write_atomically`.
    """
    write_atomically(path, json.dumps(sealed(data), indent=indent, allow_nan=False).encode())


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
    except RecursionError:
        raise ValueError(f"{path} is damaged (nested too deeply to be read): {repair}") from None
    except ValueError as cause:
        raise ValueError(f"{path} is damaged ({cause}): {repair}") from cause


MOST_FILES = 65_536


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
    return next((help for number, help in HELP.items() if failed_by(error, (number,))), "")
