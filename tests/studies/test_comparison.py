"""Numbers, verdicts and the gate of a comparison, from scores that were made up."""

import numpy as np
import pytest

from generalist.eval.report.statistics import expert_scale
from generalist.studies.comparison import TaskScores, compare_scores, gate_words, headline


def task(id: str, first, second, *, binary: bool = False, random: float | None = 0.0, expert: float = 1.0, family="a"):
    first, second = (np.atleast_2d(np.asarray(each, float)) for each in (first, second))
    return TaskScores(
        id=id,
        family=family,
        score="success" if binary else "return",
        binary=binary,
        first=first,
        second=second,
        scale=expert_scale(random=random, expert=expert),
        seeds=tuple(range(first.shape[1])),
    )


MINUS = "\N{MINUS SIGN}"
RNG = np.random.default_rng(0)
EPISODE = RNG.normal(size=40)
LEVEL = task("level", EPISODE, EPISODE + 0.1 * RNG.normal(size=40), random=-5, expert=5)
BETTER = task("better", EPISODE, EPISODE + 1 + 0.1 * RNG.normal(size=40), random=-5, expert=5)
SOLVED = task("solved", np.arange(40) < 20, np.arange(40) < 34, binary=True, family="b")


def rows(found) -> dict:
    return {row["id"]: row for row in found["tasks"]}


def test_tasks_are_better_worse_or_open_and_families_and_all_are_their_means():
    found = compare_scores([LEVEL, BETTER, SOLVED])
    by_id = rows(found)
    assert {id: row["verdict"] for id, row in by_id.items()} == {
        "level": "open",
        "better": "better",
        "solved": "better",
    }
    assert found["counts"] == {"better": 2, "worse": 0, "open": 1, "same": 0}
    assert by_id["solved"]["difference"] == pytest.approx(14 / 40)
    assert (by_id["solved"]["second_ahead"], by_id["solved"]["first_ahead"], by_id["solved"]["level"]) == (14, 0, 26)
    assert by_id["solved"]["p"] == pytest.approx(2 / 2**14)
    assert by_id["better"]["normalized_difference"] == pytest.approx(by_id["better"]["difference"] / 10)
    normalized = [row["normalized_difference"] for row in found["tasks"]]
    assert found["overall"]["difference"] == pytest.approx(np.mean(normalized))
    assert found["overall"]["second"] - found["overall"]["first"] == pytest.approx(found["overall"]["difference"])
    assert found["families"]["a"]["difference"] == pytest.approx(np.mean(normalized[:2]))
    assert found["families"]["b"]["tasks"] == 1
    assert found["overall"]["verdict"] == "better"
    assert headline(found, "A", "B").startswith("B is better than A: +0.1")
    assert "better on 2, open on 1 of 3 tasks, 40 episodes each" in headline(found, "A", "B")


def test_an_interval_on_both_sides_of_nothing_keeps_its_signs():
    """The test of signs sees what one large difference hides from the mean's interval."""
    [row] = compare_scores([task("odd", np.zeros(6), [1, 1, 1, 1, 1, 100], random=0, expert=100)])["tasks"]
    assert row["verdict"] == "better"
    assert row["words"] == f"better by 17.50 ({MINUS}24.91 to 59.91)"


def test_episodes_to_find_are_corrected_for_the_number_of_tasks():
    alone, among = (compare_scores([LEVEL] * count)["tasks"][0]["episodes_to_find"] for count in (1, 10))
    assert among > 1.3 * alone


def test_the_other_way_round_it_is_worse():
    other = TaskScores(**{**vars(SOLVED), "first": SOLVED.second, "second": SOLVED.first})
    found = compare_scores([other])
    assert found["tasks"][0]["verdict"] == found["overall"]["verdict"] == "worse"
    assert found["tasks"][0]["words"].startswith("worse by 0.35 (")
    assert f"B is worse than A: {MINUS}0.350" in headline(found, "A", "B")


def test_many_tasks_make_a_small_p_no_finding():
    """7 episodes to 0 is p = 0.0156: below 5% alone, not among twenty tasks."""
    seven = task("seven", np.arange(40) < 20, np.arange(40) < 27, binary=True)
    assert compare_scores([seven])["tasks"][0]["verdict"] == "better"
    nothing = [task(f"nothing {i}", EPISODE, EPISODE) for i in range(19)]
    row = rows(compare_scores([seven, *nothing]))["seven"]
    assert row["p"] == pytest.approx(2 / 2**7)
    assert row["p_holm"] == pytest.approx(20 * 2 / 2**7)
    assert row["verdict"] == "open"
    assert "may be chance among so many tasks" in row["words"]
    assert row["episodes_to_settle"] > 40


