"""What an import remembers of its source, so that another one of the same name is not taken for it.

    source    scheme:name, path, version, config, split, number of episodes, options, and a fingerprint of the files

The fingerprint is the SHA-256 of every file's name below the folder, its size and a digest of its contents: all of them
up to 1 MiB, and of larger files sixteen blocks of 4 KiB, spread evenly, the first and the last among them. So it does
not depend on where the folder is or when it was written, and costs milliseconds a file; a change inside a large file
that keeps its size can pass unseen.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from generalist.demonstrations.collection import COLLECTION
from generalist.demonstrations.public.form import Form
from generalist.demonstrations.public.reader import PublicData
from generalist.envs.files import read_json

SOURCE, SKIPPED = "source", "skipped"
"""Keys of collection.json: what was imported, and which episodes of it were passed over, with the reason."""
WHOLE, BLOCKS, BLOCK = 1 << 20, 16, 1 << 12


def fingerprint(folder: Path, files: Iterable[Path] = ()) -> str:
    """Of these files, or of all below the folder but hidden ones; see above. Raises OSError: one cannot be read."""
    digest = hashlib.sha256()
    for path in sorted(files or _below(folder)):
        size = path.stat().st_size if path.is_file() else -1  # a missing shard is a difference too
        digest.update(json.dumps([path.relative_to(folder).as_posix(), size]).encode())
        if size > 0:
            for data in _contents(path, size):
                digest.update(data)
    return digest.hexdigest()


def describe(source: PublicData, form: Form, *, actions: int = 0, skip_bad: bool = False) -> dict[str, Any]:
    """What of a source is stored with its import: JSON. `{}` where it is read from no file."""
    origin = source.origin
    if origin is None:
        return {}
    return {
        "name": source.name,
        "path": str(origin.folder.resolve()),
        "version": origin.version,
        "config": origin.config,
        "split": origin.split,
        "episodes": len(source),
        "options": {
            "observation": [list(pair) for pair in form.observation],
            "action": form.action,
            "instruction": form.instruction,
            "last_action_taken": form.last_action_taken,
            "actions": actions,
            "skip_bad": skip_bad,
            **({"told": source.told} if source.told else {}),
        },
        "fingerprint": fingerprint(origin.folder, origin.files),
    }


def settle(folder: Path, settings: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The settings to import with into a folder that may hold an import already, and a notice, or "".

    The same files go on where they were, also from another place. What an older version imported has no fingerprint: it
    goes on if name and number of episodes are the same, and the notice says so.

    Raises:
        ValueError: the folder holds an import of another source, or of this one with other options.
    """
    now = settings.get(SOURCE)
    there = read_json(folder / COLLECTION, "") if (folder / COLLECTION).is_file() else None
    if there is None or now is None:
        return settings, ""
    before = there.get(SOURCE)
    if before is None:
        notice = f"{folder} has no fingerprint of what was imported into it: its files were not compared"
        return {key: value for key, value in settings.items() if key != SOURCE}, notice
    if before.get("fingerprint") != now["fingerprint"] or before.get("name") != now["name"]:
        raise ValueError(
            f"{folder} was imported from {_named(before)}, whose files are not those of {_named(now)}: "
            f"name another task (--task NAME) or another folder (--out), or replace what is there (--overwrite)"
        )
    if changes := _changes(before, now):
        raise ValueError(f"{folder} was imported with other options ({changes}): use another folder, or --overwrite")
    if there.get("episodes") != settings["episodes"]:
        raise ValueError(
            f"{folder} was imported with other settings (episodes was {there.get('episodes')}, now "
            f"{settings['episodes']}): an import is not extended; use another folder, or --overwrite to import all anew"
        )
    return settings | {SOURCE: before}, ""


def _changes(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Of what decides the contents of episodes; which are passed over may be said later."""
    old, new = ({**each.get("options", {}), "split": each.get("split")} for each in (before, now))
    compared = [key for key in {**new, "told": ""} if key != "skip_bad"]
    return "; ".join(
        f"{key} was {old.get(key)}, now {new.get(key)}" for key in compared if old.get(key) != new.get(key)
    )


def _named(source: dict[str, Any]) -> str:
    parts = [str(source.get(key)) for key in ("config", "version", "split") if source.get(key)]
    parts = [*parts, f"{source.get('episodes')} episodes", f"fingerprint {str(source.get('fingerprint'))[:8]}"]
    return f"{source.get('path')} ({', '.join(parts)})"


def _below(folder: Path) -> Iterator[Path]:
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(place))
        inside = [name for name in folders if not name.startswith(".")]
        folders[:] = [name for name in inside if os.path.realpath(os.path.join(place, name)) not in seen]
        yield from (Path(place) / name for name in names if not name.startswith("."))


def _contents(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        if size <= WHOLE:
            yield file.read(WHOLE)
            return
        for start in np.linspace(0, size - BLOCK, BLOCKS).astype(np.int64).tolist():
            file.seek(start)
            yield file.read(BLOCK)
