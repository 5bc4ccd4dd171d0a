import json

import pytest

from generalist.envs import reference
from generalist.envs.task import Reference, find_task


def test_a_file_of_scores_becomes_fields_of_a_task(tmp_path):
    scores = {"mean": 1.0, "std": 2.0, "episodes": 3, "first_seed": 4, "success": None, "versions": {"gymnasium": "1"}}
    path = tmp_path / "references.json"
    path.write_text(json.dumps({"CartPole-v1": {"random": scores}}))
    assert reference.load_references(path) == {"CartPole-v1": {"random_reference": Reference(**scores)}}


def test_no_file_no_references(tmp_path):
    assert reference.load_references(tmp_path / "nothing.json") == {}


def test_measuring_is_deterministic_and_agrees_with_the_file():
    task = find_task("CartPole-v1")
    again = reference.measure(task, "random", task.random_reference.episodes)
    assert again.mean == pytest.approx(task.random_reference.mean)
    assert again.std == pytest.approx(task.random_reference.std)
    assert again.success is None


def test_success_is_counted_by_episode():
    measured = reference.measure(find_task("CliffWalking-v1"), "expert", 2)
    assert (measured.mean, measured.std, measured.success) == (-13.0, 0.0, 1.0)


def test_main_updates_the_rows_it_is_asked_for(tmp_path, monkeypatch, capsys):
    path = tmp_path / "references.json"
    path.write_text(json.dumps({"Taxi-v4": {"random": {"mean": 0}}}))
    monkeypatch.setattr(reference, "PATH", path)
    monkeypatch.setattr(reference, "EPISODES", 2)
    reference.main(["CliffWalking-v1"])
    rows = json.loads(path.read_text())
    assert list(rows) == ["Taxi-v4", "CliffWalking-v1"]
    assert rows["CliffWalking-v1"]["expert"]["mean"] == -13
    assert "CliffWalking-v1" in capsys.readouterr().out
