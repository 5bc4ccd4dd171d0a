"""Where a run or an exported folder is: what the user typed becomes a directory here, and nowhere else.

A place is a folder, `pretrained:NAME` for an export that is part of this package, or `hf:USER/NAME[@REVISION]` for one
on the Hugging Face Hub; for public language models also a .gguf file, or `package:NAME` for the one that an installed
Python package has. A folder that is there is meant, whatever its name.
"""

import os
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from generalist.envs.names import nearest
from generalist.train.hub import SCHEME as HUB
from generalist.train.hub import fetched
from generalist.train.public.gguf_file import SUFFIX, folder_of

SHIPPED, INSTALLED = "pretrained", "package"


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
    if scheme == HUB:
        return fetched(name)
    if scheme == INSTALLED:
        path = _file_of(name)
    return folder_of(path) if path.suffix == SUFFIX and not path.is_dir() else path


def named(place: str | os.PathLike[str]) -> tuple[str, str]:
    """Scheme and name of a place that is no folder, such as ("pretrained", "ml45"); two empty ones of a folder."""
    scheme, colon, name = os.fspath(place).partition(":")
    return (scheme, name) if colon and scheme in (SHIPPED, HUB, INSTALLED) and not Path(place).exists() else ("", "")


def _file_of(package: str) -> Path:
    """The one GGUF file of an installed package, which is not imported."""
    found = find_spec(package) if package.isidentifier() else None
    folders = (found.submodule_search_locations or ()) if found else ()
    files = sorted(path for folder in folders for path in Path(folder).glob(f"*{SUFFIX}"))
    if len(files) != 1:
        why = f"it has {len(files)} files {SUFFIX}" if folders else "there is no such package"
        raise FileNotFoundError(f"{INSTALLED}:{package}: {why}; give the path of the file")
    return files[0]


def pretrained() -> dict[str, Path]:
    """The exports that are part of this package, by name."""
    folders = [Path(each) for each in import_module(f"generalist.{SHIPPED}").__path__]
    return {path.parent.name: path.parent for folder in folders for path in sorted(folder.glob("*/config.json"))}
