"""How cost grows: a batch of more tasks, demonstrations of more episodes, and the start of the command itself.

`start s` is what passes before the first one; `each ms` what one batch, or one episode, costs after that.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from common import parser, save

from generalist.demonstrations.collect import collect
from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.tokenizers.layout import LayoutOptions
from generalist.train.config import SourceConfig, TrainConfig
from generalist.train.data import packed_rows
from generalist.train.sources import open_mixture

TASK = "CartPole-v1"
CONFIG = TrainConfig(
    sources=(SourceConfig(task=TASK, layout=LayoutOptions(continuous="vector", past_actions="hidden")),),
    sequence_length=128,
    batch_size=16,
)


def tasks(data: Path, count: int, seconds: float) -> dict:
    """Batches of a mixture of `count` sources, all of the same demonstrations."""
    mixture = open_mixture(CONFIG, data)
    sources = [replace(mixture.sources[0], index=index) for index in range(count)]
    begun = time.perf_counter()
    stream = packed_rows(sources, [1.0] * count, mixture.capacity, rows=CONFIG.batch_size)
    next(stream)
    first = time.perf_counter() - begun
    made, begun = 0, time.perf_counter()
    while (spent := time.perf_counter() - begun) < seconds:
        next(stream)
        made += 1
    return {"what": "tasks in the mixture", "count": count, "start s": first, "each ms": 1e3 * spent / made}


def episodes(folder: Path, count: int) -> dict:
    """Opening and reading demonstrations of `count` episodes."""
    collect([TASK], folder, seed=0, episodes=count, policy="random", workers=0, quiet=True)
    begun = time.perf_counter()
    found = Demonstrations.open(dataset_folder(folder, TASK))
    opening = time.perf_counter() - begun
    found.columns().take(np.arange(int(found.lengths.sum())))
    reading = time.perf_counter() - begun - opening
    return {"what": "episodes on disk", "count": count, "start s": opening, "each ms": 1e3 * reading / count}


def command(*arguments: str) -> dict:
    """Median seconds of a command that does no work."""
    script, times = Path(sys.executable).with_name("generalist"), []
    for _ in range(3):
        begun = time.perf_counter()
        subprocess.run([str(script), *arguments], capture_output=True, check=True)
        times.append(time.perf_counter() - begun)
    return {"what": "generalist " + " ".join(arguments), "count": 1, "start s": sorted(times)[1], "each ms": 0.0}


def main() -> None:
    given = parser(__doc__.split("\n")[0]).parse_args()
    seconds = 1.0 if given.small else 5.0
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        counts = (10, 40) if given.small else (10, 100, 1000, 5000)
        rows += [episodes(Path(folder) / str(count), count) for count in counts]
        data = Path(folder) / str(counts[1])
        rows += [tasks(data, count, seconds) for count in ((1, 10) if given.small else (1, 10, 100, 500))]
    rows += [command("--help"), command("train", "quickstart", "--help"), command("tasks")]
    save(given.out, "growth", rows)


if __name__ == "__main__":
    main()
