"""The system's browser, which tests of web pages need, and the processes of one."""

import os
import shutil
from pathlib import Path

import pytest
from leftovers import alive

from generalist.envs.chromium import BINARY, NAMES

needs_chromium = pytest.mark.skipif(
    BINARY not in os.environ and not any(map(shutil.which, NAMES)), reason="no Chromium: apt install chromium"
)


def processes(session: int) -> dict[int, str]:
    """Those of a browser that have not ended: their command lines by their ids. Its own id is that of the session."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            of_it = int((folder / "stat").read_text().rpartition(")")[2].split()[3]) == session
            line = (folder / "cmdline").read_text().replace("\0", " ") if of_it else ""
        except OSError:  # it has just ended
            continue
        if of_it and alive(int(folder.name)):
            found[int(folder.name)] = line
    return found
