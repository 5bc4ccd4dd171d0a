"""Families are tried in processes of their own: what breaks, crashes or hangs there is said, and harms nothing."""

import time
from dataclasses import replace

import pytest

from generalist.envs import health
from generalist.envs.health import examined, families, tried
from generalist.envs.table import TASKS, find_task

DAMAGED = {
    "missing": ("raise ModuleNotFoundError('no grid', name='minigrid')", "babyai", "no grid"),
    "broken": ("raise RuntimeError('an old driver')", "", "an old driver"),
    "crashing": ("import os; os.abort()", "", "SIGABRT"),
    "leaving": ("import os; os._exit(7)", "", "ended with 7"),
}


def test_every_family_of_the_table_is_tried():
    assert set(families()) == {task.family for task in TASKS}


def test_what_works_says_so():
    [found] = examined(["classic_control"])

    assert (found.works, found.drawn, found.extra, found.said) == (True, True, "", "")
    assert found.task == "CartPole-v1"
    assert found.seconds > 0


@pytest.mark.parametrize(("code", "extra", "said"), DAMAGED.values(), ids=DAMAGED.keys())
def test_what_a_package_does_at_its_import_is_said(tmp_path, monkeypatch, code, extra, said):
    """A module of that name that is found first, in a child that is told where to look."""
    (tmp_path / "minigrid").mkdir()
    (tmp_path / "minigrid" / "__init__.py").write_text(code)
    monkeypatch.setattr(health, "CHILD", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {health.CHILD}")

    [found] = examined(["minigrid"])

    assert not found.works
    assert found.extra == extra
    assert said in found.said


def test_what_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(health, "CHILD", "import time; time.sleep(600)")
    begun = time.monotonic()

    [found] = examined(["toy_text"], patience=1.0)

    assert "no answer within 1 s" in found.said
    assert time.monotonic() - begun < 60


def test_what_a_package_prints_is_no_answer(monkeypatch):
    monkeypatch.setattr(health, "CHILD", "print('hello'); print('generalist'); raise SystemExit(0)")

    [found] = examined(["toy_text"])

    assert not found.works
    assert "ended with 0" in found.said


def test_a_family_that_plays_and_cannot_be_drawn(monkeypatch):
    task = find_task("CartPole-v1")

    def make(render_mode=None):
        if render_mode:
            raise OSError("no display")
        return task.make()

    found = tried(replace(task, make=make))

    assert (found.works, found.drawn, found.said) == (True, False, "no display")
