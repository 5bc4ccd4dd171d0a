"""Two processes of four devices are one of eight: the same batches, the same updates, and one goes on for the other.

The processes are real: `generalist train` on this machine, joined over the loopback with JAX's Gloo collectives.
"""

import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from tiny import demonstrations, metrics_of

STEPS = 20
COMMAND = "from generalist.configs.commands.cli import main; raise SystemExit(main())"
OPTIONS = {
    "mesh.data": 2,
    "mesh.fsdp": 2,
    "mesh.tensor": 2,
    "agent.layers": 1,
    "agent.unroll": 1,
    "batch-size": 8,
    "data-streams": 4,
    "steps": STEPS,
    "log-every": 1,
    "checkpoint-every": 10,
    "return-filter": 0,
}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(out: Path, processes: int, *flags: str, **options) -> list[subprocess.Popen]:
    """`generalist train smoke` in so many processes, which have eight devices together."""
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(8 // processes),
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
    }
    command = [sys.executable, "-c", COMMAND, "train", "smoke", "--out", str(out), "--data", str(demonstrations())]
    command += [*flags, *(f"--train.{name}={value}" for name, value in (OPTIONS | options).items())]
    where = f"127.0.0.1:{free_port()}"
    joined = [["--coordinator", where, "--processes", str(processes), "--process", str(i)] for i in range(processes)]
    return [
        subprocess.Popen(
            [*command, *(more if processes > 1 else [])],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for more in joined
    ]


def finish(started: list[subprocess.Popen], seconds: float = 300) -> list[str]:
    """What each process printed; all must have succeeded."""
    try:
        said = [process.communicate(timeout=seconds)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0] * len(started), "\n".join(said)
    return said


@functools.cache
def both() -> tuple[Path, Path, list[str]]:
    """The run of one process, that of two with a worker each, and what the two printed. Not to be changed."""
    folder = Path(tempfile.mkdtemp(prefix="multihost-"))
    finish(start(folder / "one", 1))
    return folder / "one", folder / "two", finish(start(folder / "two", 2, "--workers", "1"))


def assert_same_updates(run: Path, other: Path) -> None:
    """Counts are equal, so the batches were; sums of floats differ by their order alone."""
    for mine, theirs in zip(metrics_of(run), metrics_of(other), strict=True):
        for name in ("step", "tokens", "targets", "padding"):
            assert mine[name] == theirs[name]
        counts = [
            {task: (of["targets"], of["tokens"]) for task, of in line["sources"].items()} for line in (mine, theirs)
        ]
        assert counts[0] == counts[1]
        assert ("held_out" in mine) == ("held_out" in theirs) == (mine["step"] % 10 == 0)
        if "held_out" in mine:
            assert mine["held_out"]["targets"] == theirs["held_out"]["targets"]
            np.testing.assert_allclose(mine["held_out"]["loss"], theirs["held_out"]["loss"], rtol=1e-4)
        for name in ("loss", "objective", "gradient_norm"):
            np.testing.assert_allclose(mine[name], theirs[name], rtol=1e-4, err_msg=f"{name} of step {mine['step']}")


@pytest.mark.slow
def test_two_processes_equal_one():
    one, two, _ = both()
    assert [line["step"] for line in metrics_of(two)] == list(range(1, STEPS + 1))
    assert_same_updates(one, two)


@pytest.mark.slow
def test_only_the_first_process_shows_anything():
    _, two, (first, second) = both()
    assert "step 20/20" in first
    assert "step" not in second
    positions = sorted(path.name for path in (two / "checkpoints" / "20" / "data").glob("stream-*"))
    assert positions == [f"stream-{index:05d}-of-00004.json" for index in range(4)]


@pytest.mark.slow
def test_one_process_goes_on_for_two():
    """From the checkpoint of update 10; the lines of the updates that are done again are those of the first time."""
    one, two, _ = both()
    shutil.rmtree(two / "checkpoints" / "20")
    finish(start(two, 1, "--resume"))
    assert_same_updates(one, two)
    assert json.loads((two / "metrics.jsonl").read_text().splitlines()[-1])["step"] == STEPS
