"""SIGTERM, by which SLURM, Kubernetes and spot machines ask a process to end: training saves its state and stops.

A second SIGTERM ends the process at once. SIGINT (Ctrl-C) is not handled here: it ends a run without saving. Both leave
the newest checkpoint to go on from.
"""

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Stopped(SystemExit):
    """Work was stopped on request and can go on later; where nobody catches it, the process ends with code 0.

    Args:
        where: how far it had come.
        how: how to go on.
    """

    def __init__(self, where: str, how: str):
        super().__init__(0)
        self.where, self.how = where, how

    def __str__(self) -> str:
        return f"{self.where}; {self.how}"


class StopRequest:
    """Whether training was asked to stop.

    Several processes of one job (`jax.distributed`) stop after the same update, wherever the signal arrived: JAX has
    its own handler there, and its processes agree on a step.
    """

    def __init__(self, *, together: bool):
        self.received, self._together = False, together

    def reached(self, step: int) -> bool:
        """Whether to stop after update `step`; every process must ask after every update."""
        if self._together:
            from jax.experimental.multihost_utils import reached_preemption_sync_point

            self.received = self.received or reached_preemption_sync_point(step)
        return self.received


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Inside, the first SIGTERM is only noted in what this gives.

    Outside the main thread Python allows no handler, and SIGTERM ends the process as ever.
    """
    import jax  # here, because the shell around the commands needs `Stopped`, and help must be quick

    request = StopRequest(together=jax.process_count() > 1)

    def note() -> None:
        request.received = True

    if request._together:
        yield request
    else:
        with _handling(note):
            yield request


@contextmanager
def stopping_at_once(where: str, how: str) -> Iterator[None]:
    """Inside, SIGTERM ends the worker processes and raises Stopped: for work that may be cut off anywhere."""

    received = False

    def stop() -> None:
        nonlocal received
        received = True
        for child in multiprocessing.active_children():
            child.terminate()
        raise Stopped(where, how)

    with _handling(stop):
        try:
            yield
        except Exception as error:
            # Raised inside a callback, Stopped is swallowed there; then the work fails for want of its processes.
            if received and not isinstance(error, Stopped):
                raise Stopped(where, how) from None
            raise


@contextmanager
def _handling(act: Callable[[], None]) -> Iterator[None]:
    """Inside, the first SIGTERM calls `act`, and the next ends the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        act()

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        # None is a handler that Python did not install and cannot put back.
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
