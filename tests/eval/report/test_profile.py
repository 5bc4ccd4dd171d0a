"""The curve of how many tasks reach a score."""

from itertools import pairwise

import pytest

from generalist.eval.report.profile import FEWEST, profile


def payload(scores, **more):
    tasks = [{"undefined": None, "agent": {"normalized": score}, **more} for score in scores]
    return {"tasks": [*tasks, {"undefined": "no expert", "agent": {"normalized": None}}]}


def points(line: str) -> list[tuple[float, float]]:
    return [tuple(float(value) for value in point.split(",")) for point in line.split()]


def test_a_curve_falls_by_a_task_at_every_score():
    found = profile(payload([0.6] * 5 + [-0.3] + [2.0] * 4), ("random", "agent"))
    assert list(found["lines"]) == ["agent"]
    assert found["tasks"] == 10
    curve = points(found["lines"]["agent"])
    assert curve[0] == (0, 0)
    assert (0, 10) in curve, "nine in ten reach more than 0"
    assert [curve[-2], curve[-1]] == [(50, 60), (100, 60)], "half are left at 0.6 of 1.2, four at its end"
    assert all(x <= y for (x, _), (y, _) in pairwise(curve))


@pytest.mark.parametrize(("count", "drawn"), [(FEWEST - 1, False), (FEWEST, True)])
def test_few_tasks_have_no_curve(count, drawn):
    assert (profile(payload([0.5] * count), ("agent",)) is not None) is drawn
