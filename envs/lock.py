"""One writer for a folder: a lock that says who holds it, and that ends with whoever held it.

The system lets go of a lock when its process ends, however it ends. Where a file system does not tell other machines of
it, the file itself stands in: its holder touches it every `BEAT` seconds, and what is not touched for `SILENCE` seconds
belongs to the dead.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

LOCK = ".lock"
BEAT, SILENCE = 5.0, 30.0
"""Seconds."""


@contextlib.contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """Inside, nobody else has the lock of `folder`, which exists; afterwards the lock's file is gone.

    Whether a holder on another machine is alive may take `SILENCE` seconds to find out; all else is known at once.

    Args:
        doing: what is done, for the message: "training".

    Raises:
        ValueError: another process has it, with its number, machine and since when.
        OSError: the folder cannot be written.
    """
    file = _taken(folder, doing)
    try:
        _say(file, doing)
        with _BEATS.of(file.fileno()):
            yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        file.close()


def _taken(folder: Path, doing: str) -> BinaryIO:
    path = folder / LOCK
    while True:
        file = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)  # noqa: SIM115
        try:
            ours = _flock(file)
            if ours is False or _lives_elsewhere(path, _holder(file), known=ours is True):
                raise ValueError(_refusal(folder, doing, _holder(file)))
            if _is_at(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # whoever had it has just removed it


def _flock(file: BinaryIO) -> bool | None:
    """Whether it is ours; None where the system or the file system has no such locks."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def _lives_elsewhere(path: Path, holder: dict[str, Any], *, known: bool) -> bool:
    """Whether one whom the system's lock does not hold off is at work.

    Args:
        known: the system gave us the lock, so that the holder is no process of this machine.
    """
    here = holder.get("host") == socket.gethostname()
    if not holder or (here and (known or holder.get("process") == os.getpid())):
        return False
    touched, end = _touched(path), time.monotonic() + SILENCE
    if time.time() - touched > 100 * SILENCE:  # more than clocks differ
        return False
    while time.monotonic() < end:
        time.sleep(BEAT / 5)
        if (now := _touched(path)) != touched:
            return now > 0
    return False


def _touched(path: Path) -> float:
    """When the file was touched last, by its own clock; 0 if it is gone. Opened, because NFS looks then."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return 0.0


def _say(file: BinaryIO, doing: str) -> None:
    since = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
    said = {"doing": doing, "process": os.getpid(), "host": socket.gethostname(), "since": since}
    file.truncate(0)
    file.seek(0)
    file.write(json.dumps(said).encode())


def _holder(file: BinaryIO) -> dict[str, Any]:
    """What the file says; empty where it says nothing, as those of earlier versions."""
    file.seek(0)
    try:
        said = json.loads(file.read(4096))
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _refusal(folder: Path, doing: str, holder: dict[str, Any]) -> str:
    who = "process {process} on {host}, since {since}".format_map(
        {"process": "(unknown)", "host": "this machine", "since": "just now"} | holder
    )
    return f"another process is {holder.get('doing', doing)} in {folder}: {who}. Wait for it or stop it"


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


class _Beats:
    """One thread that touches every lock of this process."""

    def __init__(self):
        self._guard, self._held, self._ended = threading.Lock(), set[int](), threading.Event()

    @contextlib.contextmanager
    def of(self, descriptor: int) -> Iterator[None]:
        with self._guard:
            self._held.add(descriptor)
            if len(self._held) == 1:
                self._ended = threading.Event()
                threading.Thread(target=self._run, args=(self._ended,), name="locks", daemon=True).start()
        try:
            yield
        finally:
            with self._guard:
                self._held.discard(descriptor)
                if not self._held:
                    self._ended.set()

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(BEAT):
            with self._guard:
                for descriptor in self._held:
                    with contextlib.suppress(OSError):
                        os.utime(descriptor)


_BEATS = _Beats()
