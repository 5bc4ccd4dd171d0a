"""Jobs in worker processes that die with their parent, run nothing of its `__main__`, and report progress.

Each worker is a fresh interpreter that is sent pickled jobs on its standard input and answers on its standard output.
It ends as soon as its input is closed, which the operating system does even when the parent is killed with SIGKILL.
Jobs carry a group: a worker stays with its group, so that what a group needs (imports, experts) is prepared few times.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

Report = Callable[..., None]
"""report(*amounts): called by a job with what it did since its last call; arrives summed, a few times a second."""

REPORT_SECONDS = 0.25
START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from generalist.envs.workers import serve; serve()"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


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
        except Exception as error:
            failure = JobFailed(job, _reason(error), traceback.format_exc(), type(error).__name__)
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
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `stop`)
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._output,
            env=ONE_THREAD | os.environ,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("pipes were asked for")
        self._to, self._from = self._process.stdin, self._process.stdout
        self._thread = threading.Thread(target=self._listen, args=(messages,), daemon=True)
        self._thread.start()

    def send(self, job: Job | None) -> None:
        """Start a job; None: there is none left for this worker."""
        self.job = job
        if job is not None:
            with contextlib.suppress(BrokenPipeError):  # it died: `_listen` tells
                self._to.write(pickle.dumps(job))
                self._to.flush()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        with contextlib.suppress(BrokenPipeError):
            self._to.close()
        self._from.close()
        self._output.close()

    def exit_status(self) -> str:
        code = self._process.wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    def last_output(self) -> str:
        self._output.seek(0)
        return self._output.read()[-4000:].decode(errors="replace")

    def _listen(self, messages: queue.SimpleQueue) -> None:
        try:
            while True:
                messages.put((self, *pickle.load(self._from)))
        except (EOFError, OSError, pickle.UnpicklingError):
            messages.put((self, "end", None))


def serve() -> None:
    """A worker's main function."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal group; the parent decides
    jobs_in, answers_out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what environments print must not mix with the answers
    jobs: queue.SimpleQueue[Job | Exception] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs_in, jobs), daemon=True).start()
    while True:
        _answer(jobs.get(), answers_out)


def _read_jobs(stream: Any, jobs: queue.SimpleQueue) -> None:
    while True:
        try:
            jobs.put(pickle.load(stream))
        except EOFError:
            os._exit(0)  # the parent is gone or done
        except Exception as error:
            jobs.put(error)


def _answer(job: Job | Exception, stream: Any) -> None:
    def send(kind: str, content: Any) -> None:
        stream.write(pickle.dumps((kind, content)))
        stream.flush()

    report = _Reporter(send)
    try:
        if isinstance(job, Exception):
            raise job
        result = job.function(job.argument, report)
        report.flush()
        send("result", result)
    except Exception as error:
        send("error", {"reason": _reason(error), "traceback": traceback.format_exc(), "cause": type(error).__name__})


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


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
