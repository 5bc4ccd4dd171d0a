"""Exact means per interval and source, the stop at the first NaN, and an interval that is stored half-way."""

import json
import time

import numpy as np
import pytest

from generalist.train.interval import Interval
from generalist.train.metrics import TIMINGS, DivergedError


def update(objective=1.0, norm=2.0, loss=(6.0, 0.0), targets=(3, 0), correct=(2, 0), tokens=(10, 0)) -> dict:
    return {
        "objective": np.float32(objective),
        "gradient_norm": np.float32(norm),
        "weight": np.float32(sum(targets)),
        "tokens": np.float32(sum(tokens)),
        "loss": np.float32(loss),
        "targets": np.float32(targets),
        "correct": np.float32(correct),
        "source_tokens": np.float32(tokens),
    }


def interval_of(*updates: dict, first: int = 1) -> Interval:
    made = Interval()
    for step, metrics in enumerate(updates, first):
        made.add(step, metrics)
    return made


def test_means_are_weighted_by_targets():
    second = update(3.0, 4.0, loss=(2.0, 8.0), targets=(1, 4), correct=(0, 1), tokens=(5, 5))
    line = interval_of(update(), second).line(8, ["one", "two"], 20)
    assert line["step"] == 8
    assert line["loss"] == pytest.approx(16 / 8)
    assert line["objective"] == pytest.approx(2.0)
    assert line["gradient_norm"] == pytest.approx(3.0)
    assert line["accuracy"] == pytest.approx(3 / 8)
    assert (line["tokens"], line["targets"]) == (20, 8)
    assert line["padding"] == pytest.approx(0.5)
    assert line["sources"]["one"] == {"loss": 2.0, "accuracy": 0.5, "targets": 4, "tokens": 15}
    assert line["sources"]["two"] == {"loss": 2.0, "accuracy": 0.25, "targets": 4, "tokens": 5}
    json.dumps(line, allow_nan=False)


def test_a_source_without_tokens_is_left_out():
    assert list(interval_of(update()).line(1, ["one", "two"], 20)["sources"]) == ["one"]


@pytest.mark.parametrize("broken", [{"objective": np.nan}, {"norm": np.inf}])
def test_what_is_not_finite_stops_with_its_step(broken):
    with pytest.raises(DivergedError, match="step 12: loss"):
        interval_of(update(), update(**broken), update(np.nan), first=11)


@pytest.mark.parametrize("cut", [0, 1, 5, 9])
def test_an_interval_stored_half_way_ends_in_the_same_line(cut):
    """To the last bit: the sums are of thirds, in which their order and every rounding shows."""
    updates = [update(i / 3, 1 / (i + 1), loss=(i / 7, i / 9)) for i in range(9)]
    whole = interval_of(*updates).line(9, ["one", "two"], 20)
    stored = json.loads(json.dumps(interval_of(*updates[:cut]).to_json()))
    resumed = Interval(stored)
    for step, metrics in enumerate(updates[cut:], cut + 1):
        resumed.add(step, metrics)
    found = resumed.line(9, ["one", "two"], 20)
    assert {k: v for k, v in found.items() if k not in TIMINGS} == {k: v for k, v in whole.items() if k not in TIMINGS}


def test_time_before_the_stop_counts():
    stored = interval_of(update()).to_json() | {"seconds": 1000.0, "waited": 500.0}
    resumed = Interval(stored)
    with resumed.waiting():
        time.sleep(0.02)
    line = resumed.line(1, ["one", "two"], 20)
    assert 1000.02 < line["seconds"] < 1100
    assert line["tokens_per_second"] == pytest.approx(10 / line["seconds"])
    assert line["input_wait"] * line["seconds"] > 500.02
