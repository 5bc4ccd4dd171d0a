import json

import pytest

from generalist.configs.commands import cli, task_list
from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.envs import reference, task_spaces
from generalist.envs.sets import SETS
from generalist.envs.table import all_tasks


def printed(*args: str, capsys) -> str:
    assert cli.main(list(args)) == 0
    return capsys.readouterr().out


def listed(*args: str, capsys) -> list[dict]:
    return json.loads(printed("tasks", *args, "--json", capsys=capsys))


def test_json_lists_every_task_with_spaces_and_tokens(capsys):
    rows = listed(capsys=capsys)
    assert [row["id"] for row in rows] == [task.id for task in all_tasks()]
    assert len(rows) >= 300
    push = next(row for row in rows if row["id"] == "metaworld/push-v3")
    assert (push["observation"], push["action"]) == ("Box(39,) float64", "Box(4,) float32")
    assert (push["tokens_gato"], push["tokens_short"]) == (44, 5), (
        "39 values, separator, 4 actions; one vector, 4 actions"
    )
    assert push["random"]["episodes"] >= 50
    assert {"metaworld/mt50", "metaworld/mt10", "quickstart"} <= set(push["sets"])


def test_without_arguments_families_and_sets_are_counted(capsys):
    out = printed("tasks", capsys=capsys)
    assert all(task.family in out for task in all_tasks())
    assert all(name in out for name in SETS)


def test_filters_take_what_fits_all_of_them(capsys):
    def ids(*args: str) -> list[str]:
        return [row["id"] for row in listed(*args, capsys=capsys)]

    assert ids("push", "--family", "metaworld") == [
        f"metaworld/{name}-v3" for name in ("coffee-push", "stick-push", "push", "push-wall", "push-back")
    ]
    assert len(ids("--set", "metaworld/mt10")) == 10
    assert "metaworld/push-v3" in ids("pushes", "scripted") + ids("PUSH")
    text = {id.split("/")[0] for id in ids("--observation", "text", "--action", "discrete")}
    assert {"babyai", "babyai_symbolic"} <= text
    assert "Pendulum-v1" not in ids("--action", "discrete")
    assert "CartPole-v1" not in ids("--observation", "text")
    good = ids("--expert", "--family", "babyai")
    assert "babyai/GoToObj" in good
    assert "babyai/UnlockToUnlock" not in good


def test_a_table_has_a_line_for_each_task(capsys):
    lines = printed("tasks", "--set", "quickstart", capsys=capsys).splitlines()
    assert len(lines) == 1 + 18 + 2
    assert lines[-1].startswith("18 tasks")


def test_the_papers_data_sets_and_what_stands_for_them(capsys):
    rows = listed("--gato", capsys=capsys)
    assert len(rows) == 16
    assert {row["data set"]: row["here"] for row in rows}["DM Lab"] == 0
    assert "DM Lab" in printed("tasks", "--gato", capsys=capsys)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["tasks", "--family", "metaword"], "unknown family 'metaword': the nearest are metaworld"),
        (["tasks", "--set", "mt5"], "unknown task set 'mt5': the nearest are metaworld/mt50"),
        (["collect", "--set", "quikstart"], "the nearest are quickstart"),
        (["reference"], "name a task, or a set with --set"),
        (["reference", "CartPole-v2"], "CartPole-v1"),
        (["train", "smoke", "--set", "loca"], "the nearest are local"),
        (["eval", "runs/none", "--set", "loca"], "the nearest are local"),
    ],
)
def test_bad_input_names_the_nearest(args, message, capsys):
    assert cli.main(args) == 2
    assert message in capsys.readouterr().err


def test_a_reference_that_is_reproduced_agrees(capsys):
    args = ["reference", "CliffWalking-v1", "--policy", "expert", "--episodes", "3", "--workers", "0"]
    assert "agrees" in printed(*args, capsys=capsys)
    (row,) = json.loads(printed(*args, "--json", capsys=capsys))
    assert (row["measured"], row["verdict"], row["reference"]["episodes"]) == (-13.0, "agrees", 3)


def test_a_reference_that_differs_is_exit_code_1(monkeypatch, capsys):
    monkeypatch.setattr(reference, "_play", lambda *args: (-200.0, False, 200))
    assert cli.main(["reference", "CliffWalking-v1", "--episodes", "2", "--workers", "0", "--policy", "expert"]) == 1
    assert "differs" in capsys.readouterr().out


def test_update_stores_scores_and_spaces(tmp_path, monkeypatch, capsys):
    scores, spaces = tmp_path / "references.json", tmp_path / "spaces.json"
    monkeypatch.setattr(task_list, "REFERENCES", scores)
    monkeypatch.setattr(task_list, "SPACES", spaces)
    args = ["CliffWalking-v1", "--episodes", "2", "--workers", "0", "--update", "--note", "short"]
    printed("reference", *args, capsys=capsys)
    row = reference.load_references(scores)["CliffWalking-v1"]
    assert row["expert_reference"].mean == -13
    assert row["random_reference"].note == "short"
    assert list(task_spaces.stored_spaces(spaces)) == ["CliffWalking-v1"]


def test_collect_leaves_data_sets_and_their_totals(tmp_path, capfd):
    args = ["collect", "--task", "CliffWalking-v1", "--task", "Taxi-v4", "--episodes", "2", "--workers", "0"]
    assert cli.main([*args, "--out", str(tmp_path)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[1].split()[:2] == ["CliffWalking-v1", "2"]
    assert lines[-1].split()[:3] == ["2", "4", "0"], "tasks, episodes, kept"
    assert len(Demonstrations.open(dataset_folder(tmp_path, "CliffWalking-v1"))) == 2
    assert cli.main([*args, "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["total"]["kept"] == 4
    assert found["total"]["bytes"] == sum(row["bytes"] for row in found["tasks"]) > 0
