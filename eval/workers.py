"""Who plays the parts of an evaluation: worker processes of this machine, or the machines of a Ray cluster."""

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any, Protocol

from generalist.envs.ray_jobs import RETRIES, ray_cluster
from generalist.eval.baselines.measure import begin_worker


class Pool(Protocol):
    """Runs functions elsewhere; functions, arguments and results are pickled."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future: ...


class _Worker(SpawnProcess):
    """A fresh interpreter that runs nothing of its parent's `__main__`.

    Otherwise a script would have to hide its evaluation behind `if __name__ == "__main__"`.
    """

    def start(self) -> None:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            super().start()
        finally:
            sys.modules["__main__"] = main


class _Workers(SpawnContext):
    Process = _Worker


@contextmanager
def local_pool(workers: int = 0) -> Iterator[Pool]:
    """So many processes of this machine, one for each core by default."""
    pool = ProcessPoolExecutor(workers or os.cpu_count() or 1, mp_context=_Workers(), initializer=begin_worker)
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
