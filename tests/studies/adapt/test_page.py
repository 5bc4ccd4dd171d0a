"""adapt.html: whole, self-contained and true to adapt.json."""

import re

import cattrs
import numpy as np
import pytest
from page_words import Words

from generalist.eval.report.page import interval, number
from generalist.eval.report.record import plain
from generalist.studies.adapt.page import ML45_TEST, listed, needed_text, render_page, verdict, write_page
from generalist.studies.adapt.settings import KEPT, SCRATCH, Settings
from generalist.studies.adapt.summary import summarise
from generalist.studies.compare_page import signed, signed_interval

HALF = {
    "full": 6,
    "lora": 9,
    "head": 35,
    "embedding": 50,
    SCRATCH: 20,
    "linear": 40,
    "nearest_neighbour": 14,
    "mlp": 25,
    "gru": 30,
}
"""Demonstrations with which each way of the made-up study has half of the expert's success."""
TASKS = tuple(sorted(ML45_TEST))
OLD = ("old/a", "old/b", "old/c")


def made_up(tasks=TASKS, *, returns=(), unknown=(), spoiled=(), worst=0.1, lost=True, seed=0, **settings) -> dict:
    """A payload of random episodes.

    Args:
        tasks: ids; those in `returns` are scored by return and tell no success, those in `unknown` have no expert.
        spoiled: tasks on which adapting is worse than from scratch.
        worst: success on the old tasks after adaptation, 0.9 before.
    """
    chosen = Settings(**{"steps": (200, 600), "episodes": 20, "ways": ("full", "lora", KEPT), **settings})
    rng = np.random.default_rng(seed)
    kinds = {task: "return" if task in returns else "success" for task in tasks} | dict.fromkeys(OLD, "success")

    def episodes(task: str, share: float, count: int = chosen.episodes) -> dict:
        successes = rng.random(count) < share
        found = {"returns": 100 * share + rng.normal(0, 5, count), "successes": successes}
        return plain(found | ({"successes": None} if kinds[task] == "return" else {}))

    def played(way: str, count: int) -> dict:
        found = {}
        for at, task in enumerate(tasks):
            half = HALF["full" if way == KEPT else way] * 1.4**at * (30 if task in spoiled and way != SCRATCH else 1)
            found[task] = episodes(task, 0.95 * count / (count + half))
            if way in chosen.plain:
                found[task] |= {"fit_seconds": 0.5 * count, "parameters": 1234}
        return found

    def row(way: str, count: int, draw: int, steps: int | None) -> dict:
        return {"way": way, "number": count, "draw": draw, "steps": steps, "tasks": played(way, count)}

    ends = {task: {"random": episodes(task, 0.02), "expert": episodes(task, 1.0)} for task in tasks}
    for task in unknown:
        del ends[task]["expert"]
    draws = range(chosen.demonstration_seeds)
    cells = [(way, count, 600) for count in chosen.numbers for way in chosen.trained]
    cells += [(name, count, None) for count in chosen.numbers for name in chosen.plain]
    sweep = [
        {"way": way, "number": count, "seed": 0, "steps": steps, "score": steps / 1000 - 0.01, "chosen": steps == 600}
        for way, count, _ in cells
        if way in chosen.trained
        for steps in chosen.steps
    ]
    old = {}
    if lost:
        was = {way: {task: episodes(task, worst, chosen.old_episodes) for task in OLD} for way in chosen.ways}
        old = {
            "number": min(chosen.numbers, key=lambda each: abs(each - chosen.old_number)),
            "before": {task: episodes(task, 0.9, chosen.old_episodes) for task in OLD},
            "after": [{"way": way, "number": 10, "draw": 0, "steps": 600, "tasks": was[way]} for way in chosen.ways],
        }
    described = {
        "name": "ml45",
        "created": "2026-01-01T00:00:00+00:00",
        "foundation": {
            "run": "runs/ml45",
            "step": 4000,
            "tasks": list(OLD),
            "corpora": [],
            "width": 256,
            "layers": 8,
        },
        "settings": plain(cattrs.unstructure(chosen)),
        "scratch": SCRATCH,
        "there": dict.fromkeys(tasks, 160),
        "versions": {"generalist": "0.1.0", "jax": "0.10.2"},
    }
    rows = [row(way, count, draw, steps) for way, count, steps in cells for draw in draws]
    return summarise(described, chosen, kinds, ends, rows, sweep, old)


@pytest.fixture(scope="module")
def study() -> dict:
    return made_up(spoiled=("metaworld/hand-insert-v3",), demonstration_seeds=2)


@pytest.fixture(scope="module")
def html(study) -> str:
    return render_page(study)


@pytest.fixture(scope="module")
def text(html) -> str:
    return Words(html).text


def small(**settings) -> dict:
    """A study that takes no time."""
    return made_up(
        **{"tasks": ("x/one", "x/two"), "demonstration_seeds": 2, "plain": ("linear",), "episodes": 8, **settings}
    )


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(html):
    assert Words(html).open == []
    assert not re.findall(r"https?:|@import|<script|<img|src=|url\(", html)
    assert re.findall(r"<link[^>]*>", html) == ['<link rel="icon" href="data:,">']
    assert "prefers-color-scheme:dark" in html
    assert "max-width:560px" in html


