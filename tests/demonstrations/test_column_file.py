"""The file of columns: it holds what was written or says that it does not, and it is there whole or not at all."""

import errno
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from generalist.demonstrations.column_file import BLOCK, MAGIC, ArraySpec, ColumnFile, ColumnFileWriter

RNG = np.random.default_rng(0)
ARRAYS = {
    "wide": RNG.integers(0, 256, (60, 1000), np.uint8),
    "numbers": RNG.normal(size=(300, 3)),
    "none": np.zeros((5, 0), np.float32),
    "flags": RNG.integers(0, 2, 77).astype(np.bool_),
}
HEAP = [RNG.bytes(size) for size in (1, 70_000, 0, 9, 2 * BLOCK)]


def specs() -> dict[str, ArraySpec]:
    return {name: ArraySpec(array.shape, array.dtype) for name, array in ARRAYS.items()}


def write(path: Path, note=None) -> None:
    """The arrays in two parts each, pieces of the heap between them."""
    with ColumnFileWriter(path, specs()) as file:
        starts = []
        for part in (slice(0, 20), slice(20, None)):
            for name, array in ARRAYS.items():
                file.append(name, array[part])
            starts += [file.append_heap(data) for data in (HEAP[:2] if part.start == 0 else HEAP[2:])]
        file.finish({"starts": starts} | (note or {}))


@pytest.fixture
def path(tmp_path):
    write(tmp_path / "a.columns")
    return tmp_path / "a.columns"


def assert_whole(path: Path) -> None:
    """Read everything; raises what reading raises."""
    file = ColumnFile(path)
    for name, array in ARRAYS.items():
        file.check_rows(name, np.arange(len(array)))
        np.testing.assert_array_equal(file.array(name), array)
        assert file.array(name).dtype == array.dtype
        assert not file.array(name).flags.writeable
    assert file.heap(np.array(file.note["starts"]), np.array([len(data) for data in HEAP])) == HEAP
    file.close()


def refused(path: Path, what: str = "is damaged"):
    return pytest.raises(ValueError, match=rf"{path.name} {what}")


def test_everything_comes_back(path):
    assert_whole(path)
    file = ColumnFile(path)
    assert "wide" in file
    assert "long" not in file
    assert file.heap_size == sum(map(len, HEAP))


def test_any_flipped_bit_is_an_error_that_names_the_file(path):
    """Of the file's ends, where what says what is where stands, every byte; of the rest, some."""
    data = bytearray(path.read_bytes())
    ends = [*range(16), *range(len(data) - 700, len(data))]
    for at in [*ends, *RNG.integers(0, len(data), 300).tolist()]:
        bit = 1 << int(RNG.integers(8))
        data[at] ^= bit
        path.write_bytes(data)
        with refused(path):
            assert_whole(path)
        data[at] ^= bit
    path.write_bytes(data)
    assert_whole(path)


def test_damaged_checksums_are_seen_when_the_file_is_opened(path):
    data = bytearray(path.read_bytes())
    data[data.index(b'{"arrays"') - 2] ^= 1
    path.write_bytes(data)
    with refused(path, r"is damaged \(its checksums"):
        ColumnFile(path)


def test_a_file_without_a_heap_is_as_safe(tmp_path):
    """Its last array ends anywhere."""
    with ColumnFileWriter(tmp_path / "a", {"flags": specs()["flags"]}) as file:
        file.append("flags", ARRAYS["flags"])
        file.finish({})
    file = ColumnFile(tmp_path / "a")
    file.check_rows("flags", np.arange(77))
    np.testing.assert_array_equal(file.array("flags"), ARRAYS["flags"])


def test_what_is_not_damaged_can_be_read(path):
    data = bytearray(path.read_bytes())
    data[BLOCK // 2] ^= 1  # row 32 of the first array
    path.write_bytes(data)
    file = ColumnFile(path)
    file.check_rows("numbers", np.arange(240, 300))
    file.heap(np.array(file.note["starts"][1:]), np.array([len(each) for each in HEAP[1:]]))
    for _ in range(2):  # also when asked again
        with refused(path):
            file.check_rows("wide", np.array([59, 32]))


def test_a_piece_of_many_blocks_is_checked_in_the_middle(path):
    """Its first and last blocks were read before."""
    file = ColumnFile(path)
    begin = file.note["starts"][-1]
    data = bytearray(path.read_bytes())
    heap = data.find(HEAP[-1][:100]) - begin
    data[heap + begin + BLOCK] ^= 1
    path.write_bytes(data)
    file = ColumnFile(path)
    file.heap(np.array([begin, begin + 2 * BLOCK - 1]), np.array([1, 1]))
    with refused(path):
        file.heap(np.array([begin]), np.array([2 * BLOCK]))


def test_any_other_length_is_an_error_that_names_the_file(path):
    data = path.read_bytes()
    cuts = [*range(64), *range(len(data) - 64, len(data)), *RNG.integers(0, len(data), 50).tolist()]
    for size in cuts:
        path.write_bytes(data[:size])
        with refused(path):
            ColumnFile(path)
    for more in (b"\0", data, data[:-1]):
        path.write_bytes(data + more)
        with refused(path):
            ColumnFile(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"PK\3\4" + bytes(1000), MAGIC * 100, bytes(24)])
def test_a_file_of_another_kind_is_named(tmp_path, content):
    (tmp_path / "b.columns").write_bytes(content)
    with refused(tmp_path / "b.columns"):
        ColumnFile(tmp_path / "b.columns")
    with pytest.raises(FileNotFoundError):
        ColumnFile(tmp_path / "c.columns")


def test_places_that_are_not_in_the_file_are_an_error(path):
    file = ColumnFile(path)
    with refused(path, r"is damaged \(it points beyond its end"):
        file.heap(np.array([0]), np.array([10 * BLOCK]))


