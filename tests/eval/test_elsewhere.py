"""Parts that are measured elsewhere are on disk when whoever waits for them goes on."""

import errno
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from generalist.envs.table import find_task
from generalist.eval.config import EvaluationConfig
from generalist.eval.elsewhere import elsewhere
from generalist.eval.parts import Parts
from generalist.eval.report.record import PolicyRecord, TaskRecord

TASK = find_task("CartPole-v1")
RECORD = TaskRecord.of(TASK, [1], {"agent": PolicyRecord(returns=(9.0,), successes=None, lengths=(9,), seconds=1.0)})


class Slow(Parts):
    """Of a disk that takes its time, and may be full in the end."""

    full = False

    def save(self, task, part, record):
        time.sleep(0.3)
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().save(task, part, record)


def waited(parts: Parts):
    seen: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        submit = lambda task: pool.submit(time.sleep, 0.1)  # noqa: E731
        found = elsewhere("agent", [TASK], submit, lambda task, _: RECORD, parts, seen.append)
        given = found[TASK.id]()
        return given, parts.load(TASK, "agent"), [*seen]  # before the pool has ended


def test_a_part_is_saved_before_it_is_given(tmp_path):
    parts = Slow(tmp_path, EvaluationConfig(), 4, tmp_path / "data")
    assert waited(parts) == (RECORD, RECORD, [TASK.id])


def test_a_full_disk_is_told_to_whoever_waits(tmp_path):
    parts = Slow(tmp_path, EvaluationConfig(), 4, tmp_path / "data")
    parts.full = True
    with pytest.raises(OSError, match="No space left"):
        waited(parts)
