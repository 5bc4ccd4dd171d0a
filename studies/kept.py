"""Finished parts of a study, one file each, so that an interrupted study goes on where it stopped."""

import json
from pathlib import Path
from typing import Any

from generalist.envs.files import check_writable, read_json, write_json

REDO = "restore it from a copy, or delete this file, and it alone is done again"


class Kept:
    """Parts of a study by name, each with what it was made with; a part made with anything else does not count.

    Args:
        folder: where they are kept; made if it is not there.

    Raises:
        WritingError: nothing may be written there.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        check_writable(folder)
        folder.mkdir(parents=True, exist_ok=True)

    def load(self, name: str, made_with: Any) -> Any:
        """What `save` kept under this name, None if there is nothing that was made with just this.

        Raises:
            ValueError: the file is damaged; names it.
        """
        path = self._path(name)
        if not path.exists():
            return None
        stored = read_json(path, "", REDO)
        return stored["part"] if stored.get("made_with") == json.loads(json.dumps(made_with)) else None

    def save(self, name: str, made_with: Any, part: Any) -> Any:
        """Keep a part (plain JSON), whole or not at all; gives it back."""
        write_json(self._path(name), {"made_with": made_with, "part": part})
        return part

    def _path(self, name: str) -> Path:
        return self.folder / f"{name.replace('/', '-')}.json"
