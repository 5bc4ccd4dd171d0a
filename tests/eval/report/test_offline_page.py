"""The section "Measured offline" of report.html, and its numbers in the units of the data."""

import pytest
from page_words import Words

from generalist.eval.report.offline_page import offline_section, significant, significant_interval, verdict
from generalist.eval.report.page import render_page
from generalist.eval.report.record import Report, to_json


def found(value: float, low: float | None = None, high: float | None = None) -> dict:
    return {"value": value, "ci95": None if low is None else [low, high]}


POLICIES = {
    "agent": found(0.2, 0.15, 0.25),
    "constant": found(1.0, 0.9, 1.1),
    "linear": found(0.5, 0.45, 0.55),
    "nearest_neighbour": found(0.4, 0.3, 0.5),
}
ENTRY = {
    "id": "robot/arm",
    "why": "no environment plays it",
    "episodes": 3,
    "steps": 90,
    "held_out": True,
    "dimensions": [{"name": "action[0]", "kind": "error", "spread": 1e6, "policies": POLICIES}],
    "relative": POLICIES,
    "measured_in_training": {"loss": 0.125},
}


def page(*entries: dict) -> str:
    report = Report(name="run", created="now", tasks=(), offline=entries)
    return Words(render_page(to_json(report))).text


def test_the_page_shows_every_task_and_dimension():
    said = page(ENTRY, {**ENTRY, "id": "robot/<b>arm", "held_out": False, "episodes": 1})
    for text in ("Measured offline", "3 held-out episodes, 90 steps", "0.200", "[0.150, 0.250]", "better", "1.00e6"):
        assert text in said, text
    assert "robot/<b>arm: nothing was held out of training" in said
    assert "one episode has no interval" in said
    assert "Scores by family" not in said
    assert "Measured offline" not in page()


def test_actions_that_are_text_have_no_errors():
    said = page({**ENTRY, "dimensions": [], "relative": {}, "measured_in_training": None})
    assert "no errors in numbers" in said


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (found(0.2, 0.1, 0.29), "better"),
        (found(0.4, 0.2, 0.6), "level"),
        (found(0.9, 0.6, 1.0), "worse"),
        (found(0.2), None),
    ],
)
def test_a_verdict_needs_intervals_that_do_not_touch(agent, expected):
    assert verdict(POLICIES | {"agent": agent}) == expected


def test_very_many_dimensions_are_cut_and_it_is_said():
    many = {**ENTRY, "dimensions": ENTRY["dimensions"] * 2000}
    [section] = offline_section({"offline": [many]})
    assert len(section["dimensions"]) + section["left_out"] == 2000
    assert "1800 more dimensions are in report.json" in page(many)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (0.123456, "0.123"),
        (1.23e-6, "1.23e\N{MINUS SIGN}6"),
        (-2.5, "\N{MINUS SIGN}2.50"),
        (412.7, "413"),
        (1.5e6, "1.50e6"),
        (None, ""),
    ],
)
def test_numbers_have_three_digits_whatever_their_unit(value, expected):
    assert significant(value) == expected


def test_an_interval_may_be_missing():
    assert significant_interval([0.5, 20]) == "[0.500, 20.0]"
    assert significant_interval(None) == ""
