"""Who plays the parts of an evaluation: worker processes of this machine, or the machines of a Ray cluster."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

from generalist.envs.child import Child
from generalist.envs.ray_jobs import RETRIES, ray_cluster
from generalist.envs.workers import Job, JobFailed, Report
from generalist.eval.baselines.measure import begin_worker

AGAIN = "if it was for want of memory, evaluate with fewer workers; the same command plays only what is missing"
"""What to do where a worker was killed."""


class Pool(Protocol):
    """Runs functions elsewhere; functions, arguments and results are pickled."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future: ...


class LocalPool:
    """`Pool` of processes of this machine (`generalist.envs.child`), each with a thread of this one that waits for it.

    A future raises `JobFailed` where the function raised, or its process died; the next one gets another process.
    """

    def __init__(self, workers: int):
        self._threads = ThreadPoolExecutor(workers)
        self._own = threading.local()
        self._children: list[Child] = []
        self._begins, self._closed = threading.Lock(), False

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        return self._threads.submit(self._ask, Job(None, _call, (function, args, kwargs)))

    def close(self) -> None:
        """End all processes, also those that are at work; what has not begun is cancelled."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._begins:
            self._closed = True
        for child in self._children:
            child.stop()
        self._threads.shutdown(wait=True)
        for child in self._children:
            child.close()

    def _ask(self, job: Job) -> Any:
        child = getattr(self._own, "child", None) or self._begin()
        try:
            child.send(job)
            kind, content = child.receive()
        except EOFError:
            self._own.child = None
            died = f"its worker process died ({child.exit_status()})"
            raise JobFailed(job, f"{died}; {AGAIN}", child.last_output()) from None
        if kind == "error":
            raise JobFailed(job, content["reason"], content["traceback"], content["cause"])
        return content

    def _begin(self) -> Child:
        with self._begins:
            if self._closed:
                raise CancelledError
            self._own.child = Child("generalist.envs.workers:serve")
            self._children.append(self._own.child)
        return self._own.child


def _call(call: tuple[Callable[..., Any], tuple, dict[str, Any]], report: Report) -> Any:
    """In a worker."""
    begin_worker()
    function, args, kwargs = call
    return function(*args, **kwargs)


@contextmanager
def local_pool(workers: int = 0) -> Iterator[Pool]:
    """So many processes of this machine, one for each core by default."""
    pool = LocalPool(workers or os.cpu_count() or 1)
    try:
        yield pool
    finally:
        pool.close()


@contextmanager
def ray_pool(address: str) -> Iterator[Pool]:
    """The machines of a Ray cluster, one function per core; see `generalist.envs.ray_jobs.ray_cluster`.

    Each must see the run directory and the demonstrations under the same paths.
    """
    with ray_cluster(address) as ray:
        yield RayPool(ray)


class RayPool:
    """`Pool` on the cluster that `ray` is connected to."""

    def __init__(self, ray: Any):
        self.ray = ray

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        # A worker that is lost with its machine is tried again elsewhere.
        return self.ray.remote(function).options(num_cpus=1, max_retries=RETRIES).remote(*args, **kwargs).future()
