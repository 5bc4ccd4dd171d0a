import os
import re

import pytest

from generalist.envs.files import read_json, write_atomically, write_json


def test_json_comes_back(tmp_path):
    data = {"text": "ümlaut", "numbers": [1, 2.5, None], "flag": True}
    write_json(tmp_path / "a.json", data)
    assert read_json(tmp_path / "a.json", "") == data


def test_nan_is_no_json_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "a.json", {"value": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["[" * 100_000, "9" * 5000, '{"a": 1'])
def test_json_that_python_cannot_hold_is_a_damaged_file(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=r"a\.json is damaged"):
        read_json(tmp_path / "a.json", "")


def test_a_full_disk_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_atomically(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*: the disk is full; free some space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_says_what_to_do(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(ValueError, match=re.escape(f"there is no {path}: collect first")):
        read_json(path, "collect first")


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe"])
def test_a_damaged_file_is_named(content, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(f"{path} is damaged")):
        read_json(path, "")
