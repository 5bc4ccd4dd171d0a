"""What a checkpoint consists of: one file in its folder, written last, that lists every other with its SHA-256.

Orbax gives the folder its name afterwards, so a checkpoint that can be found has its list. Orbax's own description gets
the time of the end still, so its content stands in the list, without that; the mark of the end says nothing.
"""

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from generalist.envs.checksums import Files, check_file, files_of
from generalist.envs.files import read_json, write_json
from generalist.train.processes import true_anywhere

MANIFEST = "checksums.json"
DESCRIPTION, END = "_CHECKPOINT_METADATA", "commit_timestamp_nsecs"
PATIENCE = 60.0
"""Seconds."""
LATER = (DESCRIPTION, "commit_success.txt", MANIFEST)
"""At the top of the folder, and changed after the list is made."""


@dataclass(frozen=True)
class Manifest:
    """Files of a checkpoint, Orbax's description of it, and what was said beside."""

    files: Files
    description: dict[str, Any] | None
    said: dict[str, Any]

    def of(self, parts: tuple[str, ...]) -> list[str]:
        """Names of the files of these parts."""
        return [name for name in self.files if name.startswith(tuple(f"{part}/" for part in parts))]


def write_manifest(folder: Path, said: dict[str, Any]) -> None:
    """List the files of a folder; `said` (JSON), which Orbax was given too, stands beside and comes back."""
    said = json.loads(json.dumps(said))
    found = {"files": files_of(folder, LATER), "description": _settled(folder, said), "said": said}
    write_json(folder / MANIFEST, found)


def _settled(folder: Path, said: dict[str, Any]) -> dict[str, Any] | None:
    """Orbax's description once it has written it, which it does on another thread; None if it does not."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with suppress(FileNotFoundError, ValueError):  # it is just being written
            found = _description(folder)
            if found.get("item_handlers") and found.get("custom_metadata") == said:
                return found
        time.sleep(0.002)
    return None


def read_manifest(folder: Path) -> Manifest | None:
    """The list of a checkpoint; None where earlier versions wrote none. Raises ValueError: it is damaged."""
    if not (folder / MANIFEST).exists():
        return None
    found = read_json(folder / MANIFEST, "")
    return Manifest(found["files"], found["description"], found["said"])


def check_description(folder: Path, manifest: Manifest) -> None:
    """Raises ValueError, with the file's name, if Orbax's description of a checkpoint is not what was written."""
    if manifest.description is None:
        return
    try:
        same = _description(folder) == manifest.description
    except FileNotFoundError:
        raise ValueError(f"{folder / DESCRIPTION} is missing") from None
    except ValueError:
        same = False
    if not same:
        raise ValueError(f"{folder / DESCRIPTION} is damaged: it is not what was written")


def _description(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / DESCRIPTION).read_bytes())
    return {name: value for name, value in found.items() if name != END}


def check_parts(folder: Path, manifest: Manifest, parts: tuple[str, ...]) -> None:
    """Compare every file of these parts of a checkpoint with the list; the processes of a run share the work.

    Raises:
        ValueError: a file is damaged or missing, with its name. In every process, if in one.
    """
    problem = None
    for name in manifest.of(parts)[jax.process_index() :: jax.process_count()]:
        try:
            check_file(folder, name, manifest.files[name])
        except ValueError as error:
            problem = error
            break
    if true_anywhere(problem is not None):
        raise problem or ValueError("a file of it is damaged or missing, another process says which")
