"""Axes and charts: positions in a box of 100 x 100."""

import pytest

from generalist.studies.plots import Axis, Plot


def test_marks_of_an_axis_stand_apart_and_the_last_is_kept():
    texts = [text for text, _ in Axis([1, 100], log=True, marks=[1, 5, 10, 25, 50, 90, 100, 1000]).ticks("{:g}".format)]
    assert texts == ["1", "5", "10", "25", "50", "100"]
    assert Axis([7], log=True, marks=[7]).ticks("{:g}".format) == [("7", 50.0)]


@pytest.mark.parametrize("log", [True, False])
def test_an_axis_has_round_values_without_marks(log):
    ticks = Axis([1, 40], log=log).ticks("{:g}".format)
    assert 3 <= len(ticks) <= 6
    assert [at for _, at in ticks] == sorted(at for _, at in ticks)
    assert all(0 <= at <= 100 for _, at in ticks)


def test_what_is_high_stands_near_the_top():
    x, y = Axis([0, 10], log=False, margin=0.5), Axis([0, 1], log=False, margin=0.5)
    plot = Plot("title", ("x", x), ("y", y))
    plot.line([0, 10], [0.5, 1], "one")
    plot.band([0, 10], [0, 0.5], [0.5, 1], "one")
    plot.shape(5, 1, "one", "said")
    plot.level(0)
    assert plot.lines == [{"points": "25.00,50.00 75.00,25.00", "kind": "one"}]
    assert plot.bands == [{"points": "25.00,50.00 75.00,25.00 75.00,50.00 25.00,75.00", "kind": "one"}]
    assert plot.shapes == [{"x": 50.0, "y": 25.0, "kind": "one", "text": "said"}]
    assert plot.levels == [{"at": 75.0, "text": ""}]
    assert ("0", 75.0) in plot.y_ticks
