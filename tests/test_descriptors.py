"""A small limit of open files: long runs and data sets of many shards stay below it, and running out is called that."""

import os
import resource
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from leftovers import descriptors, threads
from tiny import demonstrations, train_here

from generalist.demonstrations import shards
from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.train.run import read_run

HELPERS = Path(__file__).parent / "helpers"
LONG = """
import os, sys, tempfile, threading
from pathlib import Path
import jax
jax.config.update("jax_num_cpu_devices", 1)
from leftovers import children, descriptors, threads
from tiny import CONFIG, demonstrations
from dataclasses import replace
from generalist.train.loop import train
seen = []
def look(step, state):
    if step > 20:
        seen.append((descriptors(), len(threads()), len(children()), len(os.listdir(tempfile.gettempdir()))))
config = replace(CONFIG, steps=200, checkpoint_every=1, evaluate_every=1, log_every=1, keep_best=2)
train(config, demonstrations(), Path(sys.argv[1]), quiet=True, on_checkpoint=look)
for what in zip(*seen):
    print(max(what[:60]), max(what[-60:]))
"""
MANY = """
import os, shutil, sys
from pathlib import Path
from generalist.demonstrations import collection
from generalist.demonstrations.collect import collect
from generalist.demonstrations.storage import Demonstrations
collection.shard_count = lambda episodes: episodes
(summary,) = collect("FrozenLake8x8-v1", sys.argv[1], episodes=500, policy="random", workers=0, quiet=True)
(summary.folder / "steps.columns").unlink()
found = Demonstrations.open(summary.folder)
columns = found.columns(quiet=True)
print(len(found), sum(len(found.episode(number)) for number in range(500)) == len(columns))
print(len(list(summary.folder.glob("*array_record*"))))
"""


def under_256(program: str, *arguments: str) -> list[str]:
    """Lines that a program prints that may have 256 files open."""
    own = tempfile.mkdtemp(dir=Path.cwd())  # what others make is not counted
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))\n{program}"
    ended = subprocess.run(
        [sys.executable, "-c", limited, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": own, "PYTHONPATH": os.pathsep.join([str(HELPERS), *sys.path])},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


@contextmanager
def no_more_files():
    """Inside, nothing can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 8, hard))
    held = []
    try:
        with suppress(OSError):
            while True:
                held.append(open(os.devnull))  # noqa: SIM115
        yield
    finally:
        for file in held:
            file.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_checkpoints_leave_nothing_open(tmp_path):
    run = train_here(tmp_path / "run", steps=4)
    with read_run(run).open_checkpoints() as checkpoints:
        assert checkpoints.latest == 4
    before = descriptors(), len(threads())
    train_here(tmp_path / "other", steps=12, checkpoint_every=1, keep_best=1)
    assert descriptors() - before[0] < 6
    assert len(threads()) - before[1] < 6


@pytest.mark.rare
def test_two_hundred_checkpoints_fit_into_256_descriptors(tmp_path):
    """With evaluation, the best kept and TensorBoard; nothing grows."""
    files, running, child, temporary = (
        tuple(map(int, line.split())) for line in under_256(LONG, str(tmp_path / "run"))
    )
    # What a save has open while it is under way differs by when one looks.
    assert files[1] - files[0] < 20
    assert running[1] - running[0] < 10
    assert child[1] <= child[0]
    assert temporary[1] <= temporary[0]
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) <= 4


@pytest.mark.slow
def test_five_hundred_shards_fit_into_256_descriptors(tmp_path):
    assert under_256(MANY, str(tmp_path)) == ["500 True", "500"]


def test_running_out_of_descriptors_is_no_damaged_shard():
    found = Demonstrations.open(dataset_folder(demonstrations(), "CartPole-v1"))
    path = shards.shard_path(found.folder, 0, 2)
    with no_more_files():
        for read in (
            lambda: found.episode(0),
            lambda: shards.open_shard(path),
            lambda: Demonstrations.open(found.folder),
        ):
            with pytest.raises(OSError, match="Too many open files"):
                read()
        with pytest.raises(OSError, match="too many files are open; allow more") as raised:
            shards.write_shard(path.with_name("new"), [b"one"])
    assert "delete" not in str(raised.value)
    assert "free some" not in str(raised.value)
    assert len(found.episode(0)) > 0
