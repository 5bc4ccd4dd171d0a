"""The batches of one process, and where they stand: each stream's position is a file of its own in a checkpoint.

So a run goes on with the same batches on another number of processes or workers. `generalist.train.makers` makes them.
"""

import asyncio
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from generalist.agent.sharding import rows_of_processes
from generalist.tokenizers.sequence import TokenBatch
from generalist.train.config import TrainConfig
from generalist.train.makers import Ahead, Order, Worker, start_making
from generalist.train.packing import to_batch
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


JOINED = 2
"""Whole batches that are ready, where their parts are received ahead."""


@dataclass(frozen=True)
class _Made:
    """A batch, where its streams stand after it, and what making it took."""

    batch: TokenBatch
    positions: dict[int, int]
    tokens: int
    seconds: float


class BatchStream(Iterator[TokenBatch]):
    """This process's rows of one batch after the other; Orbax saves and restores where they stand.

    A batch does not depend on who makes it. A context manager: at its end nothing makes batches any more.

    Args:
        order: sources and sizes; its `positions` name the streams that are kept here, in the order of their rows.
        writes: of the streams kept here, those that this process writes to checkpoints.
        workers: processes that make them, at most one for each stream; 0 is a thread of this one.
        ahead: batches that are made ahead; with 0 they are made when they are asked for (workers are a part ahead).
    """

    def __init__(self, order: Order, writes: Sequence[int], *, workers: int = 0, ahead: int = 4) -> None:
        self.order, self.kept, self.writes, self.ahead = order, tuple(order.positions), frozenset(writes), ahead
        self._positions = dict(order.positions)
        self._count = min(workers, len(self.kept))
        self._workers = self._hired()  # while they import, the caller compiles
        self._made: Iterator[_Made] | None = None
        self._tokens, self._seconds = 0, 0.0

    def _hired(self) -> list[Worker]:
        return [Worker(f"input worker {number + 1} of {self._count}") for number in range(self._count)]

    def __enter__(self) -> "BatchStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __next__(self) -> TokenBatch:
        """Raises what a maker raised; `WorkerDied` where a worker was killed."""
        if self._made is None:
            made = self._make()
            self._made = Ahead(made, min(self.ahead, JOINED) if self._workers else self.ahead) if self.ahead else made
        found = next(self._made)
        self._positions |= found.positions
        self._tokens, self._seconds = self._tokens + found.tokens, self._seconds + found.seconds
        return found.batch

    def _make(self) -> "Iterator[_Made]":
        """Batches from the parts of all makers."""
        order = replace(self.order, positions=dict(self._positions))
        makers = start_making(order, self._workers, self.ahead)
        while True:
            made = [next(maker) for maker in makers]
            parts = [made[number % len(made)][number // len(made)] for number in range(len(self.kept))]
            yield _Made(
                to_batch([part.rows for part in parts], self.order.capacity),
                {part.stream: part.position for part in parts},
                sum(part.tokens for part in parts),
                sum(part.seconds for part in parts),
            )

    def tokens_per_second(self) -> float:
        """What the makers together could have made since this was last asked, or could ever; 0 before any batch."""
        rate = self._tokens / self._seconds * max(self._count, 1) if self._seconds else 0.0
        self._tokens, self._seconds = 0, 0.0
        return rate

    def close(self) -> None:
        """End every thread and process that makes batches."""
        if isinstance(self._made, Ahead):
            self._made.stop()
        for worker in self._workers:
            worker.close()
        if isinstance(self._made, Ahead):
            self._made.close()
        self._made, self._workers = None, []

    async def save(self, directory: Any) -> Any:
        """Called by Orbax; the position is taken now and written in the background."""
        texts = {self._name(stream): json.dumps({"next": self._positions[stream]}) for stream in self.writes}
        return _write(directory, texts)

    async def load(self, directory: Path) -> Any:
        """Called by Orbax; the position is set in the background."""
        files = [directory / self._name(stream) for stream in self.kept]
        if missing := [file.name for file in files if not file.exists()]:
            raise ValueError(f"no data position {missing[0]}; generalist 0.1.0 wrote none that could be gone on from")
        return self._load(files)

    async def _load(self, files: Sequence[Path]) -> None:
        stored = [json.loads(await asyncio.to_thread(file.read_text)) for file in files]
        if [state for state in stored if set(state) != {"next"}]:
            raise ValueError("the data position is of another version of generalist, which packed rows otherwise")
        if self._made is not None:
            self.close()
            self._workers = self._hired()
        self._positions = {stream: int(state["next"]) for stream, state in zip(self.kept, stored, strict=True)}

    def _name(self, stream: int) -> str:
        return f"stream-{stream:05d}-of-{self.order.of:05d}.json"


async def _write(directory: Any, texts: Mapping[str, str]) -> None:
    folder = await directory.await_creation()
    for name, text in texts.items():
        await asyncio.to_thread((folder / name).write_text, text)


def open_stream(
    config: TrainConfig, mixture: Mixture, mesh: Mesh, *, workers: int | None = 0, ahead: int = 4
) -> BatchStream:
    """The batches of a training job, as far as this process's devices hold them.

    Args:
        workers: processes that make them; None chooses by the machine, see `usual_workers`.
    """
    needed = streams_of_processes(mesh, config.batch_size, config.streams)
    kept = needed[jax.process_index()]
    first = {stream: process for process, streams in reversed(needed.items()) for stream in streams}
    order = Order(
        sources=mixture.sources,
        weights=mixture.weights,
        capacity=mixture.capacity,
        rows=config.batch_size // config.streams,
        of=config.streams,
        positions=dict.fromkeys(kept, 0),
    )
    writes = [stream for stream in kept if first[stream] == jax.process_index()]
    count = usual_workers() if workers is None else workers
    return BatchStream(order, writes, workers=count, ahead=ahead)


def usual_workers() -> int:
    """One for each core but one beside an accelerator; none on a CPU, whose cores compute the updates."""
    if jax.default_backend() == "cpu":
        return 0
    return max(1, len(os.sched_getaffinity(0)) - 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 2) - 1)
