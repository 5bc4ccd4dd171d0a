"""Who makes the rows of streams ahead of their use: a thread of this process, or worker processes.

What is made does not depend on it. A worker is sent its sources, which open their files by path, and sends back rows;
it ends with its parent, and its failure is raised where its rows are asked for.
"""

from __future__ import annotations

import pickle
import queue
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from generalist.envs.child import Child, ParentPipes
from generalist.tokenizers.sequence import Capacity
from generalist.train.data import Source, packed_rows
from generalist.train.documents import DocumentSource
from generalist.train.memory import keep_freed_memory
from generalist.train.packing import Packed

MAIN = "generalist.train.makers:serve"


class WorkerDied(RuntimeError):  # noqa: N818 (what happened)
    """A worker process ended without having been asked to."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be made.

    Args:
        sources, weights, capacity: see `packed_rows`.
        rows: of a stream in one batch.
        of: number of streams of a whole batch.
        positions: where each stream that is made here goes on, by its number.
    """

    sources: Sequence[Source]
    weights: Sequence[float]
    capacity: Capacity
    rows: int
    of: int
    positions: Mapping[int, int]


@dataclass(frozen=True)
class Part:
    """The rows of one stream in one batch.

    Args:
        position: of the stream after them.
        tokens: in them, padding not counted.
        seconds: that making them took.
        bad: damaged documents that were met since the part before: name and problem, by number of the source.
    """

    stream: int
    rows: Packed
    position: int
    tokens: int
    seconds: float
    bad: dict[int, dict[str, str]] = field(default_factory=dict)


def make_parts(order: Order) -> Iterator[list[Part]]:
    """One part of each stream, in the order of `positions`, again and again."""
    streams = {
        stream: packed_rows(
            order.sources, order.weights, order.capacity, rows=order.rows, stream=stream, of=order.of, position=position
        )
        for stream, position in order.positions.items()
    }
    told: dict[int, int] = {}
    while True:
        parts = []
        for stream, rows in streams.items():
            begun = time.perf_counter()
            made = next(rows)
            seconds = time.perf_counter() - begun
            tokens = int(np.count_nonzero(made.tokens["segment"]))
            parts.append(Part(stream, made, rows.position, tokens, seconds, _newly_bad(order.sources, told)))
        yield parts


def _newly_bad(sources: Sequence[Source], told: dict[int, int]) -> dict[int, dict[str, str]]:
    found = {}
    for number, source in enumerate(sources):
        if isinstance(source, DocumentSource) and len(source.bad) > told.get(number, 0):
            found[number] = dict(list(source.bad.items())[told.get(number, 0) :])
            told[number] = len(source.bad)
    return found


Made = TypeVar("Made")


class Closed(RuntimeError):  # noqa: N818 (what happened)
    """Nothing more will come, because the stream was closed."""


class Ahead(Iterator[Made]):
    """What an iterator gives, taken from it on a thread, at most `most` ahead. What it raises is raised here."""

    def __init__(self, things: Iterator[Made], most: int):
        self._made: queue.Queue[Made | BaseException] = queue.Queue(most)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(things,), name="input", daemon=True)
        self._thread.start()

    def __next__(self) -> Made:
        made = self._made.get()
        if isinstance(made, BaseException):
            self._made.put(made)  # whoever asks again is told again
            raise made
        return made

    def stop(self) -> None:
        """Take nothing more after what is being taken; returns at once."""
        self._closing.set()

    def close(self) -> None:
        """Stop the thread; what it waits for must end. Whoever waits for more gets `Closed`."""
        self.stop()
        self._thread.join()
        with suppress(queue.Full):
            self._made.put_nowait(Closed("the stream was closed"))

    def _run(self, things: Iterator[Made]) -> None:
        try:
            for thing in things:
                if not self._put(thing):
                    return
        except BaseException as error:
            self._put(error)

    def _put(self, made: Made | BaseException) -> bool:
        while not self._closing.is_set():
            try:
                self._made.put(made, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False


class Worker:
    """One worker process; it begins to import at once, and to make when it is given an order."""

    def __init__(self, name: str):
        self.name = name
        self._child = Child(MAIN)
        self._ahead: Ahead[list[Part]] | None = None

    def start(self, order: Order, most: int) -> Iterator[list[Part]]:
        """What `make_parts` gives there, received up to `most` ahead."""
        self._child.send(order)
        self._ahead = Ahead(self._receive(order.sources), most)
        return self._ahead

    def _receive(self, sources: Sequence[Source]) -> Iterator[list[Part]]:
        while True:
            try:
                kind, content = self._child.receive()
            except EOFError:
                raise WorkerDied(self._obituary()) from None
            if kind == "error":
                raise _raised(self.name, *content)
            for number, problems in (each for part in content for each in part.bad.items()):
                source = sources[number]
                assert isinstance(source, DocumentSource)
                source.bad.update(problems)
            yield content

    def _obituary(self) -> str:
        said = self._child.last_output().strip()
        told = f": {said}" if said else ""
        return f"{self.name} (process {self._child.pid}) died, {self._child.exit_status()}{told}"

    def close(self) -> None:
        """End the process and wait for it."""
        self._child.stop()
        if self._ahead is not None:
            self._ahead.close()
        self._child.close()


def _raised(name: str, error: bytes | None, reason: str, trace: str) -> BaseException:
    """The worker's exception, or one that says what it was where that cannot be sent."""
    try:
        found = pickle.loads(error or b"")
    except Exception:  # of whatever its class needs to be made again
        found = RuntimeError(f"{name} failed: {reason}")
    found.add_note(f"in {name}:\n{trace}")
    return found


def serve() -> None:
    """A worker's main function."""
    pipes = ParentPipes()
    try:
        keep_freed_memory()
        for parts in make_parts(pipes.receive()):
            pipes.send(("parts", parts))
    except BrokenPipeError:
        pass  # the parent is gone
    except Exception as error:
        reason, trace = f"{type(error).__name__}: {error}", traceback.format_exc()
        pipes.send(("error", (_pickled(error), reason, trace)))


def _pickled(error: Exception) -> bytes | None:
    try:
        return pickle.dumps(error)
    except Exception:  # of whatever it holds
        return None


def start_making(order: Order, workers: Sequence[Worker], most: int) -> list[Iterator[list[Part]]]:
    """Makers whose streams are those of the order, dealt out in turn; without workers, what is asked makes them.

    Args:
        most: batches of which parts are received ahead from workers; at least 1.
    """
    if not workers:
        return [make_parts(order)]
    streams = list(order.positions)
    count = min(len(workers), len(streams))
    dealt = [streams[first::count] for first in range(count)]
    given = zip(workers, dealt, strict=False)
    return [worker.start(_part_of(order, mine), max(1, most)) for worker, mine in given]


def _part_of(order: Order, streams: Sequence[int]) -> Order:
    return replace(order, positions={stream: order.positions[stream] for stream in streams})
