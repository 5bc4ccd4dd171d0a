"""The batches of one process, and where they stand: each stream's position is a file of its own in a checkpoint.

So a run goes on with the same batches on another number of processes. `generalist.train.data.batches` makes them.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grain
import jax
from jax.sharding import Mesh

from generalist.agent.sharding import rows_of_processes
from generalist.tokenizers.sequence import TokenBatch
from generalist.train.config import TrainConfig
from generalist.train.data import batches
from generalist.train.sources import Mixture


def streams_of_processes(mesh: Mesh, batch_size: int, count: int) -> dict[int, tuple[int, ...]]:
    """The streams that hold the rows of each process's devices; two processes may need the same one."""
    size = batch_size // count
    return {
        process: tuple(sorted({row // size for part in parts for row in part}))
        for process, parts in rows_of_processes(mesh, batch_size).items()
    }


def rows_here(mesh: Mesh, batch_size: int, count: int) -> list[int]:
    """Numbers, in the whole batch, of the rows that this process makes."""
    size = batch_size // count
    streams = streams_of_processes(mesh, batch_size, count)[jax.process_index()]
    return [row for stream in streams for row in range(stream * size, (stream + 1) * size)]


class BatchStream(Iterator[TokenBatch]):
    """This process's rows of one batch after the other; Orbax saves and restores where they stand.

    Args:
        batches: of the streams `kept`, in that order.
        count: streams of all processes.
        writes: of the streams kept here, those that this process writes to checkpoints.
    """

    def __init__(
        self, batches: grain.IterDataset[TokenBatch], kept: Sequence[int], count: int, writes: Sequence[int]
    ) -> None:
        self.kept, self.count, self.writes = tuple(kept), count, frozenset(writes)
        self._iterator: Any = iter(batches)

    def __next__(self) -> TokenBatch:
        return next(self._iterator)

    def close(self) -> None:
        """Stop the thread that makes batches ahead."""
        self._iterator.close()

    async def save(self, directory: Any) -> Any:
        """Called by Orbax; the position is taken now and written in the background."""
        positions = zip(self.kept, self._iterator.get_state()["parents"], strict=True)
        texts = {self._name(stream): json.dumps(state) for stream, state in positions if stream in self.writes}
        return _write(directory, texts)

    async def load(self, directory: Path) -> Any:
        """Called by Orbax; the position is set in the background."""
        files = [directory / self._name(stream) for stream in self.kept]
        if missing := [file.name for file in files if not file.exists()]:
            raise ValueError(f"no data position {missing[0]}; generalist 0.1.0 wrote none that could be gone on from")
        return self._load(files)

    async def _load(self, files: Sequence[Path]) -> None:
        states = [json.loads(await asyncio.to_thread(file.read_text)) for file in files]
        self._iterator.set_state({"parents": states})

    def _name(self, stream: int) -> str:
        return f"stream-{stream:05d}-of-{self.count:05d}.json"


async def _write(directory: Any, texts: Mapping[str, str]) -> None:
    folder = await directory.await_creation()
    for name, text in texts.items():
        await asyncio.to_thread((folder / name).write_text, text)


def open_stream(config: TrainConfig, mixture: Mixture, mesh: Mesh, *, prefetch: int = 4) -> BatchStream:
    """The batches of a training job, as far as this process's devices hold them."""
    needed = streams_of_processes(mesh, config.batch_size, config.data_streams)
    kept = needed[jax.process_index()]
    first = {stream: process for process, streams in reversed(needed.items()) for stream in streams}
    made = batches(
        mixture.sources,
        mixture.weights,
        mixture.capacity,
        batch_size=config.batch_size,
        streams=kept,
        of=config.data_streams,
        prefetch=prefetch,
    )
    writes = [stream for stream in kept if first[stream] == jax.process_index()]
    return BatchStream(made, kept, config.data_streams, writes)
