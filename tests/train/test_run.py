"""A run directory says what was trained, and is refused where it says something else than this version can read."""

import json
import shutil
from pathlib import Path

import pytest
from tiny import CONFIG, TASKS, demonstrations, trained

from generalist.envs.files import write_json
from generalist.train.run import read_run


def changed(tmp_path: Path, change) -> Path:
    """A run directory with the trained run's config.json after `change`."""
    stored = json.loads((trained() / "config.json").read_text())
    change(stored)
    write_json(tmp_path / "config.json", stored)
    return tmp_path


def test_what_was_written_is_read():
    run = read_run(trained())
    assert run.config == CONFIG
    assert tuple(run.layouts) == TASKS
    assert Path(run.data) == demonstrations()


def test_it_stays_whole_when_it_is_moved(tmp_path):
    moved = Path(shutil.copytree(trained(), tmp_path / "moved"))
    with read_run(moved).open_checkpoints() as checkpoints:
        assert checkpoints.latest == 6
    assert read_run(moved).checkpoints == moved / "checkpoints"


def test_another_schema_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has schema 99, this version of generalist reads 1"):
        read_run(changed(tmp_path, lambda stored: stored.update(schema=99)))


def test_unknown_fields_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"not a training configuration: .*wings"):
        read_run(changed(tmp_path, lambda stored: stored["config"]["agent"].update(wings=2)))
