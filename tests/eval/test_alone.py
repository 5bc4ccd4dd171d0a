"""Scores of runs on parts of a mixture stand beside those of the run on all of it, on the same documents alone."""

import json

import pytest

from generalist.eval.alone import beside, control_alone, read_report


def entry(value: float, numbers: tuple[int, ...] = (1, 2), **changes) -> dict:
    score = {"name": "accuracy", "better": "higher", "agent": {"value": value, "ci95": [0.0, 1.0]}, "baselines": {}}
    return {"corpus": "digits", "split": "test", "numbers": list(numbers), "scores": [score]} | changes


def other(**parts) -> dict:
    return {"name": "part", "tasks": [], "overall": {"mean": 0.5}, "families": {}} | parts


def test_a_score_is_joined_where_corpus_split_documents_and_name_agree():
    [joined] = beside([entry(0.9)], [other(corpora=[entry(0.8)])])
    assert joined["scores"][0]["alone"] == {"value": 0.8, "ci95": [0.0, 1.0], "run": "part"}
    assert joined["scores"][0]["agent"]["value"] == 0.9
    for different in (entry(0.8, (1, 3)), entry(0.8, split="heldout"), entry(0.8, corpus="letters")):
        assert "alone" not in beside([entry(0.9)], [other(corpora=[different])])[0]["scores"][0]


def test_control_is_compared_with_runs_that_play():
    assert control_alone([other(), other(tasks=[{"id": "x"}])]) == (
        {"run": "part", "overall": {"mean": 0.5}, "families": {}},
    )


def test_a_run_without_a_report_is_named_with_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"evaluate it first: generalist eval {tmp_path}"):
        read_report(tmp_path)
    (tmp_path / "report.json").write_text(json.dumps(other()))
    assert read_report(tmp_path)["name"] == "part"
