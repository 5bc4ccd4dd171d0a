"""Who plays the parts of an evaluation: worker processes of this machine, or the machines of a Ray cluster."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

from generalist.envs.ray_jobs import RETRIES, ray_cluster
from generalist.eval.baselines.measure import begin_worker


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
