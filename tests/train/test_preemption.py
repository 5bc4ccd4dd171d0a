"""SIGTERM: noted once, deadly twice, agreed on by all processes; and cut off at once where nothing is lost."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from generalist.train.preemption import Stopped, stop_request, stopping_at_once

TOGETHER = """
import sys, time
import jax
jax.distributed.initialize(sys.argv[1], num_processes=2, process_id=int(sys.argv[2]))
from generalist.train.preemption import stop_request
with stop_request() as stop:
    for step in range(1, 1000):
        time.sleep(0.02 + 0.02 * int(sys.argv[2]))
        print(step, flush=True)
        if stop.reached(step):
            break
print("stopped", step, stop.received, flush=True)
"""
TWICE = """
import os, signal
from generalist.train.preemption import stop_request
with stop_request() as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    print(stop.reached(1), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("still here", flush=True)
"""


def test_the_first_signal_is_noted_and_the_handler_before_comes_back():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append("before"))
    try:
        with stop_request() as stop:
            assert not stop.reached(1)
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.reached(2)
            assert stop.reached(3)
        assert seen == []
        os.kill(os.getpid(), signal.SIGTERM)
        assert seen == ["before"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_second_signal_ends_the_process():
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "True\n")


def test_outside_the_main_thread_nothing_is_handled():
    before, found = signal.getsignal(signal.SIGTERM), []

    def work():
        with stop_request() as stop:
            found.append((stop.reached(1), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, before)]


def test_work_that_may_be_cut_off_ends_with_its_processes():
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,), daemon=True)
    child.start()

    def work():
        with stopping_at_once("here", "again"):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

    with pytest.raises(Stopped, match=r"^here; again$") as stopped:
        work()
    assert stopped.value.code == 0
    child.join(timeout=60)
    assert child.exitcode == -signal.SIGTERM


@pytest.mark.slow
def test_all_processes_of_a_job_stop_after_the_same_update():
    """The signal goes to one of two, which are at different updates then."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TOGETHER, address, str(i)],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for i in range(2)
    ]
    try:
        assert processes[1].stdout.readline() == "1\n"
        processes[0].send_signal(signal.SIGTERM)
        outputs = [process.communicate(timeout=120)[0].splitlines()[-1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith("stopped ")
    assert outputs[0].endswith(" True")
    assert outputs[0] != "stopped 999 True"
