"""One writer per folder: the second is told who the first is, and the dead hold nobody off."""

import json
import multiprocessing
import os
import re
import signal
import socket
import threading
import time

import pytest
from leftovers import descriptors, threads

from generalist.envs import lock as module
from generalist.envs.lock import LOCK, locked


def test_the_second_is_told_who_the_first_is(tmp_path):
    with locked(tmp_path, "painting"):
        said = json.loads((tmp_path / LOCK).read_text())
        with (
            pytest.raises(ValueError, match="another process is painting in") as raised,
            locked(tmp_path, "collecting"),  # separate open files, so one process shows it
        ):
            pass
        assert json.loads((tmp_path / LOCK).read_text()) == said, "the refused one leaves it alone"
    who = f"process {os.getpid()} on {socket.gethostname()}, since {said['since']}"
    assert re.search(re.escape(who), str(raised.value))
    with locked(tmp_path, "collecting"):
        pass


def test_nothing_stays(tmp_path):
    before = descriptors(), threads()
    with locked(tmp_path, "painting"):
        assert os.listdir(tmp_path) == [LOCK]
    assert os.listdir(tmp_path) == []
    with pytest.raises(KeyError), locked(tmp_path, "painting"):
        raise KeyError
    assert os.listdir(tmp_path) == []
    for _ in range(100):
        if (descriptors(), threads()) == before:
            return
        time.sleep(0.1)
    raise AssertionError((descriptors(), threads(), before))


def hold(folder, ready):
    with locked(folder, "painting"):
        ready.set()
        time.sleep(600)


def test_one_that_was_killed_holds_nobody_off(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(60)
    with pytest.raises(ValueError, match=f"process {process.pid} on"), locked(tmp_path, "collecting"):
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    begun = time.monotonic()
    with locked(tmp_path, "collecting"):
        assert time.monotonic() - begun < 1
    assert os.listdir(tmp_path) == []


def say(folder, **holder):
    said = {"doing": "training", "process": 7, "host": "far", "since": "2026-01-01 00:00:00+00:00"}
    (folder / LOCK).write_text(json.dumps(said | holder))


def test_one_of_another_machine_that_is_alive_holds_others_off(tmp_path, monkeypatch):
    """Whose lock this machine's system does not know: only that it touches its file."""
    monkeypatch.setattr(module, "BEAT", 0.1)
    monkeypatch.setattr(module, "SILENCE", 5.0)
    say(tmp_path)
    ended = threading.Event()

    def beat():
        while not ended.wait(0.2):
            os.utime(tmp_path / LOCK)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(ValueError, match=r"training in .*process 7 on far, since 2026"), locked(tmp_path, "x"):
            pass
    finally:
        ended.set()
        thread.join()


def test_one_of_another_machine_that_is_silent_is_dead(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BEAT", 0.1)
    monkeypatch.setattr(module, "SILENCE", 0.5)
    say(tmp_path)
    with locked(tmp_path, "painting"):
        assert json.loads((tmp_path / LOCK).read_text())["doing"] == "painting"
    say(tmp_path)
    os.utime(tmp_path / LOCK, (1, 1))
    monkeypatch.setattr(module, "SILENCE", 30.0)
    begun = time.monotonic()
    with locked(tmp_path, "painting"):
        assert time.monotonic() - begun < 1, "long ago is known at once"


@pytest.mark.parametrize("content", ["", "{", "[1]", "\xff"])
def test_a_file_that_says_nothing_is_nobody_s(tmp_path, content):
    (tmp_path / LOCK).write_text(content)
    with locked(tmp_path, "painting"):
        pass


def test_the_file_is_touched_while_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BEAT", 0.05)
    with locked(tmp_path, "painting"):
        os.utime(tmp_path / LOCK, (1, 1))
        for _ in range(100):
            if (tmp_path / LOCK).stat().st_mtime > 1:
                return
            time.sleep(0.05)
    raise AssertionError("nobody touched it")
