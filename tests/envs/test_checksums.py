"""What carries a checksum comes back or is refused; what carries none is read as it is."""

import json

import pytest

from generalist.envs.checksums import CHECKSUM, check_file, file_entry, files_of, sealed, unsealed
from generalist.envs.files import read_json, write_json

DATA = {"lengths": [500, 12], "returns": [1 / 3, -2e-300], "name": "ümlaut", "nested": {"7": None, "a": [True]}}


def test_what_was_sealed_comes_back():
    assert unsealed(sealed(DATA)) == DATA
    assert unsealed(json.loads(json.dumps(sealed(DATA), indent=3))) == DATA, "its form on paper is free"
    assert sealed(sealed(DATA)) == sealed(DATA)


def test_every_flipped_bit_of_a_file_is_refused_or_without_effect(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, DATA)
    good, refused = path.read_bytes(), 0
    for at in range(len(good)):
        for bit in range(8):
            path.write_bytes(good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :])
            try:
                found = read_json(path, "")
            except ValueError as error:
                refused += str(path) in str(error)
            else:
                assert {name: found.get(name) for name in DATA} == DATA
    assert refused > 6 * len(good)


def test_a_file_without_a_checksum_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(DATA))
    assert read_json(path, "") == DATA


def test_a_change_by_hand_is_refused_and_told_how_it_is_meant(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, DATA)
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | {"name": "other"}))
    with pytest.raises(ValueError, match=f'changed by hand and is meant so, remove its field "{CHECKSUM}"'):
        read_json(path, "")
    del stored[CHECKSUM]
    path.write_text(json.dumps(stored | {"name": "other"}))
    assert read_json(path, "")["name"] == "other"


def test_files_of_a_folder_are_compared_one_by_one(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"")
    found = files_of(tmp_path, ["b"])
    assert found == {"d/a": file_entry(tmp_path / "d" / "a")}
    check_file(tmp_path, "d/a", found["d/a"])
    (tmp_path / "d" / "a").write_bytes(b"onf")
    with pytest.raises(ValueError, match="d/a is damaged"):
        check_file(tmp_path, "d/a", found["d/a"])
    (tmp_path / "d" / "a").unlink()
    with pytest.raises(ValueError, match="d/a is missing"):
        check_file(tmp_path, "d/a", found["d/a"])
