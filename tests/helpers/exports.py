"""An export of the tiny run, and what a stranger may make of its files."""

import json
import shutil
from pathlib import Path

import pytest
from tiny import trained

from generalist.envs.checksums import sealed
from generalist.train.export import prepared, write_export
from generalist.train.exported_files import CONFIG as SAID
from generalist.train.run import read_run


def exported(run, to: Path, **how):
    return write_export(prepared(read_run(run), to.name), to, card="# A card", **how)


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> Path:
    """Of the tiny run; not to be changed."""
    return exported(trained(), tmp_path_factory.mktemp("exports") / "tiny-1").directory


@pytest.fixture
def copy(export, tmp_path) -> Path:
    return Path(shutil.copytree(export, tmp_path / "copy"))


def said_otherwise(folder: Path, **changes) -> None:
    """Change its config.json as a stranger would, checksum and all; "a.b" is a field inside a field."""
    stored = json.loads((folder / SAID).read_text())
    for path, value in changes.items():
        *outer, last = path.split("__")
        part = stored
        for key in outer:
            part = part[int(key)] if isinstance(part, list) else part[key]
        part[last] = value
    (folder / SAID).write_text(json.dumps(sealed(stored)))