def test_one_agent_beside_itself_differs_by_nothing():
    same = task("same", np.arange(40) < 20, np.arange(40) < 20, binary=True)
    found = compare_scores([same], same=True, fail_if_worse=0.0)
    assert found["overall"]["ci95"] == found["tasks"][0]["ci95"] == [0, 0]
    assert found["overall"]["difference"] == found["tasks"][0]["difference"] == 0
    assert found["tasks"][0]["words"] == "the same agent"
    assert found["gate"]["failed"] is False
    assert "are the same agent" in headline(found, "A", "A@40")
    two_agents = compare_scores([same])
    assert two_agents["overall"]["ci95"][1] > 0.03  # that none of 40 episodes told them apart does not make them one
    assert two_agents["tasks"][0]["words"].startswith("open: between 0.0")


def test_the_gate_fails_where_the_whole_interval_lies_below():
    worse = TaskScores(**{**vars(SOLVED), "first": SOLVED.second, "second": SOLVED.first})
    high = compare_scores([worse])["overall"]["ci95"][1]
    assert -0.3 < high < -0.15
    for allowed, failed in ((0.0, True), (-high - 1e-6, True), (-high + 1e-6, False), (0.35, False)):
        found = compare_scores([worse], fail_if_worse=allowed)
        assert found["gate"]["failed"] is failed
        assert found["gate"]["fails_below"] == pytest.approx(-allowed - (high + 0.35))
    words = gate_words(compare_scores([worse], fail_if_worse=0.02)["gate"], found, "A", "B")
    assert words.startswith(
        f"B is worse than A by more than 0.020 in mean normalised score: {MINUS}0.350, 95% interval"
    )
    assert "B is not shown to be worse than A by more than 0.350" in gate_words(found["gate"], found, "A", "B")


def test_the_gate_needs_a_number_and_a_score():
    with pytest.raises(ValueError, match="0 or more, got -1"):
        compare_scores([SOLVED], fail_if_worse=-1)
    with pytest.raises(ValueError, match="needs normalised scores"):
        compare_scores([task("raw", EPISODE, EPISODE + 1, random=None)], fail_if_worse=0.1)


def test_tasks_without_a_normalised_score_have_their_own_unit():
    found = compare_scores([task("raw", EPISODE, EPISODE + 1, random=None)])
    (row,) = found["tasks"]
    assert (row["difference"], row["normalized_difference"], row["verdict"]) == (pytest.approx(1), None, "better")
    assert "random" in row["undefined"]
    assert found["overall"]["tasks"] == 0
    assert found["overall"]["difference"] is None
    assert "no task has a normalised score" in headline(found, "A", "B")


def test_training_seeds_widen_the_interval_and_runs_are_what_settles_it():
    luck = np.array([[-1.0], [0.0], [1.0]])
    first = EPISODE + luck
    pooled = compare_scores([task("pooled", first, first + 0.2, random=-5, expert=5)])
    single = compare_scores([task("single", first[:1], first[:1] + 0.2 + 0.01 * RNG.normal(size=40))])
    assert pooled["pooled"] is True
    assert pooled["tasks"][0]["test"] == "runs"
    assert pooled["tasks"][0]["verdict"] == "open"
    assert pooled["tasks"][0]["runs_to_settle"] > 3
    assert pooled["tasks"][0]["episodes_to_settle"] is None
    assert "runs a side would settle it" in pooled["tasks"][0]["words"]
    assert single["tasks"][0]["verdict"] == "better"


def test_episodes_to_find_a_difference_do_not_depend_on_the_unit():
    small = compare_scores([LEVEL])["tasks"][0]["episodes_to_find"]
    scaled = task("large", 100 * LEVEL.first, 100 * LEVEL.second, random=-500, expert=500)
    assert compare_scores([scaled])["tasks"][0]["episodes_to_find"] == small
    assert compare_scores([SOLVED], size=0.1)["tasks"][0]["episodes_to_find"] == pytest.approx(
        compare_scores([SOLVED], size=0.05)["tasks"][0]["episodes_to_find"] / 4, abs=1
    )
