"""What a data set says about itself, believed only where it does no harm: names, descriptions, sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from generalist.demonstrations.public.reader import BadDataError, naming

MAX_EXPANDED, MAX_RATIO = 2**28, 200
"""What is more than so many bytes in memory, and so many times what it is on disk, is not read."""
MAX_DESCRIPTION = 2**28
"""Most bytes of a JSON file that describes a data set."""


def read_description(path: Path, otherwise: str) -> dict[str, Any]:
    """A JSON object that describes a data set.

    Raises BadDataError: it is missing (`otherwise` says what to do), too large, damaged or no object.
    """
    if not path.is_file():
        raise BadDataError(f"there is no {path}: {otherwise}")
    with naming(path):
        if path.stat().st_size > MAX_DESCRIPTION:
            raise ValueError(f"it has {path.stat().st_size:,} bytes, a description has at most {MAX_DESCRIPTION:,}")
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
        return found


def check_expansion(stored: int, expanded: int, what: str) -> None:
    """Raises ValueError where few bytes on disk become very many in memory: made to fill it, or damaged."""
    if expanded > MAX_EXPANDED and expanded > MAX_RATIO * max(1, stored):
        raise ValueError(f"{what} has {stored:,} bytes and would become {expanded:,}")


def own_name(name: str, where: str | Path) -> str:
    """The name that a data set gives itself, where it stands for a task of ours. A module in it is not imported for it.

    Raises:
        BadDataError: it cannot be shown in a terminal.
    """
    if not name.isprintable() or len(name) > 500:
        raise BadDataError(
            f"{where} names the data set {name!r:.100}, which is no name of a task: give one (--task ID)"
        )
    return name


def shown_name(name: str) -> str:
    """The same for messages and as the `expert` of episodes: nothing in it moves a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:500]


def no_steps(where: str | Path, episode: int) -> BadDataError:
    """The error for an episode without a step, to be raised when it is read."""
    return BadDataError(f"{where}, episode {episode} has no steps")
