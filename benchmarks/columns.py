"""Random windows per second: encoded from columns that are in the file cache, from memory, and from a cold file.

A window is an example of the quickstart's row length with its tokenization. `memory` holds the same steps as arrays, as
generalist 0.1.0 did. Cold: the file's pages are given up before (POSIX_FADV_DONTNEED) and so is what was checked, so
every first touch reads from the disk and checks 64 KiB; how much of that a disk hides is the disk's.
"""

import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import parser, save
from made_up import noise, write_frames

from generalist.configs.quickstart import LAYOUT
from generalist.configs.quickstart import config as quickstart
from generalist.demonstrations.collect import collect
from generalist.demonstrations.columns import Columns
from generalist.demonstrations.storage import STEPS, dataset_folder
from generalist.envs.spaces import take
from generalist.train.config import SourceConfig
from generalist.train.data import TaskSource
from generalist.train.shown import ShownSteps
from generalist.train.sources import open_mixture

TASKS = ("CartPole-v1", "metaworld/push-v3", "babyai/GoToObj")
NOISE = "made_up/noise"


class InMemory:
    """The columns of a data set as arrays."""

    def __init__(self, columns: Columns):
        self.starts = columns.starts
        self._observations, self._actions = columns.take(np.arange(len(columns)))

    def observations(self, steps: np.ndarray, **_: Any) -> Any:
        return take(self._observations, steps)

    def actions(self, steps: np.ndarray) -> Any:
        return take(self._actions, steps)


def opened(task: str, data: Path) -> TaskSource:
    config = replace(quickstart().train, sources=(SourceConfig(task=task, layout=LAYOUT),))
    [source] = open_mixture(config, data).sources
    assert isinstance(source, TaskSource)
    return source


def rate(source: TaskSource, seconds: float, start: int = 0) -> float:
    """Windows per second."""
    begun, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - begun) < seconds:
        for _ in range(20):
            len(source[start + count])
            count += 1
    return count / spent


def cold(task: str, data: Path, seconds: float) -> float:
    """Windows per second of a file of which nothing is in memory."""
    path = dataset_folder(data, task) / STEPS
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return rate(opened(task, data), seconds)


def measured(task: str, data: Path, seconds: float, repeats: int) -> dict:
    from_columns = opened(task, data)
    from_memory = replace(from_columns, steps=ShownSteps(InMemory(from_columns.steps.columns)))
    rate(from_columns, seconds)
    pairs = np.array([[rate(from_columns, seconds), rate(from_memory, seconds)] for _ in range(repeats)])
    folder = dataset_folder(data, task)
    steps = len(from_columns.steps.columns)
    return {
        "demonstrations": task,
        "steps": steps,
        "form": from_columns.steps.columns.form("observation", 0),
        "shards MB": sum(path.stat().st_size for path in folder.glob("*.array_record*")) / 1e6,
        "columns MB": (folder / STEPS).stat().st_size / 1e6,
        "windows/s": float(np.median(pairs[:, 0])),
        "memory windows/s": float(np.median(pairs[:, 1])),
        "columns / memory": float(np.median(pairs[:, 0] / pairs[:, 1])),
        "cold windows/s": cold(task, data, seconds / 4),
    }


def main() -> None:
    options = parser(__doc__.split("\n")[0])
    options.add_argument("--data", type=Path, help="folder of demonstrations; kept")
    given = options.parse_args()
    seconds, repeats = (0.2, 2) if given.small else (2.0, 7)
    with tempfile.TemporaryDirectory() as folder:
        data = given.data or Path(folder)
        tasks = TASKS[:1] if given.small else TASKS
        collect([task for task in tasks if not dataset_folder(data, task).exists()] or tasks[:1], data, seed=0)
        write_frames(data, NOISE, (56, 56, 3), 1_000 if given.small else 100_000, 100, noise)
        rows = [measured(task, data, seconds, repeats) for task in (*tasks, NOISE)]
    save(given.out, "columns", rows)


if __name__ == "__main__":
    main()