def test_a_page_is_written_whole(tmp_path):
    write_page(tmp_path / "adapt.html", small())
    assert (tmp_path / "adapt.html").read_text().rstrip().endswith("</html>")
    broken = small()
    del broken["sweep"]
    with pytest.raises(KeyError):
        write_page(tmp_path / "other.html", broken)
    assert [path.name for path in tmp_path.iterdir()] == ["adapt.html"]


def test_the_headline_has_ten_demonstrations_of_the_way_named_first(study, text):
    at = study["settings"]["numbers"].index(10)
    points = {way["way"]: way["points"][at] for way in study["ways"]}
    best = max(("linear", "nearest_neighbour", "mlp", "gru"), key=lambda name: points[name]["score"]["value"])
    said = [f"{number(points[way]['score']['value'])} {interval(points[way]['score']['ci95'])}" for way in points]
    full, scratch, plainest = (said[list(points).index(way)] for way in ("full", SCRATCH, best))
    assert f"With 10 demonstrations of each task: adapted, all parameters {full}" in text
    assert f"the same network from scratch {scratch}, the best plain policy" in text
    assert plainest in text
    assert points["full"]["above_plain"]["way"] == best
    difference = points["full"]["above_scratch"]
    start = f"The difference from scratch is {signed(difference['value'])} {signed_interval(difference['ci95'])}: "
    assert text[text.index(start) + len(start) :].startswith(
        {"above": "above", "below": "below", "open": "not told apart"}[verdict(difference)]
    )


def test_every_number_of_the_payload_stands_there(study, text):
    for way in study["ways"]:
        for point in way["points"]:
            for found in (point["score"], point["success"], *point["score"]["tasks"]):
                assert f"{number(found['value'])} {interval(found['ci95'])}" in text
            for rival in ("above_scratch", "above_plain"):
                if found := point[rival]:
                    for each in (found, *found["tasks"]) if way["kind"] == "adapted" else ():
                        assert f"{signed(each['value'])} {signed_interval(each['ci95'])}" in text
        for need in way["needed"]:
            said = needed_text(need, 1)
            assert f"{said['value']} {said['interval']}".strip() in text
    for row in study["sweep"]:
        assert number(row["score"]) in text
    for way in study["lost"]["ways"]:
        points = next(each["points"] for each in study["ways"] if each["way"] == way["way"])
        new = next(point["score"] for point in points if point["number"] == study["lost"]["number"])
        for found in (way["after"], new):
            assert f"{number(found['value'])} {interval(found['ci95'])}" in text
        change = way["difference"]
        assert f"{signed(change['value'])} {signed_interval(change['ci95'])} {verdict(change)}" in text
    for version in study["versions"].values():
        assert version in text


def test_the_difference_from_the_best_plain_policy_is_that_of_the_episodes(study):
    point = next(way for way in study["ways"] if way["way"] == "full")["points"][3]
    best = next(way for way in study["ways"] if way["way"] == point["above_plain"]["way"])["points"][3]
    found = point["score"]["value"] - best["score"]["value"]
    assert point["above_plain"]["value"] == pytest.approx(found)
    low, high = point["above_plain"]["ci95"]
    assert low < found < high
    assert all(
        point["above_plain"] is None for way in study["ways"] if way["kind"] == "plain" for point in way["points"]
    )


def test_where_adapting_is_worse_is_listed_and_nowhere_else(study, text):
    worse = text[text.index("Worse than scratch") : text.index("Worse than the best plain policy")]
    rows = [
        (way["way"], point["number"], task["id"], found)
        for way in study["ways"]
        if way["kind"] == "adapted"
        for point in way["points"]
        for task, found in zip(study["tasks"], point["above_scratch"]["tasks"], strict=True)
    ]
    below = [row for row in rows if row[3]["ci95"][1] < -1e-6]
    assert {"metaworld/hand-insert-v3"} <= {row[2] for row in below}
    for _, count, task, found in below:
        assert f"{task}, adapted" in worse
        assert f"{count} demonstration" in worse
        assert f"{signed(found['value'])} {signed_interval(found['ci95'])}" in worse
    assert worse.count("demonstrations:") + worse.count("demonstration:") == int(worse.split(" of ")[0].split()[-1])
    assert "Never above it, in any way at any number: metaworld/hand-insert-v3." in worse
    assert "None of" not in worse


def test_a_study_without_worse_differences_says_so():
    text = Words(render_page(small(plain=(), numbers=(20, 40)))).text
    assert "None of 18 differences" in text
    assert "best plain policy" not in text


