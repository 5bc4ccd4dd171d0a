"""Real worker processes and a real Ray cluster of this machine."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import trained

from generalist.envs.task import MissingExtra
from generalist.envs.workers import JobFailed
from generalist.eval.workers import local_pool, ray_pool

EVALUATE = "from generalist.configs.commands.cli import main; raise SystemExit(main())"


def evaluated(run: Path, *options: str) -> dict:
    """The report of `generalist eval` in a process of its own."""
    settings = ["--episodes", "3", "--slots", "2", "--selection-episodes", "1", "--no-films", *options]
    done = subprocess.run(
        [sys.executable, "-c", EVALUATE, "eval", str(run), *settings], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads((run / "report.json").read_text())


@pytest.mark.slow
def test_a_ray_cluster_plays_the_same_episodes(tmp_path):
    here, there = (Path(shutil.copytree(trained(), tmp_path / name)) for name in ("here", "there"))
    one, other = evaluated(here), evaluated(there, "--ray", "local")
    assert [task["id"] for task in one["tasks"]] == [task["id"] for task in other["tasks"]]
    for mine, theirs in zip(one["tasks"], other["tasks"], strict=True):
        for policy in ("agent", "random", "expert", "linear", "nearest_neighbour", "constant"):
            assert mine[policy]["returns"] == theirs[policy]["returns"], (mine["id"], policy)
    assert sorted(path.name for path in (there / "evaluation").iterdir()) == sorted(
        path.name for path in (here / "evaluation").iterdir()
    )


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere:port"])
def test_an_absent_cluster_is_an_error_that_names_it(address):
    with pytest.raises(ConnectionError, match=rf"no Ray cluster answers at {address}"), ray_pool(address):
        pass


def test_without_ray_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"pip install 'generalist\[ray\]'"), ray_pool("auto"):
        pass


def test_local_workers_are_other_processes():
    with local_pool(1) as pool:
        assert pool.submit(os.getpid).result() != os.getpid()


def test_a_killed_worker_is_one_failure_and_the_next_job_gets_another_process():
    with local_pool(1) as pool:
        killed, next_one = pool.submit(signal.raise_signal, signal.SIGKILL), pool.submit(abs, -3)
        with pytest.raises(JobFailed, match=r"its worker process died \(signal SIGKILL\); .* fewer workers"):
            killed.result()
        assert next_one.result() == 3


def test_what_a_function_raises_comes_back_in_words():
    with local_pool(1) as pool, pytest.raises(JobFailed, match="ZeroDivisionError: ") as failure:
        pool.submit(divmod, 1, 0).result()
    assert "Traceback" in failure.value.detail


def test_closing_does_not_wait_for_work():
    begun = time.monotonic()
    with local_pool(1) as pool:
        waiting = [pool.submit(time.sleep, 60) for _ in range(3)]
        while not waiting[0].running():
            time.sleep(0.01)
    assert time.monotonic() - begun < 30
    assert all(each.done() for each in waiting)


def test_a_script_needs_no_guard_against_its_own_workers(tmp_path):
    """Workers run nothing of the script, in which they would begin workers again."""
    script = tmp_path / "script.py"
    script.write_text(
        "from generalist.eval.workers import local_pool\n"
        "print('once')\n"
        "with local_pool(1) as pool:\n"
        "    print(pool.submit(abs, -3).result())\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.stdout == "once\n3\n", done.stderr
    assert sys.modules["__main__"].__name__ == "__main__"
