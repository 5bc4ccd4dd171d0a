"""Whether the environments of a family work here: one of them is made, stepped and drawn, in a process of its own.

Such packages crash in ways that no `try` catches: a driver that is missing ends the process, a display is waited for.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from generalist.envs.table import TASKS
from generalist.envs.task import MissingExtra, Task

PATIENCE = 120.0
"""Seconds until an environment counts as hanging."""
STEPS = 3
MARK = "generalist-health "
"""Before the line that counts: packages print too."""
CHILD = "import sys; from generalist.envs.health import report; report(sys.argv[1])"


@dataclass(frozen=True, kw_only=True)
class Health:
    """What was found of a family.

    Args:
        task: what was tried.
        works: it could be made, reset, stepped and closed.
        drawn: it gave a picture; None where that was not come to.
        extra: the extra that is to be installed first, "" if it is.
        said: what went wrong.
    """

    family: str
    task: str
    works: bool = False
    drawn: bool | None = None
    extra: str = ""
    said: str = ""
    seconds: float = 0.0


def families() -> tuple[str, ...]:
    """All families of the task table, in its order."""
    return tuple(dict.fromkeys(task.family for task in TASKS))


def examined(names: Iterable[str] = (), *, patience: float = PATIENCE) -> Iterator[Health]:
    """What is found of each family, in the order given; two are tried at a time."""
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(lambda name: _examined(name, patience), tuple(names) or families())


def _examined(family: str, patience: float) -> Health:
    begun, task = time.monotonic(), first_task(family).id
    try:
        child = subprocess.run(
            [sys.executable, "-c", CHILD, family], capture_output=True, text=True, timeout=patience, check=False
        )
    except subprocess.TimeoutExpired:
        return Health(family=family, task=task, said=f"gave no answer within {patience:g} s", seconds=patience)
    seconds = time.monotonic() - begun
    lines = [line for line in child.stdout.splitlines() if line.startswith(MARK)]
    if lines:
        return Health(**json.loads(lines[-1].removeprefix(MARK)) | {"seconds": seconds})
    how = f"was ended by {_signal(-child.returncode)}" if child.returncode < 0 else f"ended with {child.returncode}"
    last = (child.stderr.strip().splitlines() or [""])[-1]
    return Health(family=family, task=task, said=f"its process {how}: {last}".rstrip(": "), seconds=seconds)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def first_task(family: str) -> Task:
    return next(task for task in TASKS if task.family == family)


def report(family: str) -> None:
    """Try a family in this process, and print what was found."""
    print(f"\n{MARK}{json.dumps(asdict(tried(first_task(family))))}", flush=True)


def tried(task: Task) -> Health:
    """Make, step and close an environment of the task, and draw another."""
    found: dict[str, Any] = {"family": task.family, "task": task.id}
    try:
        with closing(task.make()) as env:
            env.reset(seed=0)
            env.action_space.seed(0)
            for _ in range(STEPS):
                if any(env.step(env.action_space.sample())[2:4]):
                    env.reset()
    except MissingExtra as missing:
        return Health(**found, extra=missing.extra, said=_line(missing))
    except Exception as error:
        return Health(**found, said=_line(error))
    try:
        with closing(task.make(render_mode="rgb_array")) as env:
            env.reset(seed=0)
            picture = env.render()
        drawn = getattr(picture, "ndim", 0) == 3
    except Exception as error:
        return Health(**found, works=True, drawn=False, said=_line(error))
    return Health(**found, works=True, drawn=drawn)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
