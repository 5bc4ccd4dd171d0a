import errno
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import faulty
import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from generalist.demonstrations import collect as module
from generalist.demonstrations.collect import CollectionError, collect
from generalist.demonstrations.journal import Journal, read_journal
from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.envs.files import cannot_write
from generalist.envs.seeds import demonstration_seed
from generalist.envs.task import Task
from generalist.envs.workers import JobFailed

EPISODES = 10


class Walk(gym.Env):
    """A seeded random walk of 4 to 8 steps."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,))
    action_space = spaces.Discrete(3)
    fail_on: frozenset[int] = frozenset()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed in self.fail_on:
            raise RuntimeError("the simulator exploded")
        self._left = int(self.np_random.integers(4, 9))
        return self.np_random.normal(size=2).astype(np.float32), {}

    def step(self, action):
        self._left -= 1
        return self.np_random.normal(size=2).astype(np.float32), float(action), self._left == 0, False, {}


def cycle(env):
    steps = iter(range(100))
    return lambda observation: next(steps) % 3


def walk(**changes) -> Task:
    given = {"id": "Walk-v1", "family": "gym", "make": Walk, "expert": cycle, "horizon": 8, "score": "return"}
    return Task(**(given | {"has_success": False, "episodes": EPISODES} | changes))


def record(out, *tasks, **changes):
    return collect(list(tasks) or [walk()], out, **({"seed": 5, "workers": 0, "quiet": True} | changes))


def files(out, task_id="Walk-v1") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in dataset_folder(out, task_id).iterdir()}


def assert_same_episodes(one, other, task_id="Walk-v1"):
    sets = [Demonstrations.open(dataset_folder(out, task_id)) for out in (one, other)]
    assert len(sets[0]) == len(sets[1])
    for index in range(len(sets[0])):
        a, b = (demonstrations.episode(index) for demonstrations in sets)
        assert a.metadata == b.metadata
        for name in ("observations", "actions", "rewards"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_episodes_have_the_seeds_of_the_demonstrations_in_order(tmp_path):
    (summary,) = record(tmp_path)
    demonstrations = Demonstrations.open(summary.folder)
    metadata = [demonstrations.episode(i).metadata for i in range(EPISODES)]
    assert [m.seed for m in metadata] == [demonstration_seed(5, i) for i in range(EPISODES)]
    assert {m.expert for m in metadata} == {"expert"}
    assert summary.episodes == EPISODES
    assert summary.kept == 0
    assert summary.steps == demonstrations.lengths.sum()
    assert summary.mean_return == pytest.approx(demonstrations.returns.mean())
    assert summary.success is None


def test_the_same_call_keeps_everything(tmp_path):
    record(tmp_path)
    before = files(tmp_path)
    (summary,) = record(tmp_path)
    assert summary.kept == EPISODES
    assert files(tmp_path) == before


def test_a_removed_shard_is_made_again_and_nothing_else(tmp_path):
    (summary,) = record(tmp_path)
    before = files(tmp_path)
    shard = next(path for path in summary.folder.glob("*array_record-00001*"))
    times = {path.name: path.stat().st_mtime_ns for path in summary.folder.glob("*array_record*") if path != shard}
    shard.unlink()
    (again,) = record(tmp_path)
    assert 0 < again.kept < EPISODES
    assert {name: (summary.folder / name).stat().st_mtime_ns for name in times} == times
    assert {n: d for n, d in files(tmp_path).items() if "array_record" in n} == {
        n: d for n, d in before.items() if "array_record" in n
    }


def test_a_truncated_shard_is_named_and_not_replaced(tmp_path):
    (summary,) = record(tmp_path)
    shard = next(summary.folder.glob("*array_record-00001*"))
    shard.write_bytes(shard.read_bytes()[:70_000])
    with pytest.raises(ValueError, match=r"array_record-00001-of-00002 is truncated"):
        record(tmp_path)
    assert shard.stat().st_size == 70_000


def test_an_error_names_the_task_and_keeps_finished_shards(tmp_path, monkeypatch):
    record(tmp_path / "whole")
    monkeypatch.setattr(Walk, "fail_on", frozenset({demonstration_seed(5, 7)}))
    message = "collecting Walk-v1 failed: RuntimeError: the simulator exploded"
    with pytest.raises(CollectionError, match=message) as failure:
        record(tmp_path / "cut")
    assert "Traceback" in failure.value.detail
    names = sorted(files(tmp_path / "cut"))
    assert not [name for name in names if name.startswith(".part")]
    assert len([name for name in names if name.startswith("walk_v1-train")]) == 1
    with pytest.raises(ValueError, match="unfinished"):
        Demonstrations.open(dataset_folder(tmp_path / "cut", "Walk-v1"))
    monkeypatch.setattr(Walk, "fail_on", frozenset())
    (summary,) = record(tmp_path / "cut")
    assert summary.kept == 7, "the first shard, and two episodes of the second"
    assert_same_episodes(tmp_path / "whole", tmp_path / "cut")


def test_a_failed_task_does_not_keep_the_others_from_being_complete(tmp_path, monkeypatch):
    monkeypatch.setattr(Walk, "fail_on", frozenset({demonstration_seed(5, 7)}))
    tasks = walk(), walk(id="Short-v1", episodes=3), walk(id="Also-v1")
    with pytest.raises(CollectionError, match="collecting Walk-v1 failed") as failure:
        record(tmp_path, *tasks)
    first, second = failure.value.failures
    assert first == "collecting Walk-v1 failed: RuntimeError: the simulator exploded (7 of 10 episodes are kept)"
    assert second == "collecting Also-v1 failed: RuntimeError: the simulator exploded (7 of 10 episodes are kept)"
    assert [(each.task_id, each.episodes) for each in failure.value.complete] == [("Short-v1", 3)]
    assert len(Demonstrations.open(dataset_folder(tmp_path, "Short-v1"))) == 3


@pytest.mark.parametrize("workers", [0, 1])
def test_whatever_an_environment_raises_is_its_own_task_s_failure(tmp_path, workers):
    """Also an OSError, one that says a disk is full among them, and the end of the process."""
    kinds = faulty.NoDevice, faulty.Counter, faulty.NoLicence, faulty.Leaves
    with pytest.raises(CollectionError) as failure:
        collect(map(faulty.id_of, kinds), tmp_path, policy="random", episodes=2, workers=workers, quiet=True)
    said = dict(line.removeprefix("collecting ").split(" failed: ") for line in failure.value.failures)
    assert set(said) == {faulty.id_of(kind) for kind in kinds if kind is not faulty.Counter}
    assert "No space left on device: '/dev/shm/camera'" in said[faulty.id_of(faulty.NoDevice)]
    assert said[faulty.id_of(faulty.NoLicence)].startswith("RuntimeError: the licence server")
    [complete] = failure.value.complete
    assert (complete.task_id, complete.episodes) == (faulty.id_of(faulty.Counter), 2)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_environments_raise_may_be_unreadable_endless_or_no_exception(tmp_path, monkeypatch, workers):
    monkeypatch.chdir(tmp_path)
    kinds = faulty.Speechless, faulty.Panics, faulty.Vast, faulty.Ragged, faulty.Wanders, faulty.Counter
    with pytest.raises(CollectionError) as failure:
        collect(map(faulty.id_of, kinds), "data", policy="random", episodes=2, workers=workers, quiet=True)
    said = dict(line.removeprefix("collecting ").split(" failed: ") for line in failure.value.failures)
    assert said[faulty.id_of(faulty.Speechless)] == "UnspeakableError: (its message cannot be read: ValueError)"
    assert said[faulty.id_of(faulty.Panics)].startswith("Panic: index out of bounds: ")
    assert len(said[faulty.id_of(faulty.Panics)]) < 1100
    assert said[faulty.id_of(faulty.Vast)].endswith("a reward that is not finite as float32: 1e+39 at step 0")
    assert "at step 3 the value has shape (1, 2), the space has (2,)" in said[faulty.id_of(faulty.Ragged)]
    complete = {faulty.id_of(kind) for kind in (faulty.Wanders, faulty.Counter)}
    assert {each.task_id for each in failure.value.complete} == complete
    assert Path.cwd() == tmp_path


def test_a_task_whose_shards_fail_alike_is_one_line(tmp_path):
    """Two workers record two shards of it at once."""
    with pytest.raises(CollectionError) as failure:
        collect(faulty.id_of(faulty.NoLicence), tmp_path, policy="random", episodes=9, workers=2, quiet=True)
    assert len(failure.value.failures) == 1


def test_a_folder_that_cannot_be_written_ends_everything(tmp_path, monkeypatch):
    def read_only(self, record):
        raise cannot_write(self.path, OSError(errno.EROFS, os.strerror(errno.EROFS)))

    monkeypatch.setattr(Journal, "append", read_only)
    with pytest.raises(CollectionError) as failure:
        record(tmp_path, walk(), walk(id="Also-v1"))
    [said] = failure.value.failures
    assert "Read-only file system" in said
    assert "full" not in said
    assert "Also-v1" not in said


def test_a_folder_that_a_machine_does_not_see_is_named(tmp_path):
    job = module.ShardJob(
        task=walk(), policy=None, noise=0.0, seed=0, shard=0, episodes=range(2), path=tmp_path / "absent" / "shard"
    )
    with pytest.raises(OSError, match=r"does not see .*absent: choose a folder that all machines share"):
        module.record_shard(job, lambda *amounts: None)


def test_a_traceback_shows_what_happened_in_the_worker(tmp_path, monkeypatch):
    def fails(jobs, workers, on_report, on_result, on_failure):
        on_failure(JobFailed(jobs[0], "RuntimeError: exploded", "Traceback of the worker"))

    monkeypatch.setattr(module, "run_jobs", fails)
    with pytest.raises(CollectionError, match="collecting Walk-v1 failed: RuntimeError: exploded") as failure:
        record(tmp_path, workers=1)
    assert failure.value.__notes__ == ["Traceback of the worker"]


def test_a_full_disk_damages_nothing(tmp_path):
    record(tmp_path / "whole")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(CollectionError, match=r"Walk-v1 failed: cannot write .*: file too large"):
            record(tmp_path / "full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [name for name in files(tmp_path / "full") if name.startswith("walk_v1-train")]
    record(tmp_path / "full")
    assert_same_episodes(tmp_path / "whole", tmp_path / "full")


def test_changed_settings_are_refused_unless_overwritten(tmp_path):
    record(tmp_path)
    before = files(tmp_path)
    for change in ({"seed": 6}, {"episodes": 3}, {"noise": 0.5}, {"policy": "random"}):
        with pytest.raises(ValueError, match=f"other settings .{next(iter(change))} was"):
            record(tmp_path, **change)
    assert files(tmp_path) == before
    (summary,) = record(tmp_path, episodes=3, overwrite=True)
    assert summary.episodes == 3


def test_one_refused_folder_refuses_the_whole_call(tmp_path):
    record(tmp_path, walk(id="Other-v1"))
    with pytest.raises(ValueError, match="seed was 5, now 6"):
        record(tmp_path, walk(), walk(id="Other-v1"), seed=6)
    assert not dataset_folder(tmp_path, "Walk-v1").exists()


def test_episodes_and_noise_by_task(tmp_path):
    tasks = walk(), walk(id="Other-v1", episodes=4)
    one, other = record(tmp_path, *tasks, episodes={"Walk-v1": 6}, noise={"Other-v1": 0.5})
    assert (one.episodes, other.episodes) == (6, 4)
    assert json.loads((other.folder / "collection.json").read_text())["noise"] == 0.5
    assert json.loads((one.folder / "collection.json").read_text())["noise"] == 0.0


def test_one_task_needs_no_list(tmp_path):
    for one in ("CliffWalking-v1", walk()):
        (summary,) = collect(one, tmp_path, episodes=1, workers=0, quiet=True)
        assert summary.task_id == (one if isinstance(one, str) else one.id)


@pytest.mark.parametrize(
    ("tasks", "changes", "message"),
    [
        ([], {}, "at least one task"),
        (["CartPole-v9"], {}, "CartPole-v1"),
        ([walk(), walk(id="walk_v1")], {}, "have one folder"),
        ([walk()], {"episodes": 0}, "at least 1, got 0"),
        ([walk()], {"noise": -1}, "at least 0"),
        ([walk()], {"seed": -1}, "at least 0"),
        ([walk()], {"workers": -1}, "at least 0"),
        ([walk()], {"workers": 1, "policy": lambda env: None}, "cannot import"),
        ([walk()], {"policy": "no_such_module:f"}, "cannot import the policy"),
        ([walk(expert=None)], {}, "has no expert"),
    ],
)
def test_bad_arguments_write_nothing(tmp_path, tasks, changes, message):
    with pytest.raises(ValueError, match=message):
        collect(tasks, tmp_path / "out", **({"seed": 0, "workers": 0, "quiet": True} | changes))
    assert not (tmp_path / "out").exists()


def test_workers_give_the_same_episodes_as_one_process(tmp_path, capfd):
    Path("my_policy.py").write_text("def lean(env):\n    return lambda observation: int(observation[2] > 0)\n")
    settings = {"seed": 1, "episodes": 6, "policy": "my_policy:lean"}
    collect(["gym:CartPole-v1"], "many", workers=2, quiet=False, **settings)
    assert "6/6" in capfd.readouterr().err
    collect(["gym:CartPole-v1"], "one", workers=0, quiet=True, **settings)
    assert_same_episodes("many", "one", "gym:CartPole-v1")
    assert Demonstrations.open(dataset_folder("many", "gym:CartPole-v1")).episode(0).metadata.expert == "my_policy:lean"


SLOW_POLICY = """
import os, pathlib, time
def factory(env):
    if "SLOW" in os.environ:
        pathlib.Path("started").mkdir(exist_ok=True)
        pathlib.Path("started", str(os.getpid())).touch()
        time.sleep(0.3)
    return lambda observation: int(observation[2] > 0)
