"""What this process has open: child processes, threads, descriptors."""

import gc
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path


def children() -> set[int]:
    """Processes whose parent is this one, those that ended and were not waited for among them."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = status.read_text().split(" ", 1)
        except OSError:  # it has just ended
            continue
        if int(rest.rpartition(")")[2].split()[1]) == os.getpid():
            found.add(int(pid))
    return found


def threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if not thread.name.startswith("pydevd"))


def descriptors() -> int:
    gc.collect()  # exceptions hold what was open where they were raised
    return len(os.listdir("/proc/self/fd"))


def alive(pid: int) -> bool:
    """Whether a process has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)
