"""Curves keep the means of what was logged."""

import numpy as np
import pytest

from generalist.eval.report.curves import summarize


def test_points_are_means_of_consecutive_lines(metrics):
    found = summarize(metrics, points=40)
    assert len(found["steps"]) == len(found["loss"]) == 40
    assert found["steps"][-1] == metrics[-1]["step"]
    assert found["loss"][0] == pytest.approx(np.mean([line["loss"] for line in metrics[:10]]))
    one = found["sources"]["Taxi-v4"]
    assert one["accuracy"][-1] == pytest.approx(np.mean([m["sources"]["Taxi-v4"]["accuracy"] for m in metrics[-10:]]))
    assert one["tokens"] == 300 * len(metrics)


def test_a_source_may_be_missing_from_lines():
    lines = [
        {"step": 1, "loss": 2.0, "sources": {"a": {"loss": 2.0, "accuracy": 0.5, "tokens": 3}}},
        {"step": 2, "loss": float("nan"), "sources": {}},
    ]
    found = summarize(lines)
    assert found["loss"] == [2.0, None]
    assert found["sources"]["a"] == {"loss": [2.0, None], "accuracy": [0.5, None], "tokens": 3}
    assert found["tokens_per_second"] == [None, None]
    assert found["held_out"] == {}
    assert summarize([]) == {}


def test_what_is_held_out_has_curves_of_its_own():
    """At the steps where it was measured; a source may be missing there, and without continuous actions has no bins."""
    measured = {"loss": 3.0, "accuracy": 0.25, "targets": 9}
    lines = [{"step": step, "loss": 2.0, "sources": {}} for step in (1, 2, 3, 4)]
    lines[1]["held_out"] = {"loss": 4.0, "accuracy": 0.5, "sources": {"a": measured | {"error_in_bins": 1.5}}}
    lines[3]["held_out"] = {"loss": 2.0, "accuracy": 0.5, "sources": {"b": measured}}
    found = summarize(lines)["held_out"]
    assert (found["steps"], found["loss"]) == ([2, 4], [4.0, 2.0])
    assert found["sources"]["a"] == {"loss": [3.0, None], "accuracy": [0.25, None], "error_in_bins": [1.5, None]}
    assert found["sources"]["b"]["error_in_bins"] == [None, None]
    assert summarize(lines, points=1)["held_out"]["loss"] == [3.0]
