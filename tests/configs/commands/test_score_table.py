"""What `generalist eval` prints: normalised scores where there are any, mean scores in their own unit elsewhere."""

import math

import pytest

from generalist.configs.commands.score_table import _number, print_scores
from generalist.configs.commands.terminal import console
from generalist.eval.language.corpus_record import CorpusRecord, Outcome, corpus_to_json
from generalist.eval.report.page import number
from generalist.eval.report.record import PolicyRecord, Report, TaskRecord, to_json

NORMALIZED, OWN = "expert-normalised scores", "mean scores, not normalised"


def record(level: float) -> PolicyRecord:
    return PolicyRecord(returns=(level, level), successes=None, lengths=(3, 3), seconds=1.0)


def task(id: str, family: str, **levels: float) -> TaskRecord:
    policies = {name: record(level) for name, level in levels.items()}
    return TaskRecord(id=id, family=family, score="return", horizon=9, seeds=(1, 2), policies=policies)


KNOWN = task("CartPole-v1", "classic_control", random=20, expert=500, constant=20, linear=260, agent=380)
FOREIGN = task("gym:Some-v0", "gym", random=-50, constant=-40, linear=-30, nearest_neighbour=-20, agent=-1234.5)


def printed(*tasks: TaskRecord, capsys) -> list[str]:
    print_scores(to_json(Report(name="run", created="now", tasks=tasks)), console())
    return capsys.readouterr().out.splitlines()


def cells(lines: list[str], first: str) -> list[str]:
    [line] = [line for line in lines if line.split()[1:2] == [first]]
    return [cell.strip() for cell in line.strip("│ ").split("│")]


def test_a_task_with_an_expert_shows_its_normalised_scores(capsys):
    lines = printed(KNOWN, capsys=capsys)
    assert cells(lines, "CartPole-v1") == ["CartPole-v1", "0.75", "0.75 to 0.75", "", "0.50", "", "0.00", "2"]
    assert cells(lines, "overall")[1] == "0.75"
    assert not any(OWN in line for line in lines)


def test_a_task_without_an_expert_shows_mean_scores_and_no_empty_table(capsys):
    lines = printed(FOREIGN, capsys=capsys)
    assert not any(NORMALIZED in line for line in lines)
    expected = ["gym:Some-v0", "return", "-1,234.50", "-1,234.50 to -1,234.50"]
    assert cells(lines, "gym:Some-v0") == [*expected, "-50.00", "-30.00", "-20.00", "-40.00", "2"]


def test_specialists_have_a_column_where_they_were_measured(capsys):
    special = task("Pendulum-v1", "classic_control", random=0, expert=10, linear=8, mlp=9, agent=5)
    lines = printed(special, KNOWN, capsys=capsys)
    assert cells(lines, "Pendulum-v1") == ["Pendulum-v1", "0.50", "0.50 to 0.50", "", "0.80", "", "", "0.90", "2"]
    assert cells(lines, "CartPole-v1")[-2:] == ["", "2"]
    assert not any("GRU" in line for line in lines)


def test_many_tasks_are_summed_up_and_very_many_are_not_listed(capsys):
    def some(count: int) -> list[TaskRecord]:
        levels = [500 if at % 4 else 260 for at in range(count)]
        return [task(f"T{at}", "gym", random=20, expert=500, linear=260, agent=it) for at, it in enumerate(levels)]

    assert not any("IQM" in line for line in printed(*some(9), capsys=capsys))
    lines = printed(*some(12), capsys=capsys)
    assert cells(lines, "T11")
    assert cells(lines, "agent") == ["agent", "0.88", "0.88 to 0.88", "0.88", "1.00", "1.00", "100%", "75%", "75%"]
    assert cells(lines, "linear")[-3:] == ["100%", "0%", "0%"]
    lines = printed(*some(64), capsys=capsys)
    assert not any("T11" in line for line in lines)
    assert cells(lines, "gym")[1] == "0.88"


def test_both_kinds_stand_in_a_table_each(capsys):
    lines = printed(KNOWN, FOREIGN, capsys=capsys)
    [first], [second] = ([i for i, line in enumerate(lines) if said in line] for said in (NORMALIZED, OWN))
    assert first < second
    assert cells(lines[:second], "CartPole-v1")
    assert cells(lines[second:], "gym:Some-v0")
    assert not any("gym " in line for line in lines[:second]), "a family without a score has no row"


def test_scores_of_language_stand_beside_their_baselines(capsys):
    record = CorpusRecord(
        corpus="questions",
        split="heldout",
        measure="answer",
        numbers=(0, 1),
        truths=(("red",), ("two",)),
        outcomes={"agent": Outcome(texts=("red", "one")), "commonest_answer": Outcome(texts=("red", "two"))},
        learnt_from=9,
        seconds=1.0,
    )
    report = to_json(Report(name="run", created="now", tasks=())) | {"corpora": [corpus_to_json(record)]}
    print_scores(report, console())
    [row] = [line for line in capsys.readouterr().out.splitlines() if "exact match" in line]
    found = [cell.strip() for cell in row.strip("│ ").split("│")]
    baseline = "commonest answer to the question 1.00"
    assert found == ["questions", "held out", "exact match", "0.50", "0.09 to 0.91", baseline, "2"]


@pytest.mark.parametrize("value", [0.125, 0.675, -0.005, 2.5 / 4])
def test_one_value_is_printed_alike_whatever_its_last_bit(value):
    near = [value, math.nextafter(value, -9), math.nextafter(value, 9)]
    assert len({_number(each) for each in near}) == 1
    assert len({number(each) for each in near}) == 1


def offline(id: str) -> dict:
    found = {"value": 0.25, "ci95": [0.125, 0.5]}
    policies = dict.fromkeys(("agent", "constant", "linear", "nearest_neighbour"), found)
    dimensions = [{"name": f"action[{i}]", "kind": "error", "spread": 2e6, "policies": policies} for i in range(20)]
    return {
        **{"id": id, "why": "no environment plays it", "episodes": 2, "steps": 9, "held_out": False},
        **{"dimensions": dimensions, "relative": policies, "measured_in_training": {"loss": 0.5}},
    }


def test_errors_on_demonstrations_have_a_table_of_tasks_and_one_of_dimensions(capsys):
    report = to_json(Report(name="run", created="now", tasks=(), offline=(offline("robot/arm"),)))
    print_scores(report, console())
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.strip("│ ").split("│")] for line in lines if "robot/arm" in line]
    assert rows[0] == ["robot/arm", "0.250", "0.125 to 0.500", "0.250", "0.250", "0.250", "2 (trained on)", "0.500"]
    assert rows[1][:5] == ["robot/arm", "action[0]", "error", "0.250", "0.125 to 0.500"]
    assert rows[1][-1] == "2.00e6"
    assert sum("action[" in line for line in lines) == 16
    assert "robot/arm: 4 more dimensions are in report.json" in lines
    assert any("nothing was held out" in line for line in lines)


def test_of_very_many_tasks_the_terminal_shows_no_dimensions(capsys):
    report = to_json(Report(name="run", created="now", tasks=(), offline=tuple(map(offline, map(str, range(11))))))
    print_scores(report, console())
    out = capsys.readouterr().out
    assert "action[" not in out
    assert "every dimension of their actions is in report.html" in out
