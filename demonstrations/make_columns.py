"""Where a data set's columns lie, and that they are of the data that is there: made once, made again when it changed.

They stand beside the shards. Where nothing may be written there, they stand in the user's cache; what is in the cache
can be removed at any time.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import gymnasium as gym
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from generalist.demonstrations.columns import Columns
from generalist.demonstrations.columns_writer import Piece, write_columns
from generalist.envs.files import user_cache
from generalist.tokenizers.printable import SafeConsole

SUFFIX = ".columns"
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
MANY = 20_000
"""From so many steps on, making columns shows a bar."""


def fingerprint(*parts: bytes) -> str:
    """Names what columns are made from; equal for equal parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def kept_columns(
    beside: Path,
    observation_space: gym.Space,
    action_space: gym.Space,
    lengths: np.ndarray,
    pieces: Callable[[], Iterable[Piece]],
    *,
    made_from: str,
    quiet: bool = False,
) -> Columns:
    """The columns at `beside`, or in the cache; made from `pieces()` if they are not there or of other data.

    Args:
        beside: the file that is to hold them, in a folder that exists.
        lengths: int64[E], steps of every episode.
        made_from: `fingerprint` of the data.
        quiet: show no progress.

    Raises:
        ValueError: a damaged file, or what `pieces` raises. OSError: no room for them; nothing is left behind then.
    """
    for path in (beside, cached_path(beside)):
        if (found := _opened(path, made_from)) is not None:
            return found

    def make(path: Path) -> Columns:
        told = pieces() if quiet else _told(pieces(), lengths, beside.parent.parent.name)
        write_columns(path, observation_space, action_space, lengths, told, made_from=made_from)
        return Columns(path)

    try:
        return make(beside)
    except OSError as cause:
        if cause.errno not in NOT_ALLOWED:
            raise
        path = cached_path(beside)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as why:
            also = f"nor can {path.parent} be made ({why.strerror}): set XDG_CACHE_HOME to a folder that can be written"
            raise OSError(cause.errno, f"{cause.strerror}; {also}") from why
    return make(path)


def cached_path(beside: Path) -> Path:
    """Where columns are kept that may not stand at `beside`."""
    where = hashlib.sha256(str(beside.parent.resolve()).encode()).hexdigest()[:16]
    return user_cache() / "columns" / f"{beside.parent.parent.name}-{where}" / beside.name


def _opened(path: Path, made_from: str) -> Columns | None:
    try:
        found = Columns(path)
    except (FileNotFoundError, PermissionError):
        return None
    if found.made_from == made_from:
        return found
    found.file.close()
    return None


def _told(pieces: Iterable[Piece], lengths: np.ndarray, name: str) -> Iterator[Piece]:
    """The pieces, with a bar on a terminal where there are many steps."""
    console, total = SafeConsole(stderr=True), int(lengths.sum())
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal or total < MANY, transient=True) as bars:
        bar = bars.add_task(f"columns of {name}, steps", total=total)
        for piece in pieces:
            yield piece
            bars.advance(bar, len(piece[2]))
