"""Memory of training on demonstrations larger than it, and how long an update waits for its input.

The quickstart's network trains on made-up frames of one task: noise, which nothing compresses, of 2 and of 16 GB as
steps, and frames of 240 x 320. `anonymous MB` is the peak of RssAnon + RssShmem of /proc/PID/status, sampled twenty
times a second: memory that is the process's own, without the file cache. It is read of the process that trains, of its
largest worker, and of the sum over the whole tree. `wait` is the share of time for which updates waited for input,
after the first fifth of them.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from common import parser, save
from made_up import noise, smooth, write_frames

from generalist.configs.quickstart import LAYOUT
from generalist.configs.quickstart import config as quickstart
from generalist.train.config import SourceConfig
from generalist.train.loop import train
from generalist.train.metrics import read_metrics
from generalist.train.start import Start

CASES = {
    "noise 2 GB": ((56, 56, 3), 2e9, 100, noise),
    "noise 16 GB": ((56, 56, 3), 16e9, 100, noise),
    "frames of 240 x 320": ((240, 320, 3), 2e9, 300, smooth),
}
SMALL = {
    "noise 0.01 GB": ((56, 56, 3), 1e7, 100, noise),
    "frames of 240 x 320": ((240, 320, 3), 2e7, 30, smooth),
}
LOG = 5


def task_of(name: str) -> str:
    return f"made_up/{name}"


def train_on(name: str, data: str, out: str, updates: str, workers: str) -> None:
    """What the child process does."""
    job = quickstart().train
    job = replace(
        job,
        sources=(SourceConfig(task=task_of(name), layout=LAYOUT),),
        steps=int(updates),
        log_every=LOG,
        checkpoint_every=int(updates),
    )
    train(job, Path(data), Path(out), start=Start(overwrite=True), quiet=True, workers=int(workers))


def anonymous(pid: int) -> float:
    """MB of a process's own memory; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem"))) / 1024


def children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(each) for task in tasks for each in (task / "children").read_text().split()]
    except OSError:
        return []


def measured(name: str, raw: float, data: Path, updates: int, workers: int) -> dict:
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, __file__, "--train", name, str(data), out, str(updates), str(workers)]
        begun = time.perf_counter()
        process = subprocess.Popen(command)
        own = worker = tree = 0.0
        while process.poll() is None:
            parent, others = anonymous(process.pid), [anonymous(pid) for pid in children(process.pid)]
            own, worker, tree = max(own, parent), max(worker, *others, 0.0), max(tree, parent + sum(others))
            time.sleep(0.05)
        if process.returncode:
            raise SystemExit(f"training on {name} ended with {process.returncode}")
        lines = read_metrics(Path(out) / "metrics.jsonl")
    later = lines[len(lines) // 5 :]
    seconds = sum(line["seconds"] for line in later)
    return {
        "demonstrations": name,
        "raw GB": raw / 1e9,
        "workers": workers,
        "anonymous MB": own,
        "of a worker": worker,
        "of the tree": tree,
        "updates/s": LOG * len(later) / seconds,
        "wait": sum(line["input_wait"] * line["seconds"] for line in later) / seconds,
        "seconds in all": time.perf_counter() - begun,
    }


def main() -> None:
    if sys.argv[1:2] == ["--train"]:
        train_on(*sys.argv[2:])
        return
    options = parser(__doc__.split("\n")[0])
    options.add_argument("--data", type=Path, help="folder of the made-up demonstrations, some 40 GB; kept")
    options.add_argument("--updates", type=int, default=60)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = given.data or Path(folder)
        rows = []
        for name, (frame, raw, length, draw) in (SMALL if given.small else CASES).items():
            begun = time.perf_counter()
            steps = int(raw) // (frame[0] * frame[1] * frame[2])
            write_frames(data, task_of(name), frame, steps, length, draw)
            print(json.dumps({name: f"written in {time.perf_counter() - begun:.0f} s"}), file=sys.stderr)
            for workers in (0, 1):
                rows.append(measured(name, raw, data, 10 if given.small else given.updates, workers))
    save(given.out, "beyond_memory", rows)


if __name__ == "__main__":
    main()
