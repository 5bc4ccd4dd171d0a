"""Collection on a real Ray cluster of this machine, in a process of its own because Ray stays in it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from generalist.demonstrations.collect import collect
from generalist.demonstrations.storage import Demonstrations, dataset_folder

TASKS = ("CliffWalking-v1", "Taxi-v4")
POLICY = """
def dies(env):
    raise RuntimeError("the simulator exploded")
"""
COMMAND = "from generalist.configs.commands.cli import main; raise SystemExit(main())"


def command(*args: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", COMMAND, *args], capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_a_cluster_records_the_same_episodes_and_names_what_fails(tmp_path):
    named = [argument for task in TASKS for argument in ("--task", task)]
    args = ["collect", *named, "--episodes", "5", "--seed", "2", "--ray", "local", "--json"]
    done = command(*args, "--out", str(tmp_path / "there"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["total"]["episodes"] == 10
    assert "10/10" in done.stderr
    collect(TASKS, tmp_path / "here", seed=2, episodes=5, workers=0, quiet=True)
    for task in TASKS:
        one, other = (Demonstrations.open(dataset_folder(tmp_path / name, task)) for name in ("here", "there"))
        for number in range(5):
            a, b = one.episode(number), other.episode(number)
            assert a.metadata == b.metadata
            assert a.rewards.tolist() == b.rewards.tolist()
        folders = [sorted(path.name for path in each.folder.iterdir()) for each in (one, other)]
        assert folders[0] == folders[1]

    Path("exploding.py").write_text(POLICY)
    done = command(*args, "--policy", "exploding:dies", "--out", str(tmp_path / "failed"))
    assert done.returncode == 2
    assert "collecting Taxi-v4 failed" in done.stderr or "collecting CliffWalking-v1 failed" in done.stderr
    assert "RuntimeError: the simulator exploded" in done.stderr


LOST = """
from generalist.configs.commands.errors import run
from generalist.envs.ray_jobs import ray_cluster

class Counter:
    def count(self):
        return 1

def main(_):
    with ray_cluster("local") as ray:
        actor = ray.remote(Counter).remote()
        ray.kill(actor)
        ray.get(actor.count.remote())

raise SystemExit(run(main, []))
"""


@pytest.mark.slow
def test_a_lost_cluster_is_one_line():
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "the Ray cluster at local was lost (ActorDiedError" in line
    assert "the same command goes on" in line
    assert "Traceback" not in done.stderr