def test_arrays_without_bytes_may_stand_at_the_end_of_a_block(tmp_path):
    with ColumnFileWriter(
        tmp_path / "a", {"a": ArraySpec((BLOCK - 64,), np.dtype("u1")), **specs_of_nothing()}
    ) as file:
        file.append("a", np.ones(BLOCK - 64, np.uint8))
        file.append("none", np.zeros((3, 0)))
        file.finish({})
    file = ColumnFile(tmp_path / "a")
    file.check_rows("none", np.arange(3))
    assert file.array("none").shape == (3, 0)
    assert file.heap_size == 0


def specs_of_nothing():
    return {"none": ArraySpec((3, 0), np.dtype("f8"))}


def write_some(path: Path, name: str, rows: np.ndarray) -> None:
    with ColumnFileWriter(path, specs()) as file:
        file.append(name, rows)
        file.finish({})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((61, 1000), r"a\.columns: array wide has shape \(60, 1000\), \(61, 1000\) more do not fit"),
        ((3, 999), r"a\.columns: array wide has shape"),
        ((59, 1000), r"a\.columns: arrays wide, numbers, flags are not full"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        write_some(tmp_path / "a.columns", "wide", np.zeros(rows))
    assert not list(tmp_path.iterdir())


def test_an_exception_leaves_the_file_that_was_there(path):
    before = path.read_bytes()
    with pytest.raises(ValueError, match="arrays wide, numbers are not full"):
        write_some(path, "flags", ARRAYS["flags"])
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("room", [0, 4, 50_000, 150_000, -30])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, room):
    """No file may grow beyond `room` bytes: at the first byte, in arrays, in the heap, at the very end."""
    path = tmp_path / "a.columns"
    write(path)
    size = path.stat().st_size
    path.unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room % size if room < 0 else room, before[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write .*a\.columns: the disk is full; free some space") as failure:
            write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert failure.value.errno == errno.EFBIG
    assert not list(tmp_path.iterdir())
    write(path)
    assert_whole(path)


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cannot write .*gone/a\.columns: No such file"):
        write(tmp_path / "gone" / "a.columns")


KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from generalist.demonstrations.column_file import ArraySpec, ColumnFileWriter
with ColumnFileWriter(Path(sys.argv[1]), {"a": ArraySpec((1000000,), np.dtype("f8"))}) as file:
    file.append("a", np.ones(500000))
    print("half", flush=True)
    time.sleep(100)
"""


def test_what_a_killed_writer_left_is_written_over(tmp_path):
    path = tmp_path / "a.columns"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"half\n"
        process.send_signal(signal.SIGKILL)
    assert not path.exists()
    assert len(list(tmp_path.iterdir())) == 1
    write(path)
    assert list(tmp_path.iterdir()) == [path]
    assert_whole(path)


@pytest.mark.parametrize("finished", [True, False])
def test_a_second_writer_waits_for_the_first(tmp_path, finished):
    path, entered = tmp_path / "a.columns", threading.Event()

    def second() -> None:
        with ColumnFileWriter(path, specs()):
            entered.set()
            if not finished:
                return
            time.sleep(0.1)  # while a third could begin

    with ColumnFileWriter(path, specs()) as file:
        thread = threading.Thread(target=second)
        thread.start()
        for name, array in ARRAYS.items():
            file.append(name, array)
        starts = [file.append_heap(data) for data in HEAP]
        assert not entered.wait(0.3)
        if finished:
            file.finish({"starts": starts})
    assert entered.wait(10)
    if finished:
        assert_whole(path)
    thread.join()
    assert list(tmp_path.iterdir()) == ([path] if finished else [])


def test_a_finished_writer_leaves_the_next_ones_file_alone(tmp_path):
    first = ColumnFileWriter(tmp_path / "a.columns", {})
    first.finish({"number": 1})
    second = ColumnFileWriter(tmp_path / "a.columns", {})
    first.__exit__()
    second.finish({"number": 2})
    second.__exit__()
    assert ColumnFile(tmp_path / "a.columns").note == {"number": 2}


def test_a_file_system_without_locks_will_do(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("fcntl.flock", unsupported)
    write(tmp_path / "a.columns")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.columns"]
    assert_whole(tmp_path / "a.columns")


def test_the_opened_file_comes_back_from_a_pickle_unless_it_is_another(path):
    file = ColumnFile(path)
    sent = pickle.dumps(file)
    again = pickle.loads(sent)
    np.testing.assert_array_equal(again.array("numbers"), ARRAYS["numbers"])
    write(path, {"other": 1})
    with refused(path, "was replaced or changed"):
        pickle.loads(sent)


def test_a_file_that_changes_while_it_is_open_is_named(path):
    file = ColumnFile(path)
    file.check_unchanged()
    os.utime(path, ns=(0, 0))
    with refused(path, "was replaced or changed"):
        file.check_unchanged()
    file = ColumnFile(path)
    path.write_bytes(path.read_bytes()[:-1])
    with refused(path, "was replaced or changed"):
        file.check_unchanged()
    write(path)
    file = ColumnFile(path)
    write(path)
    with refused(path, "was replaced or changed"):
        file.check_unchanged()
    file = ColumnFile(path)
    path.unlink()
    with refused(path, "was removed"):
        file.check_unchanged()


def test_closing_gives_the_descriptor_and_the_mapping_back(path):
    def mapped() -> bool:
        return str(path) in Path("/proc/self/maps").read_text()

    before = len(os.listdir("/proc/self/fd"))
    file = ColumnFile(path)
    assert mapped()
    file.close()
    assert not mapped()
    assert len(os.listdir("/proc/self/fd")) == before
