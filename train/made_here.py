"""Which runs this user has made on this machine: what their configuration names is his own word, not a stranger's.

A small file for each in the user's cache folder, which may be emptied at any time: then `--trust` is needed again.
"""

import hashlib
from contextlib import suppress
from pathlib import Path

from generalist.envs.files import user_cache, write_atomically
from generalist.train.exported_files import is_exported

CONFIG = "config.json"


def remember(run: Path) -> None:
    """Note that the run was made here, with the `config.json` that it has now; nothing where that cannot be kept."""
    with suppress(OSError):
        note = _note(run)
        note.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(note, _digest(run))


def is_made_here(run: Path) -> bool:
    """Whether it was, at this very place, and its `config.json` is what was written then; never an export."""
    if is_exported(Path(run)):
        return False
    try:
        return _note(run).read_bytes() == _digest(run)
    except OSError:
        return False


def _note(run: Path) -> Path:
    return user_cache() / "runs" / hashlib.sha256(str(Path(run).resolve()).encode()).hexdigest()


def _digest(run: Path) -> bytes:
    return hashlib.sha256((Path(run) / CONFIG).read_bytes()).hexdigest().encode()
