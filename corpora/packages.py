"""Data that packages of PyPI hold: their files are read, none of their code is run."""

from importlib.util import find_spec
from pathlib import Path

from generalist.envs.task import MissingExtra


def folder_of(package: str, extra: str = "pictures") -> Path:
    """Where a package of an extra is installed, by the name that Python imports.

    Raises:
        MissingExtra: it is not.
    """
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise MissingExtra(extra, ModuleNotFoundError(f"No module named '{package}'"))
    return Path(found.submodule_search_locations[0])