"""
RUN = """
from generalist.demonstrations.collect import collect
collect(["gym:CartPole-v1"], "killed", seed=1, episodes=12, policy="slow_policy:factory", workers=1, quiet=True)
"""


def test_after_kill_9_every_episode_is_there_exactly_once(tmp_path):
    Path("slow_policy.py").write_text(SLOW_POLICY)
    folder = dataset_folder("killed", "gym:CartPole-v1")
    with subprocess.Popen([sys.executable, "-c", RUN], env=os.environ | {"SLOW": "1"}) as process:
        # Two episodes of the second shard are there, and a third is being recorded.
        _until(lambda: sum(len(list(read_journal(path))) for path in folder.glob(".journal*00001-of*")) == 2)
        process.kill()
    _until(lambda: not any(Path("/proc", pid.name).exists() for pid in Path("started").iterdir()))
    assert 0 < len(list(folder.glob("gym*array_record*"))) < 2
    begun = sum(len(list(read_journal(path))) for path in folder.glob(".journal*"))
    settings = {"seed": 1, "episodes": 12, "policy": "slow_policy:factory", "workers": 0, "quiet": True}
    (summary,) = collect(["gym:CartPole-v1"], "killed", **settings)
    assert summary.kept == 6 + begun
    assert begun >= 2
    collect(["gym:CartPole-v1"], "whole", **settings)
    assert_same_episodes("killed", "whole", "gym:CartPole-v1")
    assert {n: d for n, d in files("killed", "gym:CartPole-v1").items() if "record" in n} == {
        n: d for n, d in files("whole", "gym:CartPole-v1").items() if "record" in n
    }


def test_control_c_stops_the_workers_and_cleans_up(tmp_path, monkeypatch):
    def interrupted(jobs, on_report, on_result, on_failure):
        for job in jobs[:1]:
            on_result(job, job.function(job.argument, lambda *amounts: None))
        (jobs[0].argument.path.parent / ".part-x").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run_jobs_here", interrupted)
    with pytest.raises(KeyboardInterrupt):
        record(tmp_path)
    assert ".part-x" not in files(tmp_path)
    monkeypatch.undo()
    (summary,) = record(tmp_path)
    assert summary.kept == 5


def _until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)
