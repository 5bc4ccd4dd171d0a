"""What was encoded once is found again, and no file of it can do harm."""

import pickle
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from generalist.tests.helpers.visual import SMALL, visual_tokenizer
from generalist.tokenizers import kept_ids
from generalist.tokenizers.kept_ids import KeptIds, key_of
from generalist.tokenizers.visual import VisualTokenizer

PICTURE = np.random.default_rng(0).integers(256, size=SMALL.shape).astype(np.uint8)


def visual(folder: Path | None) -> VisualTokenizer:
    return replace(visual_tokenizer(), cache=folder)


def kept(folder: Path) -> KeptIds:
    tokenizer = visual_tokenizer()
    return KeptIds(folder, tokenizer.version, tokenizer.config.tokens, tokenizer.size)


def test_a_later_start_does_not_encode_what_an_earlier_one_did(tmp_path, monkeypatch):
    expected = visual_tokenizer().encode(PICTURE[None])[0]
    assert visual(tmp_path / "new").encode_once(PICTURE).tolist() == expected.tolist()

    monkeypatch.setattr(VisualTokenizer, "_encode", None)
    later = visual(tmp_path / "new").encode_once(PICTURE)
    assert later.tolist() == expected.tolist()
    assert later.dtype == np.int32
    with pytest.raises(TypeError):
        visual(tmp_path / "new").encode_once(255 - PICTURE)


def test_what_one_connection_writes_another_reads(tmp_path):
    one, other = kept(tmp_path), kept(tmp_path)
    assert other.get(b"key") is None
    one.put(b"key", np.arange(4))
    assert other.get(b"key").tolist() == [0, 1, 2, 3]
    assert pickle.loads(pickle.dumps(one)).get(b"key").tolist() == [0, 1, 2, 3]
    assert KeptIds(tmp_path, "visual-another", 4, 25).get(b"key") is None


def test_a_damaged_file_costs_what_was_kept_and_no_more(tmp_path):
    tokenizer = visual(tmp_path)
    path = kept(tmp_path).path
    path.write_bytes(b"not a database " * 1000)
    assert tokenizer.encode_once(PICTURE).tolist() == tokenizer.encode(PICTURE[None])[0].tolist()


def test_a_file_that_breaks_while_it_is_open(tmp_path):
    tokenizer = visual(tmp_path)
    tokenizer.encode_once(PICTURE)
    with sqlite3.connect(kept(tmp_path).path) as connection:
        connection.execute("DROP TABLE pictures")
    assert tokenizer.encode_once(PICTURE).tolist() == tokenizer.encode(PICTURE[None])[0].tolist()


def test_a_file_that_another_process_keeps_locked(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_ids, "WAITED", 0.01)
    tokenizer = visual(tmp_path)
    expected = tokenizer.encode_once(PICTURE)
    other = 255 - PICTURE
    connection = sqlite3.connect(kept(tmp_path).path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    assert tokenizer.encode_once(other).tolist() == tokenizer.encode(other[None])[0].tolist()
    connection.close()
    assert kept(tmp_path).get(key_of(PICTURE)).tolist() == expected.tolist()


@pytest.mark.parametrize("ids", [[0, 1, 2], [0, 1, 2, 25], []])
def test_ids_that_are_none_of_the_tokenizer_are_not_believed(ids, tmp_path):
    tokenizer = visual(tmp_path)
    key, path = key_of(PICTURE), kept(tmp_path).path
    kept(tmp_path).put(key, np.arange(4))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE pictures SET ids = ?", (np.asarray(ids, "<u2").tobytes(),))
    assert kept(tmp_path).get(key) is None
    assert tokenizer.encode_once(PICTURE).tolist() == tokenizer.encode(PICTURE[None])[0].tolist()


def test_where_nothing_can_be_written_ids_are_kept_in_memory(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    tokenizer = visual(tmp_path / "file")
    expected = tokenizer.encode_once(PICTURE).tolist()
    monkeypatch.setattr(VisualTokenizer, "_encode", None)
    assert tokenizer.encode_once(PICTURE).tolist() == expected
