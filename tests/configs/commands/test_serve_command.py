"""`generalist serve` as a process: how it begins, what it refuses to begin with, and how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("uvicorn")
from serving import infer
from tiny import trained
from websockets.sync.client import connect

from generalist.configs.commands.cli import main
from generalist.play.server.wire import unpack

BEGIN = "import sys; from generalist.configs.commands.cli import main; sys.exit(main())"


@pytest.fixture
def process(tmp_path):
    """A server of a small run at a free port, and that port."""
    command = [sys.executable, "-c", BEGIN, "serve", str(trained()), "--port", "0", "--task", "CartPole-v1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as made:
        assert made.stderr is not None
        for line in made.stderr:
            if found := re.search(r"serving CartPole-v1 at ws://127.0.0.1:(\d+)/", line):
                yield made, int(found[1])
                break
        if made.poll() is None:
            made.kill()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_ends_well(process, sent):
    made, port = process
    with connect(f"ws://127.0.0.1:{port}/", compression=None, legacy=True) as client:
        assert unpack(client.recv(timeout=60))["update"] == 6
        assert infer(client, observation=np.zeros(4))["actions"][0] in (0, 1)
        made.send_signal(sent)
        assert "ends" in client.recv(timeout=20)

    assert made.wait(30) == 0
    assert "Traceback" not in made.stderr.read()


def test_a_client_that_is_killed_gives_its_slot_back(process):
    _, port = process
    program = f"""
import time
from websockets.sync.client import connect
client = connect("ws://127.0.0.1:{port}/", compression=None, legacy=True)
client.recv()
print("here", flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "here\n"
        assert clients_of(port) == 1
        os.kill(other.pid, signal.SIGKILL)
    until = time.monotonic() + 20
    while clients_of(port) and time.monotonic() < until:
        time.sleep(0.05)

    assert clients_of(port) == 0


def clients_of(port: int) -> int:
    with socket.create_connection(("127.0.0.1", port)) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: plain.recv(4096), b"")).decode()
    return int(re.search(r'"clients":(\d+)', answer)[1])


def test_a_port_that_is_taken_is_said(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", str(trained()), "--port", str(port)]) == 2

    assert re.search(rf"cannot listen at 127.0.0.1 port {port}.*--port", capsys.readouterr().err.replace("\n", " "))


REFUSED = [
    (["--host", "0.0.0.0"], "give a token"),
    (["--slots", "0"], "--slots must be above 0"),
    (["--idle", "-1"], "--idle must be above 0"),
    (["--task", "CartPole-v0"], "CartPole-v1"),
    (["--token-file", "token"], "token is empty"),
]


@pytest.mark.parametrize(("options", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_it_cannot_begin_with_is_one_line(options, said, tmp_path, capsys):
    (tmp_path / "token").write_text("\n")

    assert main(["serve", str(trained()), "--port", "0", *options]) == 2

    assert said in " ".join(capsys.readouterr().err.split())


def test_without_the_extra_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "generalist.play.server.running", raising=False)

    assert main(["serve", str(trained())]) == 2

    assert "generalist[serve]" in capsys.readouterr().err
