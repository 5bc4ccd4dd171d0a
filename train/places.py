"""Where a run or an exported folder is: what the user typed becomes a directory here, and nowhere else.

A place is a folder, `pretrained:NAME` for an export that is part of this package, or `hf:USER/NAME[@REVISION]` for one
on the Hugging Face Hub. A folder that is there is meant, whatever its name.
"""

import os
from importlib import import_module
from pathlib import Path

from generalist.envs.names import nearest
from generalist.train.hub import SCHEME as HUB
from generalist.train.hub import fetched

SHIPPED = "pretrained"


def directory_of(place: str | os.PathLike[str]) -> Path:
    """The directory that a place names; of a folder, which need not be there, itself.

    Raises:
        FileNotFoundError: no export of this name is part of the package, with the nearest that is; or none on the Hub.
        ModuleNotFoundError: the extra for the Hub is not installed.
        ValueError: no name of a repository.
    """
    path = Path(place)
    scheme, name = named(place)
    if scheme == SHIPPED:
        there = pretrained()
        if name not in there:
            which = nearest(name, there) if there else "this package has none"
            raise FileNotFoundError(f"there is no {SHIPPED}:{name}: {which}")
        return there[name]
    return fetched(name) if scheme == HUB else path


def named(place: str | os.PathLike[str]) -> tuple[str, str]:
    """Scheme and name of a place that is no folder, such as ("pretrained", "ml45"); two empty ones of a folder."""
    scheme, colon, name = os.fspath(place).partition(":")
    return (scheme, name) if colon and scheme in (SHIPPED, HUB) and not Path(place).exists() else ("", "")


def pretrained() -> dict[str, Path]:
    """The exports that are part of this package, by name."""
    folders = [Path(each) for each in import_module(f"generalist.{SHIPPED}").__path__]
    return {path.parent.name: path.parent for folder in folders for path in sorted(folder.glob("*/config.json"))}