def test_charts_have_a_line_with_its_own_dash_and_shape_for_every_way(study, html):
    main = html[
        html.index('aria-label="Score against demonstrations"') : html.index(
            "</section>", html.index('<div class="tall">')
        )
    ]
    for way in study["ways"]:
        name = way["way"]
        [points] = re.findall(rf'<polyline class="curve {name}" points="([^"]*)"', main)
        assert len(points.split()) == 6
        heights = [float(point.split(",")[1]) for point in points.split()]
        scores = [point["score"]["value"] for point in way["points"]]
        assert np.corrcoef(heights, scores)[0, 1] == pytest.approx(-1, abs=1e-3)
        assert len(re.findall(rf'<polygon class="band {name}"', main)) == 1
        assert len(re.findall(rf'<b class="at {name}" style', main)) == 6
    dashes = re.findall(r"\.curve\.(\w+)\{[^}]*stroke-dasharray:([^}]*)\}", html)
    assert len({dash for _, dash in dashes}) == len(dashes) >= 8
    assert len(set(re.findall(r"<b class=\"at \w+\">\s*<svg[^>]*>(.*?)</svg>", main))) == len(study["ways"])
    assert html.count('class="curve full" points') == 2 + len(study["tasks"])


def test_a_way_whose_best_budget_is_the_largest_might_do_better_with_more(text):
    assert "Adapted, LoRA did best" in text
    assert "Same network from scratch did best with the largest, 600, at 1, 5, 10, 25, 50 and 100" in text
    assert "did best with the largest" not in Words(render_page(small(steps=(600,)))).text


def test_what_was_lost_stands_beside_the_new_tasks(study, text):
    lost = text[text.index("What was lost") : text.index("How it was made")]
    assert "adapted, all parameters, 50% old data" in lost
    assert "Old tasks that lost most" in lost
    assert all(task in lost for task in OLD)
    assert "large returns" not in lost
    study = small(worst=1.0, keep=0.3)
    study["lost"]["scores"][0] = "return"
    text = Words(render_page(study)).text
    assert "30% old data" in text
    assert "in which large returns weigh most" in text


def test_a_study_without_old_tasks_has_no_such_part():
    text = Words(render_page(small(lost=False))).text
    assert "What was lost" not in text
    assert "old tasks" not in text


def test_only_the_five_held_out_tasks_of_ml45_stand_beside_regent(text):
    assert "REGENT fine-tuned 0.63 0.76 0.85 0.86" in text
    assert "The levels cannot be compared" in text
    assert "REGENT" not in Words(render_page(small())).text


def test_a_single_number_has_bars_in_place_of_lines():
    study = small(numbers=(7,))
    html = render_page(study)
    assert "With 7 demonstrations of each task" in Words(html).text
    assert "<polyline" not in html
    assert "Demonstrations needed" not in html
    assert html.count('<div class="bars">') == 3


def test_without_success_there_is_no_rate_of_it():
    html = render_page(small(returns=("x/two",)))
    text = Words(html).text
    assert "No chart of success" in text
    assert "Success rate" not in text
    assert "Scored by return" in text
    assert html.count('class="curve full" points') == 3


def test_a_task_without_an_expert_is_said_to_be_in_its_own_unit():
    text = Words(render_page(small(returns=("x/two",), unknown=("x/two",)))).text
    assert "Not normalised: x/two has no expert" in text
    assert "Normalised score" not in text[: text.index("Task by task")]
    assert "expert \N{EN DASH}" in text
    html = render_page(small(returns=("x/two",), unknown=("x/two",)))
    assert html.count("score, not normalised</p>") == 2
    assert html.count('class="level"') == 3


def test_one_way_and_no_plain_policy():
    text = Words(render_page(small(ways=("embedding",), plain=(), demonstration_seeds=1))).text
    assert "adapted, task embedding" in text
    assert "With one draw they cover the choice of episodes alone" in text


def test_names_from_data_are_escaped():
    study = small(tasks=("x/<b>one</b>", "x/two"))
    study["name"] = "<i>run</i>"
    study["foundation"]["run"] = 'a"><script>alert(1)</script>'
    html = render_page(study)
    assert "<b>one" not in html
    assert "<i>run" not in html
    assert "<script" not in html
    assert "<b>one</b>" in Words(html).text


def test_levels_that_are_not_reached():
    def needed(value, *ends):
        return needed_text({"level": 0.8, "value": value, "ci95": list(ends)}, 5)

    assert needed(None, None, None) == {"value": "not reached", "interval": ""}
    assert needed(12.3, 5, None) == {"value": "12", "interval": "[≤ 5, not reached]"}
    assert needed(7.25, 5.0, 81.6) == {"value": "7.2", "interval": "[≤ 5, 82]"}
    study = small(numbers=(1, 2))
    assert all(way["needed"][1]["value"] is None for way in study["ways"])
    assert "not reached not reached" in Words(render_page(study)).text


def test_words_of_differences_and_lists():
    assert [verdict({"ci95": ends}) for ends in ([0.1, 0.2], [-0.2, -0.1], [-0.1, 0.1], [0.0, 0.0])] == [
        "above",
        "below",
        "open",
        "open",
    ]
    assert verdict({"ci95": [3e-9, 0.4]}) == verdict({"ci95": [-0.4, -3e-9]}) == "open"  # 0, but for rounding
    assert verdict(None) == ""
    assert [listed([1]), listed([1, 5]), listed([1, 5, 10])] == ["1", "1 and 5", "1, 5 and 10"]
