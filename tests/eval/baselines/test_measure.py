"""Every baseline of a task on the same seeds, and workers that need no JAX and end with their parent."""

import os
import signal
import subprocess
import sys
import time

from tiny import demonstrations

from generalist.demonstrations.storage import dataset_folder
from generalist.envs.seeds import evaluation_seed, selection_seed
from generalist.eval.baselines import measure as module
from generalist.eval.baselines.fit import PLAIN
from generalist.eval.baselines.measure import measure_baselines

SEEDS = [evaluation_seed(episode) for episode in range(3)]
ORPHAN = """
import os, time
from generalist.eval.workers import local_pool
with local_pool(1) as pool:
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 60).result()
"""


def test_every_baseline_is_there_with_its_details():
    records = measure_baselines(
        "FrozenLake8x8-v1", dataset_folder(demonstrations(), "FrozenLake8x8-v1"), SEEDS, selection_episodes=1
    )
    assert set(records) == {"random", "expert", "constant", "linear", "nearest_neighbour"}
    assert all(len(record.returns) == 3 for record in records.values())
    assert records["constant"].details["choice"] == "each action"
    assert records["linear"].details["fitted_on"] > 20
    assert all(records[name].details["fitted_on_episodes"] == 10 for name in ("constant", *PLAIN))
    parameters = records["linear"].details["parameters"]
    assert parameters > 40
    assert parameters % 4 == 0, "of four actions each"
    assert records["linear"].details["fit_seconds"] > 0


def test_constants_are_chosen_on_selection_seeds_and_all_is_measured_on_the_given_ones(monkeypatch):
    choose, play = module.best_constant, module.rollout
    chosen, played = [], []
    monkeypatch.setattr(module, "best_constant", lambda *args, **kw: chosen.append(args[2]) or choose(*args, **kw))
    monkeypatch.setattr(module, "rollout", lambda *args, **kw: played.append(args[2]) or play(*args, **kw))
    measure_baselines(
        "FrozenLake8x8-v1", dataset_folder(demonstrations(), "FrozenLake8x8-v1"), SEEDS, selection_episodes=2
    )
    assert chosen == [[selection_seed(0), selection_seed(1)]]
    assert played == [SEEDS] * 5


def test_without_demonstrations_there_are_the_two_ends_of_the_scale(tmp_path):
    assert set(measure_baselines("FrozenLake8x8-v1", tmp_path / "none", SEEDS, selection_episodes=1)) == {
        "random",
        "expert",
    }


def test_without_an_expert_there_is_none(tmp_path):
    assert set(measure_baselines("gym:FrozenLake-v1", tmp_path / "none", SEEDS[:1], selection_episodes=1)) == {"random"}


def test_a_worker_imports_no_jax():
    script = "import sys, generalist.eval.baselines.measure; print('jax' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"
    )


def test_a_worker_ends_when_its_parent_is_killed(tmp_path):
    (tmp_path / "orphan.py").write_text(ORPHAN)
    parent = subprocess.Popen([sys.executable, "orphan.py"], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(200):
        if not alive(worker):
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    raise AssertionError("the worker outlived its parent")


def alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
