import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from generalist.envs.workers import Job, JobFailed, run_jobs, run_jobs_here

FUNCTIONS = """
import os, signal, time

def double(number, report):
    print("what environments print must not disturb")
    report(1, number)
    report(1, number)
    return 2 * number, os.getpid()

def fail(number, report):
    raise KeyError("nothing under", number)

def die(number, report):
    print("last words", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)

def only_there(number, report):
    class Odd:
        pass
    Odd.__qualname__ = "Odd"
    globals()["Odd"] = Odd
    return Odd()

def wait(folder, report):
    open(f"{folder}/{os.getpid()}", "w").close()
    time.sleep(120)
"""


@pytest.fixture
def functions(tmp_path, monkeypatch):
    """A module that the workers import, because they get this process's `sys.path`."""
    name = f"functions_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return __import__(name)


def ignore(*arguments):
    pass


def test_all_jobs_run_once_in_other_processes_and_report(functions):
    reports, results = [], {}
    jobs = [Job(number // 2, functions.double, number) for number in range(6)]
    run_jobs(
        jobs,
        2,
        lambda job, amounts: reports.append(amounts),
        lambda job, result: results.update({job.argument: result}),
    )
    assert {number: doubled for number, (doubled, _) in results.items()} == {n: 2 * n for n in range(6)}
    assert os.getpid() not in {pid for _, pid in results.values()}
    assert sum(count for count, _ in reports) == 12
    assert sum(total for _, total in reports) == 2 * sum(range(6))


def test_a_workers_exception_and_its_death_are_one_clear_error(functions):
    with pytest.raises(JobFailed, match=r"KeyError: .*nothing under") as failure:
        run_jobs([Job("g", functions.fail, 7)], 1, ignore, ignore)
    assert failure.value.job.argument == 7
    assert "Traceback" in failure.value.detail
    with pytest.raises(JobFailed, match=r"its worker process died \(signal SIGSEGV") as failure:
        run_jobs([Job("g", functions.die, 7)], 1, ignore, ignore)
    assert "last words" in failure.value.detail


def test_what_one_side_cannot_read_is_that_jobs_failure_alone(functions):
    """The first job cannot be read by the worker, the second's result not by this process."""
    functions.Gone = type("Gone", (), {"__module__": functions.__name__, "__qualname__": "Gone"})
    failures, results = [], []
    jobs = [
        Job("a", functions.double, functions.Gone()),
        Job("b", functions.only_there, 0),
        Job("c", functions.double, 4),
    ]
    run_jobs(jobs, 1, ignore, lambda job, result: results.append(result[0]), failures.append)
    assert [(failure.job.group, failure.cause) for failure in failures] == [
        ("a", "AttributeError"),
        ("b", "AttributeError"),
    ]
    assert results == [8]


@pytest.mark.parametrize("trouble", ["fail", "die"])
def test_a_failed_group_is_given_up_and_the_others_go_on(functions, trouble):
    bad = [Job("bad", getattr(functions, trouble), 7), Job("bad", functions.double, 1)]
    good = [Job("good", functions.double, number) for number in range(3)]
    failures, results = [], []
    run_jobs([*bad, *good], 1, ignore, lambda job, result: results.append(job), failures.append)
    assert [failure.job for failure in failures] == bad[:1]
    assert results == good
    if trouble == "fail":
        failures.clear(), results.clear()
        run_jobs_here([*bad, *good], ignore, lambda job, result: results.append(job), failures.append)
        assert [failure.job for failure in failures] == bad[:1]
        assert results == good


def test_workers_end_when_their_parent_is_killed(functions, tmp_path):
    pids = tmp_path / "pids"
    pids.mkdir()
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import {functions.__name__} as functions
from generalist.envs.workers import Job, run_jobs
run_jobs([Job(i, functions.wait, {str(pids)!r}) for i in range(2)], 2, None, None)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        _until(lambda: len(list(pids.iterdir())) == 2)
        parent.kill()
    _until(lambda: not any(_alive(path) for path in pids.iterdir()))


def test_jobs_in_this_process_behave_the_same(functions):
    reports, results = [], []
    run_jobs_here(
        [Job("g", functions.double, 3)], lambda job, amounts: reports.append(amounts), lambda *r: results.append(r)
    )
    assert reports == [(1, 3), (1, 3)]
    assert results[0][1] == (6, os.getpid())
    with pytest.raises(JobFailed, match="KeyError"):
        run_jobs_here([Job("g", functions.fail, 7)], ignore, ignore)


def _alive(path: Path) -> bool:
    try:
        return " Z " not in Path(f"/proc/{path.name}/stat").read_text()
    except OSError:
        return False


def _until(condition, seconds=40):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)
