"""Jobs on the machines of a Ray cluster: the same contract as `generalist.envs.workers.run_jobs`."""

from __future__ import annotations

import socket
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from generalist.envs.failures import in_words
from generalist.envs.task import MissingExtra
from generalist.envs.workers import REPORT_SECONDS, Job, JobFailed, OnFailure, OnReport, OnResult, raise_failure

RETRIES = 2
"""A job that is lost with its machine is started again elsewhere so many times."""


@contextmanager
def ray_cluster(address: str) -> Iterator[Any]:
    """The module `ray`, connected. Its machines must have generalist installed.

    Args:
        address: HOST:PORT of the cluster, "auto" for the one this machine belongs to, "local" for a new one of this
            machine alone, which ends with the context.

    Raises:
        MissingExtra: Ray is not installed. ConnectionError: no cluster there.
    """
    try:
        import ray
        from ray.exceptions import RayError
    except ImportError as error:
        raise MissingExtra("ray", error) from error
    if ":" in address:
        _check_reachable(address)  # Ray itself tries for minutes
    ray.init(address=address, log_to_driver=False, include_dashboard=False if address == "local" else None)
    try:
        yield ray
    except RayError as error:  # of no job: the machine that this process is connected to
        raise ConnectionError(
            f"the Ray cluster at {address} was lost ({in_words(error)}); what is finished is kept, and the same "
            "command goes on"
        ) from error
    finally:
        ray.shutdown()


def run_jobs_on_ray(
    jobs: Sequence[Job],
    address: str,
    on_report: OnReport,
    on_result: OnResult,
    on_failure: OnFailure = raise_failure,
) -> None:
    """Run all jobs, one for each core of the cluster at a time; see `run_jobs`.

    Raises:
        JobFailed: (by default) the first failure.
    """
    with ray_cluster(address) as ray:
        reports = ray.remote(_Reports).options(num_cpus=0).remote()
        remote = ray.remote(_perform).options(num_cpus=1, max_retries=RETRIES)
        waiting = {remote.remote(number, job, reports): job for number, job in enumerate(jobs)}
        failed: set[Hashable] = set()
        while waiting:
            finished, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=REPORT_SECONDS)
            for number, amounts in ray.get(reports.take.remote()):
                on_report(jobs[number], amounts)
            for reference in finished:
                job = waiting.pop(reference)
                try:
                    result = ray.get(reference)
                except ray.exceptions.TaskCancelledError:
                    continue
                except ray.exceptions.RayError as error:
                    if job.group not in failed:
                        failed.add(job.group)
                        on_failure(_failure(job, error))
                    for other in [one for one, each in waiting.items() if each.group == job.group]:
                        ray.cancel(other)
                else:
                    on_result(job, result)


def _perform(number: int, job: Job, reports: Any) -> Any:
    """In a worker of the cluster."""
    amounts: tuple = ()
    sent = time.monotonic()

    def report(*more: float) -> None:
        nonlocal amounts, sent
        amounts = tuple(a + b for a, b in zip(amounts, more, strict=True)) if amounts else more
        if time.monotonic() - sent > REPORT_SECONDS:
            reports.add.remote(number, amounts)
            amounts, sent = (), time.monotonic()

    result = job.function(job.argument, report)
    if amounts:
        import ray

        ray.get(reports.add.remote(number, amounts))  # it must be there before the job counts as done
    return result


class _Reports:
    """An actor that keeps what jobs report until it is fetched."""

    def __init__(self):
        self._waiting: list[tuple[int, tuple]] = []

    def add(self, number: int, amounts: tuple) -> None:
        self._waiting.append((number, amounts))

    def take(self) -> list[tuple[int, tuple]]:
        waiting, self._waiting = self._waiting, []
        return waiting


def _failure(job: Job, error: Exception) -> JobFailed:
    cause = getattr(error, "cause", None)
    reason = in_words(cause or error)
    return JobFailed(job, reason, str(error), type(cause).__name__ if cause else "")


def _check_reachable(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"no Ray cluster answers at {address} ({error}); start one with `ray start --head`, or use auto or local"
        ) from error
