"""A trace of a few updates for TensorBoard or Perfetto; docs/profiling.md says how to read one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

WARM_UP = 3
"""Updates that are not traced: the first compiles, the next ones fill queues."""


def check_profile(count: int, remaining: int) -> None:
    """Raises ValueError if `count` updates cannot be traced in a run that has `remaining` to do."""
    if count < 0:
        raise ValueError(f"--profile must not be negative, got {count}; 0 traces nothing")
    if count and count + WARM_UP > remaining:
        raise ValueError(
            f"--profile {count} needs {count + WARM_UP} updates, {WARM_UP} of them to warm up, and only {remaining} "
            "are to be done; trace fewer, or train longer"
        )


class Profile:
    """A context manager that traces `count` updates after `WARM_UP` others; 0 traces nothing.

    Args:
        folder: where the trace goes, as `plugins/profile/<time>/`.
        first: the last update that was done before.
    """

    def __init__(self, folder: Path, count: int, first: int):
        self.folder, self.begin, self.end = folder, first + WARM_UP + 1, first + WARM_UP + count
        self.running = False

    def __enter__(self) -> "Profile":
        return self

    def __exit__(self, *_: Any) -> None:
        if self.running:
            jax.profiler.stop_trace()

    @contextmanager
    def update(self, number: int) -> Iterator[None]:
        """What is started inside belongs to update `number`."""
        if self.begin <= number <= self.end and not self.running:
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0  # every call of every Python function would bury the rest
            jax.profiler.start_trace(self.folder, profiler_options=options)
            self.running = True
        with jax.profiler.StepTraceAnnotation("update", step_num=number):
            yield

    def done(self, number: int, result: Any) -> None:
        """Call it with what update `number` returned; the trace ends when the last update has."""
        if self.running and number == self.end:
            jax.block_until_ready(result)
            jax.profiler.stop_trace()
            self.running = False
