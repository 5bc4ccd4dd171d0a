"""Child processes: what is sent arrives, nothing but the parent ends them, and nothing of them is left."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import pytest
from leftovers import alive, children, descriptors, until

from generalist.envs.child import Child

FUNCTIONS = """
import os, signal, sys, time
from generalist.envs.child import ParentPipes

class Local:
    pass

def answer():
    pipes = ParentPipes()
    while True:
        try:
            content = pipes.receive()
        except Exception as error:
            pipes.send(repr(error))
            continue
        print("printed", content if isinstance(content, str) else "", flush=True)
        os.write(1, b"written to 1\\n")
        if content == "environment":
            content = dict(os.environ)
        if content == "signals":
            content = [signal.getsignal(each) == signal.SIG_IGN for each in (signal.SIGINT, signal.SIGTERM)]
            content += [sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "__mp_main__" in sys.modules]
        if content == "input":
            content = os.read(0, 10)
        if content == "exit":
            sys.exit(7)
        if content == "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        pipes.send(content)

def slow_to_start():
    time.sleep(0.5)
    answer()

def shout():
    pipes = ParentPipes()
    while True:
        pipes.send(bytes(1 << 20))

def sleep():
    ParentPipes()
    time.sleep(1000)
"""


@pytest.fixture
def functions(tmp_path, monkeypatch) -> str:
    """A module that children import, because they get this process's `sys.path`."""
    name = f"functions_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


@pytest.fixture
def child(functions, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda,cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("OF_THE_TEST", "x")
    made = Child(f"{functions}:answer")
    yield made
    made.stop()
    made.close()


def ask(child: Child, content):
    child.send(content)
    return child.receive()


def test_what_is_sent_comes_back_and_what_is_printed_does_not_disturb(child):
    assert ask(child, {"a": [1, None]}) == {"a": [1, None]}
    large = os.urandom(3_000_000)
    assert ask(child, large) == large
    assert ask(child, "input") == b"", "the pipe is not its standard input any more"
    assert child.last_output().split("\n") == ["printed ", "written to 1"] * 2 + ["printed input", "written to 1", ""]


def test_it_has_no_accelerator_and_few_threads(child):
    found = ask(child, "environment")
    assert found["JAX_PLATFORMS"] == "cpu"
    assert (found["OMP_NUM_THREADS"], found["MKL_NUM_THREADS"]) == ("3", "1")
    assert found["OF_THE_TEST"] == "x"


def test_what_cannot_be_unpickled_is_an_exception_there(child, functions):
    module = __import__(functions)
    content = module.Local()
    content.value = 3
    assert ask(child, content).value == 3
    module.Gone = type("Gone", (), {"__module__": functions, "__qualname__": "Gone"})
    assert "Gone" in ask(child, module.Gone())
    assert ask(child, 1) == 1, "and it goes on"
    with pytest.raises((AttributeError, pickle.PicklingError)):
        child.send(lambda: None)
    assert ask(child, 2) == 2


@pytest.mark.parametrize("function", ["answer", "slow_to_start"])
def test_signals_of_the_job_are_ignored_from_the_first_instant(functions, function):
    child = Child(f"{functions}:{function}")
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []), "this process receives them as before"
    for wait in (0, 0, 0.05, 0.3):
        time.sleep(wait)
        for name in (signal.SIGTERM, signal.SIGINT):
            os.kill(child.pid, name)
    assert ask(child, "signals") == [True, True, [], False]
    for name in (signal.SIGTERM, signal.SIGINT):
        os.kill(child.pid, name)
    assert ask(child, 1) == 1
    child.stop()
    child.close()


@pytest.mark.parametrize(("how", "status"), [("exit", "exit status 7"), ("die", "signal SIGSEGV")])
def test_its_end_is_told(child, how, status):
    with pytest.raises(EOFError):
        ask(child, how)
    assert child.exit_status() == status
    assert f"printed {how}" in child.last_output()
    child.send("to nobody")
    with pytest.raises(EOFError):
        child.receive()


def test_stopping_ends_who_waits_for_it(child):
    found = []

    def wait() -> None:
        try:
            child.receive()
        except EOFError:
            found.append("ended")

    thread = threading.Thread(target=wait)
    thread.start()
    child.stop()
    thread.join(10)
    assert found == ["ended"]
    assert child.exit_status() == "signal SIGKILL"


@pytest.mark.parametrize("function", ["answer", "shout", "sleep"])
def test_it_ends_with_its_parent(functions, function, tmp_path):
    """Whether it waits for something, cannot get rid of something, or does something else."""
    code = f"""
import sys, time
sys.path[:] = {sys.path!r}
from generalist.envs.child import Child
child = Child("{functions}:{function}")
print(child.pid, flush=True)
time.sleep(1000)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        time.sleep(0.5)
        assert alive(pid)
        parent.kill()
    until(lambda: not alive(pid), 10)


def test_nothing_is_left(functions):
    before = descriptors(), children()
    for _ in range(10):
        child = Child(f"{functions}:answer")
        child.send(bytes(1 << 20))  # more than a pipe holds, and nobody may read it
        child.stop()
        child.close()
    assert (descriptors(), children()) == before
