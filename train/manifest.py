"""What a checkpoint consists of: one file in its folder, written last, that lists every other with its SHA-256.

Orbax gives the folder its name afterwards, so a checkpoint that can be found has its list. Only what Orbax itself still
writes then, the time and the mark of the end, is not in it; nothing of that is restored.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from generalist.envs.checksums import Files, check_file, files_of
from generalist.envs.files import read_json, write_json
from generalist.train.processes import true_anywhere

MANIFEST = "checksums.json"
LATER = ("_CHECKPOINT_METADATA", "commit_success.txt", MANIFEST)
"""At the top of the folder, and changed after the list is made."""


@dataclass(frozen=True)
class Manifest:
    """Files of a checkpoint, and what was said beside."""

    files: Files
    said: dict[str, Any]

    def of(self, parts: tuple[str, ...]) -> list[str]:
        """Names of the files of these parts."""
        return [name for name in self.files if name.startswith(tuple(f"{part}/" for part in parts))]


def write_manifest(folder: Path, said: dict[str, Any]) -> None:
    """List the files of a folder; `said` (JSON) stands beside, and is what `read_manifest` gives."""
    write_json(folder / MANIFEST, {"files": files_of(folder, LATER), "said": said})


def read_manifest(folder: Path) -> Manifest | None:
    """The list of a checkpoint; None where earlier versions wrote none. Raises ValueError: it is damaged."""
    if not (folder / MANIFEST).exists():
        return None
    found = read_json(folder / MANIFEST, "")
    return Manifest(found["files"], found["said"])


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
