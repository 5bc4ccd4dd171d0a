"""How much faster one worker makes batches than the training step consumes them; padding; memory over time.

Reads demonstrations of the quickstart's tasks (collected once into --data if they are not there), tokenizes and packs
them as training does, and trains the quickstart's agent on one such batch to see what it consumes.
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
from generalist.configs.quickstart import config as quickstart
from generalist.demonstrations.collect import collect
from generalist.demonstrations.storage import dataset_folder
from generalist.train.config import TrainConfig
from generalist.train.data import batches
from generalist.train.memory import keep_freed_memory
from generalist.train.sources import input_sizes, open_mixture
from generalist.train.step import create_state, make_step


def resident() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def reading(config: TrainConfig, data: Path, seconds: float) -> dict:
    """Batches from the pipeline alone, on this thread, for so many seconds."""
    begun = time.perf_counter()
    mixture = open_mixture(config, data)
    opening = time.perf_counter() - begun
    stream = iter(batches(mixture.sources, mixture.weights, mixture.capacity, batch_size=config.batch_size, prefetch=0))
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
    stream = iter(batches(mixture.sources, mixture.weights, mixture.capacity, batch_size=config.batch_size))
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


def main() -> None:
    options = parser(__doc__.split("\n")[0])
    options.add_argument("--data", type=Path, default=Path("data"), help="folder of demonstrations")
    options.add_argument("--seconds", type=float, default=60.0, help="of reading")
    given = options.parse_args()
    config = quickstart().train
    if given.small:
        config = replace(config, sources=config.sources[:2])
    keep_freed_memory()
    split_cpu(config.mesh.cpu_devices)
    missing = [source.task for source in config.sources if not dataset_folder(given.data, source.task).exists()]
    if missing:
        print(f"collecting {len(missing)} tasks into {given.data}", file=sys.stderr)
        collect(missing, given.data, seed=0)
    consumed = consuming(config, given.data, 5 if given.small else 50)
    row = reading(config, given.data, 2 if given.small else given.seconds)
    rows = [{"mixture": "quickstart", **row, "step batches/s": consumed, "reading / step": row["batches/s"] / consumed}]
    save(given.out, "input", rows)


if __name__ == "__main__":
    main()
