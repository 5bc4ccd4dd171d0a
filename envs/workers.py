"""Jobs in worker processes (`generalist.envs.child`) that report progress.

Jobs carry a group: a worker stays with its group, so that what a group needs (imports, experts) is prepared few times.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from generalist.envs.child import Child, ParentPipes
from generalist.envs.failures import in_words, is_of_one_part

Report = Callable[..., None]
"""report(*amounts): called by a job with what it did since its last call; arrives summed, a few times a second."""

REPORT_SECONDS = 0.25


@dataclass(frozen=True)
class Job:
    """`function(argument, report)` in a worker; both must be picklable by name or value."""

    group: Hashable
    function: Callable[[Any, Report], Any]
    argument: Any


class JobFailed(Exception):  # noqa: N818
    """A job raised, or its worker died.

    Attributes:
        job: the job.
        reason: one line.
        detail: the worker's traceback or last output.
        cause: name of the exception's type, "" if the worker died.
    """

    def __init__(self, job: Job, reason: str, detail: str, cause: str = ""):
        super().__init__(reason)
        self.job, self.reason, self.detail, self.cause = job, reason, detail, cause


OnReport = Callable[[Job, tuple], None]
OnResult = Callable[[Job, Any], None]
OnFailure = Callable[[JobFailed], None]


def raise_failure(failure: JobFailed) -> None:
    """The usual `on_failure`: one failure ends all."""
    raise failure


def run_jobs(
    jobs: Sequence[Job],
    workers: int,
    on_report: OnReport,
    on_result: OnResult,
    on_failure: OnFailure = raise_failure,
) -> None:
    """Run all jobs in at most `workers` processes; groups start in the order of their first jobs.

    A group whose job failed is given up, once `on_failure` has returned: its other jobs do not start. Workers are gone
    when this returns or raises, also on KeyboardInterrupt.

    Raises:
        JobFailed: (by default) the first failure; jobs that run are stopped, the others never start.
    """
    pending = _group(jobs)
    messages: queue.SimpleQueue[tuple[_Worker, str, Any]] = queue.SimpleQueue()
    team: list[_Worker] = []
    try:
        for _ in range(min(workers, len(jobs))):
            team.append(_Worker(messages))
            team[-1].send(_next_job(pending, None, team))
        while any(worker.job for worker in team):
            worker, kind, content = messages.get()
            if worker.job is None:
                continue
            job = worker.job
            if kind == "report":
                on_report(job, content)
                continue
            worker.job = None
            if kind == "result":
                worker.send(_next_job(pending, job.group, team))
                on_result(job, content)
                continue
            if kind == "error":
                on_failure(JobFailed(job, content["reason"], content["traceback"], content["cause"]))
            else:
                on_failure(JobFailed(job, f"its worker process died ({worker.exit_status()})", worker.last_output()))
                worker.stop()
                team[team.index(worker)] = worker = _Worker(messages)
            pending.pop(job.group, None)
            worker.send(_next_job(pending, None, team))
    finally:
        for worker in team:
            worker.stop()


def run_jobs_here(
    jobs: Sequence[Job], on_report: OnReport, on_result: OnResult, on_failure: OnFailure = raise_failure
) -> None:
    """The same in this process, one job after the other: for debuggers and tests."""
    failed: set[Hashable] = set()
    for job in jobs:
        if job.group in failed:
            continue
        try:
            result = job.function(job.argument, lambda *amounts, job=job: on_report(job, amounts))
        except BaseException as error:
            if not (isinstance(error, Exception) or is_of_one_part(error)):
                raise
            failure = JobFailed(job, in_words(error), traceback.format_exc(), type(error).__name__)
            failure.__cause__ = error
            on_failure(failure)
            failed.add(job.group)
        else:
            on_result(job, result)


def _group(jobs: Sequence[Job]) -> dict[Hashable, deque[Job]]:
    groups: dict[Hashable, deque[Job]] = {}
    for job in jobs:
        groups.setdefault(job.group, deque()).append(job)
    return groups


def _next_job(pending: dict[Hashable, deque[Job]], group: Hashable, team: list[_Worker]) -> Job | None:
    """Of the worker's own group; else of the first group nobody works at; else of the one with the most jobs left."""
    waiting = [name for name, jobs in pending.items() if jobs]
    if not waiting:
        return None
    busy = {worker.job.group for worker in team if worker.job}
    if group not in waiting:
        untouched = [name for name in waiting if name not in busy]
        group = untouched[0] if untouched else max(waiting, key=lambda name: len(pending[name]))
    return pending[group].popleft()


class _Worker:
    """The parent's side of one worker process."""

    def __init__(self, messages: queue.SimpleQueue):
        self.job: Job | None = None
        self._child = Child("generalist.envs.workers:serve")
        self._thread = threading.Thread(target=self._listen, args=(messages,), daemon=True)
        self._thread.start()

    def send(self, job: Job | None) -> None:
        """Start a job; None: there is none left for this worker."""
        self.job = job
        if job is not None:
            self._child.send(job)

    def stop(self) -> None:
        self._child.stop()
        self._thread.join()
        self._child.close()

    def exit_status(self) -> str:
        return self._child.exit_status()

    def last_output(self) -> str:
        return self._child.last_output()

    def _listen(self, messages: queue.SimpleQueue) -> None:
        while True:
            try:
                messages.put((self, *self._child.receive()))
            except EOFError:
                messages.put((self, "end", None))
                return
            except Exception as error:  # a result of what this process cannot import
                messages.put((self, "error", _told(error)))


def serve() -> None:
    """A worker's main function."""
    pipes = ParentPipes()
    while True:
        _answer(pipes)


def _answer(pipes: ParentPipes) -> None:
    report = _Reporter(lambda kind, content: pipes.send((kind, content)))
    try:
        job: Job = pipes.receive()
        result = job.function(job.argument, report)
        report.flush()
        pipes.send(("result", result))
    except BaseException as error:  # whatever foreign code raises; Ctrl-C does not reach a worker
        pipes.send(("error", _told(error)))


def _told(error: BaseException) -> dict[str, str]:
    """Of the exception that is being handled."""
    return {"reason": in_words(error), "traceback": traceback.format_exc(), "cause": type(error).__name__}


class _Reporter:
    """Sums amounts and sends them a few times a second."""

    def __init__(self, send: Callable[[str, Any], None]):
        self._send, self._amounts, self._sent = send, (), time.monotonic()

    def __call__(self, *amounts: float) -> None:
        self._amounts = tuple(a + b for a, b in zip(self._amounts, amounts, strict=True)) if self._amounts else amounts
        if time.monotonic() - self._sent > REPORT_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._amounts:
            self._send("report", self._amounts)
        self._amounts, self._sent = (), time.monotonic()
