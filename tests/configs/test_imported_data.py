"""Data of a task that nothing plays, by commands alone: listed, described, viewed, trained on, measured."""

import json
import shutil

import pytest
from imported import EPISODES, TASK, imported

from generalist.configs.commands import cli
from generalist.eval.report.record import load_report

SMALL = [
    *("--train.steps", "4", "--train.batch-size", "2", "--train.mesh.data", "1"),
    *("--train.sequence-length", "128", "--train.agent.window", "128"),
]


@pytest.fixture(autouse=True)
def _data(tmp_path):
    shutil.copytree(imported(), tmp_path / "data")


def run(*args: str, capsys) -> tuple[int, str, str]:
    code = cli.main(list(args))
    return code, *capsys.readouterr()


def test_train_then_evaluate(capsys):
    code, _, err = run("train", "smoke", "--task", TASK, "--out", "run", *SMALL, capsys=capsys)
    assert code == 0, err
    code, out, err = run("eval", "run", capsys=capsys)
    assert code == 0, err
    assert f"offline: {TASK}" in err.splitlines(), "what is done is said as it is done"
    assert "measured offline" in out
    assert "action/arm[1]" in out
    [entry] = load_report("run/report.json")["offline"]
    assert (entry["id"], entry["held_out"]) == (TASK, True)


def test_a_folder_lists_its_data_sets(capsys):
    code, out, _ = run("tasks", "--data", "data", capsys=capsys)
    assert code == 0
    [line] = [line for line in out.splitlines() if TASK in line]
    assert "own:arm" in line
    assert "evaluated offline" in line
    _, out, _ = run("tasks", "--data", "data", "--json", capsys=capsys)
    [row] = json.loads(out)
    assert (row["task"], row["episodes"], row["problem"]) == (TASK, EPISODES, None)
    assert row["action"] == "{arm: Box(2,) float32, grip: Discrete(2)}"
    code, _, err = run("tasks", "--data", "dat", capsys=capsys)
    assert (code, "there is no folder dat" in err) == (2, True)


def test_describe_measures_it(capsys):
    code, out, err = run("describe", "smoke", "--task", TASK, *SMALL, "--mesh", "1", "1", "1", "--json", capsys=capsys)
    assert code == 0, err
    [task] = json.loads(out)["tasks"]
    assert (task["task"], task["episodes"]) == (TASK, EPISODES - 1)


def test_view_shows_it_position_by_position(capsys, tmp_path):
    code, out, err = run("view", TASK, "--config", "smoke", "--episode", "1", "--steps", "3", capsys=capsys)
    assert code == 0, err
    for text in ("observation/state: 3 values", "action/arm[0] = ", "action/grip", "own:arm", f"1 of {EPISODES}"):
        assert text in out, text
    assert run("view", TASK, "--out", "episode.html", capsys=capsys)[0] == 0
    assert "<table>" in (tmp_path / "episode.html").read_text()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["view", "robot/own-arn"], f"nearest in data are {TASK}"),
        (["view", TASK, "--episode", "99"], f"episodes 0 to {EPISODES - 1}"),
        (["view", TASK, "--steps", "0"], "--steps must be at least 1"),
        (["train", "smoke", "--task", "robot/own-arn"], f"nearest in data are {TASK}"),
        (["describe", "smoke", "--task", "robot/own-arn"], f"nearest in data are {TASK}"),
    ],
)
def test_bad_names_and_numbers(args, said, capsys):
    code, _, err = run(*args, capsys=capsys)
    assert code == 2
    assert said in err
