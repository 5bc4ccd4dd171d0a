"""report.html: whole, self-contained and true to report.json."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from generalist.eval.baselines.constant import RandomPolicy
from generalist.eval.report import page
from generalist.eval.report.curves import summarize
from generalist.eval.report.page import Axis, duration, interval, loss_charts, number, render_page, verdict, write_page
from generalist.eval.report.record import to_json
from generalist.play.films import Film, film

VOID = {"meta", "link", "img", "br", "source", "wbr", "path", "polyline", "circle", "rect"}


class Checker(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.tags, self.addresses, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset") and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def checked(html):
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    return checker


@pytest.fixture(scope="module")
def payload(report, metrics):
    return to_json(replace(report, training=summarize(metrics)))


def test_the_page_of_many_tasks_draws_how_many_reach_a_score(report):
    few = replace(report, tasks=report.tasks[:9])
    assert "How many tasks reach a score" in checked(render_page(to_json(report))).text
    assert "How many tasks reach a score" not in checked(render_page(to_json(few))).text


def test_the_page_is_well_formed_and_needs_no_network(payload, corridor):
    films = [film(corridor, RandomPolicy(), 5), Film(task_id="Taxi-v4", reason="no film: <OpenGL>")]
    html = render_page(payload, films)
    checker = checked(html)
    assert all(address.startswith("data:") for address in checker.addresses)
    assert not re.search(r"https?://|@import|url\(", html)
    assert "no film: &lt;OpenGL&gt;" in html
    assert html.count("data:image/webp") == 2
    assert "prefers-color-scheme" in html
    assert 'name="viewport"' in html


def test_every_task_and_number_is_on_the_page(payload):
    text = " ".join("".join(checked(render_page(payload)).text).split())
    for task in payload["tasks"]:
        assert task["id"].rpartition("/")[2] in text
        assert number(task["agent"]["mean"]) in text
        assert f"{number(task['normalized'])} {interval(task['normalized_ci95'])}" in text
    assert f"{number(payload['overall']['mean'])}95% interval {interval(payload['overall']['mean_ci95'])}" in text
    assert '"learning_rate": 0.003' in text


def test_the_verdict_is_the_comparison_with_the_best_plain_baseline(payload):
    found = verdict(payload, page.BASELINES)
    means = {name: payload["baselines"][name]["overall"]["mean"] for name in page.BASELINES}
    assert found["mean"] == max(means.values()) == means[found["policy"]]
    assert found["difference"] == pytest.approx(payload["overall"]["mean"] - found["mean"])
    assert found["ahead"] + found["level"] + found["behind"] == 18


def test_specialists_and_their_cost_are_shown_where_they_were_measured(report, payload):
    plain = render_page(payload)
    assert "GRU" not in plain
    assert 'id="fitted"' not in plain
    cost = {"fitted_on": 900, "fitted_on_episodes": 57, "parameters": 67_586, "fit_seconds": 4.0}
    tasks = tuple(
        replace(task, policies={**task.policies, "gru": replace(task.policies["linear"], details=cost)})
        for task in report.tasks
    )
    html = render_page(shown := to_json(replace(report, tasks=tasks)))
    text = " ".join("".join(checked(html).text).split())
    assert f"GRU of one task {number(shown['baselines']['linear']['overall']['mean'])}" in text
    assert "the better specialist (GRU of one task)" in text
    assert html.count("fit 4.0 s") == 18
    assert page.fitted_rows(shown) == [
        {"name": "GRU of one task", "tasks": 18}
        | {"fitted_on_episodes": 18 * 57, "fitted_on": 18 * 900, "parameters": 18 * 67_586, "fit_seconds": 72.0}
    ]
    assert "GRU of one task181,02616,2001,216,5481 min 12 s" in text
    assert html.count('class="mark gru') == 18 + len(shown["families"])
    assert "MLP of one task" not in html


def test_a_worse_agent_is_called_worse(report):
    tasks = tuple(
        replace(task, policies={**task.policies, "agent": task.policies["constant"], "linear": task.policies["expert"]})
        for task in report.tasks
    )
    html = render_page(to_json(replace(report, tasks=tasks)))
    assert re.search(r'class="worse">0\.\d\d below</span>', html)
    assert 'class="better">' not in html


def test_a_task_alone_without_expert_films_or_curves(report):
    task = report.tasks[0]
    alone = replace(task, policies={name: task.policies[name] for name in ("random", "agent")})
    html = render_page(to_json(replace(report, tasks=(alone,), training={}, configuration={}, timings={}, versions={})))
    checked(html)
    assert "no normalised score: the task has no expert mean" in html
    assert "No task has a normalised score" in html
    assert 'class="big"' not in html
    assert "Training loss" not in html
    assert "Rollouts" not in html


def test_films_that_are_too_large_become_stills(payload, monkeypatch):
    films = [
        Film(task_id=task["id"], animation=bytes([i]) * 1000 * (i + 1), still=b"still", width=8, height=8, frames=2)
        for i, task in enumerate(payload["tasks"])
    ]
    monkeypatch.setattr(page, "FILM_BYTES", 100_000)
    shown = page._films(payload, films)
    assert [one["id"] for one in shown] == [task["id"] for task in payload["tasks"]]
    assert [one["only_still"] for one in shown] == [i >= 13 for i in range(18)]


def test_the_axis_holds_zero_one_and_the_agent(payload):
    axis = Axis.around(payload)
    assert 0 <= axis.at(0) < axis.at(0.5) < axis.at(1) <= 100
    assert not any(axis.outside(end) for task in payload["tasks"] for end in task["normalized_ci95"])
    assert (axis.at(-50), axis.outside(-50)) == (0, True)


def test_loss_charts_stay_in_their_box(metrics):
    found = loss_charts(summarize(metrics))
    assert len(found["sources"]) == 18
    for line in (found["total"], *(source["line"] for source in found["sources"])):
        points = [tuple(map(float, pair.split(","))) for pair in line.split()]
        assert len(points) == 120
        assert all(0 <= x <= 100 and 0 <= y <= 100 for x, y in points)
    assert found["final"] == summarize(metrics)["loss"][-1]
    assert loss_charts({}) is None
    assert loss_charts(summarize([{"step": 1, "loss": 0.0}])) is None


def with_held_out(metrics):
    """Every fortieth line is measured on what is held out; of the first source nothing is, the second has bins."""

    def measured(line):
        sources = {id: {"loss": 2 * one["loss"], "accuracy": 0.71} for id, one in line["sources"].items()}
        first, second, *_ = sources
        sources[second]["error_in_bins"] = 3.21
        return {"loss": 2 * line["loss"], "accuracy": 0.71, "sources": {k: v for k, v in sources.items() if k != first}}

    return [line | {"held_out": measured(line)} if at % 40 == 0 else line for at, line in enumerate(metrics)]


def test_loss_charts_show_what_is_held_out_beside_the_training(report, metrics):
    lines = with_held_out(metrics)
    found = loss_charts(summarize(lines))
    first, second, *others = found["sources"]
    assert first["held_out"] is None
    for line in (found["held_out"], *(source["held_out"]["line"] for source in (second, *others))):
        points = [tuple(map(float, pair.split(","))) for pair in line.split()]
        assert len(points) == 10
        assert all(0 <= x <= 100 and 0 <= y <= 100 for x, y in points)
    html = render_page(to_json(replace(report, training=summarize(lines))))
    text = " ".join("".join(checked(html).text).split())
    assert html.count('<polyline class="held"') == 18
    assert "held out: episodes and documents that were never trained on" in text
    assert [text.count(said) for said in ("nothing held out", ", 3.2 bins off")] == [1, 1]
    assert len(re.findall(r"held out [0-9.]+, 71% right", text)) == 16
    assert f"held out {number(found['final_held_out'], 3)}" in text


def test_one_evaluation_is_a_dot(metrics):
    found = loss_charts(summarize(with_held_out(metrics[:5])))
    one, other = found["held_out"].split()
    assert one == other


def test_a_page_of_a_run_without_held_out_does_not_speak_of_it(payload):
    assert "held out" not in render_page(payload).replace("polyline.held", "")
    assert loss_charts({k: v for k, v in payload["training"].items() if k != "held_out"})["held_out"] == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.456, "0.46"), (-0.001, "0.00"), (-12.345, "−12.35"), (99.999, "100.0"), (2055.8, "2,056"), (None, "–")],  # noqa: RUF001
)
def test_numbers_for_people(value, text):
    assert number(value) == text


def test_intervals_share_their_decimals():
    assert interval([999.9999, 1000]) == "[1,000, 1,000]"
    assert interval([0.1, 0.25]) == "[0.10, 0.25]"
    assert interval(None) == ""


def test_durations_for_people():
    said = [duration(seconds) for seconds in (0.44, 12.2, 59.7, 61, 3600, 7500.0)]
    assert said == ["0.4 s", "12 s", "1 min 00 s", "1 min 01 s", "1 h 00 min", "2 h 05 min"]
    assert duration("unknown") == "unknown"


def test_the_file_is_written_and_not_too_large(payload, tmp_path):
    write_page(tmp_path / "report.html", payload)
    assert 50_000 < (tmp_path / "report.html").stat().st_size < 1_000_000
