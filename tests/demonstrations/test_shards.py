import os
import random
import resource
from pathlib import Path

import pytest

from generalist.demonstrations.shards import open_shard, read_records, remove_temporary_files, shard_path, write_shard

RECORDS = [random.Random(i).randbytes(2000 + i) for i in range(50)]


def path_in(folder: Path) -> Path:
    return shard_path(folder / "some_task" / "1.0.0", 1, 4)


@pytest.fixture
def shard(tmp_path):
    path = path_in(tmp_path)
    path.parent.mkdir(parents=True)
    write_shard(path, RECORDS)
    return path


def test_name_is_that_of_tfds(tmp_path):
    assert path_in(tmp_path).name == "some_task-train.array_record-00001-of-00004"


def test_records_come_back(shard):
    reader = open_shard(shard, len(RECORDS))
    assert read_records(reader, shard, [3, 0, 49]) == [RECORDS[3], RECORDS[0], RECORDS[49]]
    assert os.listdir(shard.parent) == [shard.name]


def test_missing_cut_and_wrongly_counted_shards_are_named(shard):
    with pytest.raises(ValueError, match=r"some_task-train\.array_record-00001-of-00004 has 50 episodes instead of 51"):
        open_shard(shard, 51)
    shard.write_bytes(shard.read_bytes()[:70_000])
    with pytest.raises(ValueError, match=r"00001-of-00004 is truncated or corrupt"):
        open_shard(shard)
    shard.write_bytes(b"")
    with pytest.raises(ValueError, match=r"00001-of-00004 is truncated or corrupt"):
        open_shard(shard)
    shard.unlink()
    with pytest.raises(ValueError, match=r"00001-of-00004 is missing"):
        open_shard(shard)


def test_changed_contents_are_named(shard):
    data = bytearray(shard.read_bytes())
    data[len(data) // 4] ^= 0xFF
    shard.write_bytes(data)
    with pytest.raises(ValueError, match=r"00001-of-00004 is corrupt"):
        read_records(open_shard(shard), shard, list(range(len(RECORDS))))


def test_an_error_while_writing_leaves_nothing(tmp_path):
    path = path_in(tmp_path)
    path.parent.mkdir(parents=True)

    def records():
        yield b"one"
        raise KeyError("no second record")

    with pytest.raises(KeyError, match="no second record"):
        write_shard(path, records())
    assert os.listdir(path.parent) == []


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path):
    path = path_in(tmp_path)
    path.parent.mkdir(parents=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="the disk is full: free some space"):
            write_shard(path, [os.urandom(20_000) for _ in range(20)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(path.parent) == []


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(OSError, match="cannot write"):
        write_shard(path_in(tmp_path), RECORDS)


def test_leftovers_of_interrupted_writers_are_removed(shard):
    leftover = shard.with_name(f".part-{shard.name}-123")
    leftover.write_bytes(b"half")
    remove_temporary_files(shard.parent)
    assert os.listdir(shard.parent) == [shard.name]
