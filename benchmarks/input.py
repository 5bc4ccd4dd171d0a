"""How much faster batches are made than the training step consumes them, by workers; padding; memory over time.

Reads demonstrations of the quickstart's tasks (collected once into --data if they are not there), tokenizes and packs
them as training does, and trains the quickstart's agent on one such batch to see what it consumes. Without workers the
batches are made on the thread that asks for them.
"""

import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from common import parser, save

from generalist.agent.loss import LossConfig
from generalist.agent.sharding import make_mesh, split_cpu
from generalist.configs.quickstart import LAYOUT
from generalist.configs.quickstart import config as quickstart
from generalist.demonstrations.collect import collect
from generalist.demonstrations.storage import dataset_folder
from generalist.train.config import DocumentsConfig, TrainConfig
from generalist.train.memory import keep_freed_memory
from generalist.train.sources import input_sizes, open_mixture
from generalist.train.step import create_state, make_step
from generalist.train.streams import open_stream


def resident() -> float:
    """Resident memory of this process in MB, the mapped files' included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def reading(config: TrainConfig, data: Path, workers: int, seconds: float) -> dict:
    """Batches from the pipeline alone: made when they are asked for, or by worker processes."""
    begun = time.perf_counter()
    mixture = open_mixture(config, data)
    opening = time.perf_counter() - begun
    with open_stream(config, mixture, make_mesh(1, 1, 1), workers=workers, ahead=4 if workers else 0) as stream:
        for _ in range(20):
            next(stream)
        tokens, count, memory = 0, 0, [resident()]
        begun = time.perf_counter()
        while (spent := time.perf_counter() - begun) < seconds:
            tokens += int((next(stream).segment > 0).sum())
            count += 1
            memory.append(resident())
    positions = count * config.batch_size * config.sequence_length
    tenth = max(1, len(memory) // 10)
    return {
        "workers": workers,
        "open s": opening,
        "tokens/s": tokens / spent,
        "batches/s": count / spent,
        "padding": 1 - tokens / positions,
        "memory MB": memory[-1],
        "memory growth MB": float(np.mean(memory[-tenth:]) - np.mean(memory[tenth : 2 * tenth])),
    }


def consuming(config: TrainConfig, data: Path, updates: int) -> float:
    """Updates per second of the training step on batches that are already there."""
    mixture = open_mixture(config, data)
    sizes = input_sizes(config, list(mixture.layouts.values()))
    mesh = make_mesh(config.mesh.data, config.mesh.fsdp, config.mesh.tensor)
    graphdef, state = create_state(config, sizes, mesh)
    with open_stream(config, mixture, mesh, ahead=0) as stream:
        ready = [next(stream) for _ in range(4)]
    step = make_step(config, graphdef, state, LossConfig(targets=mixture.capacity.targets), mesh)
    for batch in ready[:2]:
        state, metrics = step(state, batch)
    jax.block_until_ready(metrics)
    begun = time.perf_counter()
    for number in range(updates):
        state, metrics = step(state, ready[number % len(ready)])
    jax.block_until_ready(metrics)
    return updates / (time.perf_counter() - begun)


def mixtures(small: bool) -> dict[str, TrainConfig]:
    """The quickstart's; rooms as image patches and their missions; and text alone."""
    config = quickstart().train
    patches = replace(LAYOUT, images="patches", patch_size=8)
    rooms = tuple(replace(one, layout=patches) for one in config.sources if one.task.startswith("babyai/"))
    found = {
        "quickstart": config,
        "image patches": replace(
            config, sources=rooms, sequence_length=256, agent=replace(config.agent, window=256, local_positions=128)
        ),
        "text": replace(config, sources=(), documents=(DocumentsConfig(corpus="docstrings"),), sequence_length=128),
    }
    return {"quickstart": replace(config, sources=config.sources[:2])} if small else found


def main() -> None:
    options = parser(__doc__.split("\n")[0])
    options.add_argument("--data", type=Path, default=Path("data"), help="folder of demonstrations")
    options.add_argument("--seconds", type=float, default=20.0, help="of reading, for each row")
    given = options.parse_args()
    keep_freed_memory()
    split_cpu(quickstart().train.mesh.cpu_devices)
    rows = []
    for name, config in mixtures(given.small).items():
        missing = [source.task for source in config.sources if not dataset_folder(given.data, source.task).exists()]
        if missing:
            print(f"collecting {len(missing)} tasks into {given.data}", file=sys.stderr)
            collect(missing, given.data, seed=0)
        consumed = consuming(config, given.data, 5 if given.small else 50)
        for workers in (0, 1) if given.small else (0, 1, 2):
            row = reading(config, given.data, workers, 2 if given.small else given.seconds)
            ratio = {"step batches/s": consumed, "reading / step": row["batches/s"] / consumed}
            rows.append({"mixture": name, **row, **ratio})
    save(given.out, "input", rows)


if __name__ == "__main__":
    main()
