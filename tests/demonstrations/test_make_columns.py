"""Where columns lie, when they are made, and what happens where they cannot be."""

import errno
import os
import shutil
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from tiny import TASKS, demonstrations

from generalist.demonstrations import make_columns
from generalist.demonstrations.collect import collect
from generalist.demonstrations.columns import Columns
from generalist.demonstrations.make_columns import SUFFIX, cached_path, fingerprint, kept_columns
from generalist.demonstrations.storage import STEPS, Demonstrations, dataset_folder

SPACE, ACTION = spaces.Box(-9, 9, (2,), np.float32), spaces.Discrete(5)
LENGTHS = np.array([3, 2])
NOBODY = 65534


class Data:
    """What columns are made from; counts how often they are."""

    def __init__(self, value: float = 1.0):
        self.value, self.made = value, 0

    def pieces(self):
        self.made += 1
        for episode, length in enumerate(LENGTHS):
            yield episode, [np.full((length, 2), self.value), np.zeros(length, int)], np.zeros(length)

    def kept(self, beside: Path) -> Columns:
        made_from = fingerprint(str(self.value).encode())
        return kept_columns(beside, SPACE, ACTION, LENGTHS, self.pieces, made_from=made_from, quiet=True)


@pytest.fixture
def beside(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data" / "task" / "1.0.0").mkdir(parents=True)
    return tmp_path / "data" / "task" / "1.0.0" / f"steps{SUFFIX}"


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A small data set of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Path(shutil.copytree(dataset_folder(demonstrations(), TASKS[0]), tmp_path / "cart_pole_v1" / "1.0.0"))


def values(columns: Columns) -> set[float]:
    return set(columns.observations(np.arange(5)).ravel().tolist())


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_fingerprints_tell_parts_apart():
    found = [fingerprint(*parts) for parts in ((), (b"",), (b"a", b"b"), (b"ab",), (b"", b"ab"), (b"b", b"a"))]
    assert len(set(found)) == len(found)
    assert fingerprint(b"a", b"b") == fingerprint(b"a", b"b")


def test_columns_are_made_once_and_again_for_other_data(beside):
    one, other = Data(1), Data(2)
    for _ in range(2):
        assert values(one.kept(beside)) == {1}
    assert one.made == 1
    for _ in range(2):
        assert values(other.kept(beside)) == {2}
    assert (one.made, other.made) == (1, 1)
    assert list(beside.parent.iterdir()) == [beside]


def test_damaged_columns_are_an_error_that_says_what_to_do(beside):
    Data().kept(beside)
    beside.write_bytes(beside.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"steps\.columns is damaged .*: delete this file, it is made anew"):
        Data().kept(beside)
    beside.unlink()
    assert values(Data().kept(beside)) == {1}


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_where_nothing_may_be_written_the_cache_holds_them(beside, monkeypatch, code):
    write, written = make_columns.write_columns, []

    def forbidden(path, *args, **kwargs):
        written.append(path)
        if path == beside:
            raise OSError(code, "not here")
        write(path, *args, **kwargs)

    monkeypatch.setattr(make_columns, "write_columns", forbidden)
    data = Data()
    assert values(data.kept(beside)) == {1}
    assert written == [beside, cached_path(beside)]
    assert values(data.kept(beside)) == {1}
    assert data.made == 1
    assert values(Data(2).kept(beside)) == {2}
    assert not list(beside.parent.iterdir())


def test_other_troubles_do_not_fill_the_cache(beside, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(make_columns, "write_columns", full)
    with pytest.raises(OSError, match="full"):
        Data().kept(beside)
    assert not cached_path(beside).parent.exists()


def test_equal_names_in_other_folders_have_places_of_their_own(tmp_path):
    paths = [tmp_path / each / "task" / "1.0.0" / "steps.columns" for each in ("one", "two")]
    assert len({*map(cached_path, paths)}) == 2
    assert all(cached_path(path).parent.name.startswith("task-") for path in paths)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_who_may_only_read_has_them_in_their_cache(monkeypatch):
    place = Path(tempfile.mkdtemp(prefix="columns-"))
    try:
        folder = Path(shutil.copytree(dataset_folder(demonstrations(), TASKS[0]), place / "cart_pole_v1" / "1.0.0"))
        (folder / STEPS).unlink()
        (place / "home").mkdir()
        os.chown(place / "home", NOBODY, NOBODY)
        place.chmod(0o755)
        monkeypatch.setenv("XDG_CACHE_HOME", str(place / "home"))
        before = files(folder)
        os.seteuid(NOBODY)
        try:
            for _ in range(2):
                columns = Demonstrations.open(folder).columns(quiet=True)
                assert columns.file.path == cached_path(folder / STEPS)
                assert columns.file.path.is_relative_to(place / "home" / "generalist")
                assert len(columns.observations(np.arange(len(columns)))) == len(columns)
                made = columns.file.identity
            assert columns.file.identity == made, "the second time they were read"
            monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cart_pole_v1"))
            message = r"cannot write .*steps\.columns: Permission denied.*: set XDG_CACHE_HOME to a folder"
            with pytest.raises(PermissionError, match=message):
                Demonstrations.open(folder).columns(quiet=True)
        finally:
            os.seteuid(0)
        assert files(folder) == before
    finally:
        shutil.rmtree(place)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("room", [0, 4096])
def test_a_full_disk_is_said_and_the_shards_stay(copied, small_disk, room):
    (copied / STEPS).unlink()
    folder = Path(shutil.copytree(copied, small_disk / "cart_pole_v1" / "1.0.0"))
    before = files(folder)
    with suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with (small_disk / "ballast").open("r+b") as file:
        file.truncate((small_disk / "ballast").stat().st_size - room)
    with pytest.raises(OSError, match=r"cannot write .*steps\.columns: the disk is full; free .* is untouched"):
        Demonstrations.open(folder).columns(quiet=True)
    assert files(folder) == before
    (small_disk / "ballast").unlink()
    columns = Demonstrations.open(folder).columns(quiet=True)
    assert columns.file.path == folder / STEPS
    columns.file.close()


def test_two_that_need_them_at_once_both_read_them(beside):
    """Also after the other is done: neither replaces what the other reads."""
    together, opened, found = threading.Barrier(2, timeout=20), [], []

    class Together(Data):
        def pieces(self):
            together.wait()
            yield from super().pieces()

    def use() -> None:
        columns = Together().kept(beside)
        opened.append(columns.file.identity)
        together.wait()
        found.append(values(columns))

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [{1}, {1}]
    assert len(set(opened)) == 1


def test_a_data_set_that_is_collected_anew_has_new_columns(copied):
    old = Demonstrations.open(copied).columns()
    seen = old.take(np.arange(5))[0]
    collect(TASKS[:1], copied.parents[1], seed=1, episodes=2, policy="random", workers=0, quiet=True, overwrite=True)
    with pytest.raises(ValueError, match=r"steps\.columns was replaced or changed while it was in use"):
        old.take(np.array([0]))
    assert not np.array_equal(Demonstrations.open(copied).columns().take(np.arange(5))[0], seen)
