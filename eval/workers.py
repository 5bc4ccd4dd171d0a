"""Who plays the parts of an evaluation: worker processes of this machine, or the machines of a Ray cluster."""

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

from generalist.envs.task import MissingExtra
from generalist.eval.measure import begin_worker


class Pool(Protocol):
    """Runs functions elsewhere; functions, arguments and results are pickled."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future: ...


@contextmanager
def local_pool(workers: int = 0) -> Iterator[Pool]:
    """So many processes of this machine, one for each core by default."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers or os.cpu_count() or 1, mp_context=context, initializer=begin_worker)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def ray_pool(address: str) -> Iterator[Pool]:
    """The machines of a Ray cluster, one function per core.

    Each must have generalist installed, and see the run directory and the demonstrations under the same paths.

    Args:
        address: HOST:PORT of the cluster, "auto" for the one this machine belongs to, "local" for a new one of this
            machine alone, which ends with the evaluation.

    Raises:
        MissingExtra: Ray is not installed. ConnectionError: no cluster there.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("ray", error) from error
    if ":" in address:
        _check_reachable(address)  # Ray itself tries for minutes
    ray.init(address=address, log_to_driver=False, include_dashboard=False if address == "local" else None)
    try:
        yield RayPool(ray)
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"no Ray cluster answers at {address} ({error}); start one with `ray start --head`, or use auto or local"
        ) from error


class RayPool:
    """`Pool` on the cluster that `ray` is connected to."""

    def __init__(self, ray: Any):
        self.ray = ray

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        # A worker that is lost with its machine is tried again elsewhere.
        return self.ray.remote(function).options(num_cpus=1, max_retries=2).remote(*args, **kwargs).future()
