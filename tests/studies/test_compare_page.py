"""compare.html: whole, self-contained and true to compare.json."""

import numpy as np
import pytest
from page_words import Words

from generalist.eval.report.statistics import expert_scale
from generalist.studies.compare_page import Axis, p_words, render_page, signed
from generalist.studies.comparison import TaskScores, compare_scores, headline

MINUS = "\N{MINUS SIGN}"


def made_up(gaps: dict[str, float], *, random: float | None = 0.0, **options) -> dict:
    """A payload: tasks by name, each with how much better the second side is."""
    rng = np.random.default_rng(0)
    tasks = []
    for number, (id, gap) in enumerate(gaps.items()):
        first = rng.normal(0.5, 0.1, (1, 30))
        second = first + gap + 0.05 * rng.normal(size=(1, 30))
        scale = expert_scale(random=random, expert=1.0)
        family = f"family_{number % 2}"
        tasks.append(
            TaskScores(
                id=id,
                family=family,
                score="return",
                binary=False,
                first=first,
                second=second,
                scale=scale,
                seeds=tuple(range(30)),
            )
        )
    found = compare_scores(tasks, **options)
    one = {"first": "runs/a", "second": "runs/b", **found, "left_out": [], "notices": []}
    one["headline"] = headline(found, "runs/a", "runs/b")
    run = {"step": 40, "training_seed": 0}
    return {
        "created": "2026-01-01T00:00:00+00:00",
        "sides": [{"name": name, "runs": [{"run": name, **run}]} for name in ("runs/a", "runs/b")],
        "comparisons": [one],
        "notices": [],
        "failed": [],
        "versions": {"numpy": "2"},
        "difference_to_find": 0.05,
    }


GAPS = {"middle": 0.02, "worst": -0.3, "best": 0.4}


def test_the_page_is_whole_and_needs_nothing_from_elsewhere():
    html = render_page(made_up(GAPS))
    words = Words(html)
    assert words.open == []
    assert "http" not in html.replace("http-equiv", "")
    assert "prefers-color-scheme:dark" in html
    assert "max-width:560px" in html


def test_rows_go_from_the_best_difference_to_the_worst_with_the_overall_on_top():
    text = Words(render_page(made_up(GAPS))).text
    plot = text[text.index("Differences in normalised score") : text.index("Numbers")]
    places = [plot.index(name) for name in ("All tasks", "family 0", "family 1", "best", "middle", "worst")]
    assert places[0] < min(places[1:3])
    assert max(places[1:3]) < places[3]
    assert places[3:] == sorted(places[3:])


def test_every_verdict_and_number_of_the_payload_stands_there():
    payload = made_up(GAPS)
    (one,) = payload["comparisons"]
    text = Words(render_page(payload)).text
    for task in one["tasks"]:
        assert task["words"] in text
        assert signed(task["normalized_difference"]) in text
    assert one["headline"] in text
    assert signed(one["overall"]["difference"]) in text


def test_what_was_left_out_failed_or_must_be_known_is_said():
    payload = made_up(GAPS)
    payload["failed"] = [{"task": "broken", "part": "runs/b", "error": "no <OpenGL>"}]
    payload["notices"] = ["runs/a was evaluated with gymnasium 1.2 (here 1.4): it is played again"]
    payload["comparisons"][0]["left_out"] = [{"task": "alone", "reason": "only runs/a knows it"}]
    html = render_page(payload)
    text = Words(html).text
    for said in ("1 task could not be played", "no <OpenGL>", "gymnasium 1.2", "alone (only runs/a knows it)"):
        assert said in text
    assert "<OpenGL>" not in html


def test_tasks_without_a_normalised_score_have_a_table_alone():
    text = Words(render_page(made_up({"raw": 0.3}, random=None))).text
    assert "No task has a normalised score" in text
    assert "All tasks" not in text
    assert "better by 0.3" in text


def test_a_single_side_of_several_is_named_by_a_heading():
    payload = made_up(GAPS)
    payload["comparisons"] = [payload["comparisons"][0], {**payload["comparisons"][0], "second": "runs/c"}]
    assert "<h2>runs/c</h2>" in render_page(payload)


@pytest.mark.parametrize("end", [0.021, 0.3, 1.9])
def test_the_axis_has_zero_in_its_middle_and_holds_what_lies_outside_at_its_edge(end):
    axis = Axis(end)
    assert axis.at(0) == 50
    assert axis.at(end) == 100
    assert axis.at(-3 * end) == 0
    assert 3 <= len(axis.ticks) <= 5
    assert [at for _, at in axis.labels] == sorted(at for _, at in axis.labels)
    assert axis.mark(2 * end, [end / 2, 3 * end])["outside"] is True


def test_numbers_for_people():
    assert signed(0.0123) == "+0.012"
    assert signed(-0.0123) == f"{MINUS}0.012"
    assert signed(0.0) == "0.000"
    assert signed(0.0001) == "0.000"
    assert signed(-12.345) == f"{MINUS}12.35"
    assert (p_words(0.0004), p_words(0.25)) == ("< 0.001", "0.250")
