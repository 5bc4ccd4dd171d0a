"""report.json: everything follows from its episodes, and is written whole or not at all."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from generalist.eval.baselines.constant import ConstantPolicy, ExpertPolicy, RandomPolicy
from generalist.eval.report.record import (
    PolicyRecord,
    TaskRecord,
    from_json,
    load_report,
    plain,
    recompute,
    task_from_json,
    task_to_json,
    to_json,
    write_report,
)
from generalist.eval.report.statistics import bootstrap_mean_ci, interquartile_mean
from generalist.play.rollout import rollout


@pytest.fixture(scope="module")
def payload(report):
    return to_json(report)


def test_the_file_holds_everything_to_recompute_it(report, tmp_path):
    written = write_report(tmp_path / "report.json", report)
    loaded = load_report(tmp_path / "report.json")
    assert loaded == written
    assert recompute(loaded) == loaded
    assert from_json(loaded).tasks[3] == report.tasks[3]
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_the_promised_schema(payload):
    assert payload["schema"] == 1
    assert {"mean", "median", "iqm"} <= set(payload["overall"])
    assert set(payload["families"]) == {"classic_control", "toy_text", "mujoco", "babyai", "metaworld"}
    for task in payload["tasks"]:
        assert {"id", "family", "episodes", "seeds", "normalized", "normalized_ci95", "success", "agreement"} <= set(
            task
        )
        low, high = task["agent"]["ci95"]
        assert low <= task["agent"]["mean"] <= high
        for name in ("random", "expert", "constant", "linear", "nearest_neighbour"):
            assert len(task[name]["returns"]) == len(task[name]["lengths"]) == task["episodes"]
    json.dumps(payload, allow_nan=False)


def test_numbers_are_those_of_the_definitions(payload):
    task = payload["tasks"][4]
    mean = {name: np.mean(task[name]["returns"]) for name in ("random", "expert", "agent", "constant")}
    assert task["normalized"] == pytest.approx((mean["agent"] - mean["random"]) / (mean["expert"] - mean["random"]))
    zero = max(mean["random"], mean["constant"])
    assert task["normalized_above_constant"] == pytest.approx((mean["agent"] - zero) / (mean["expert"] - zero))
    assert task["agent"]["ci95"][0] == bootstrap_mean_ci(task["agent"]["returns"]).low
    scores = [one["normalized"] for one in payload["tasks"]]
    assert payload["overall"]["mean"] == pytest.approx(np.mean(scores))
    assert payload["overall"]["median"] == pytest.approx(np.median(scores))
    assert payload["overall"]["iqm"] == pytest.approx(interquartile_mean(scores))
    linear = [one["linear"]["normalized"] for one in payload["tasks"] if one["family"] == "babyai"]
    assert payload["baselines"]["linear"]["families"]["babyai"]["mean"] == pytest.approx(np.mean(linear))
    assert payload["baselines"]["random"]["overall"]["mean"] == pytest.approx(0, abs=1e-12)


def test_success_is_the_score_where_the_task_says_so(payload):
    task = payload["tasks"][-1]
    assert task["score"] == "success"
    assert task["agent"]["mean"] == task["success"] == np.mean(task["agent"]["successes"])
    assert task["agent"]["return_mean"] == pytest.approx(np.mean(task["agent"]["returns"]))
    successes = [one["success"] for one in payload["tasks"] if one["family"] == "metaworld"]
    assert payload["families"]["metaworld"]["success"] == pytest.approx(np.mean(successes))
    assert payload["families"]["mujoco"]["success"] is None


def test_a_task_without_an_expert_has_scores_but_no_normalised_one(report):
    task = report.tasks[0]
    alone = replace(task, policies={name: one for name, one in task.policies.items() if name != "expert"})
    changed = to_json(replace(report, tasks=(alone, *report.tasks[1:])))
    assert changed["tasks"][0]["normalized"] is None
    assert changed["tasks"][0]["undefined"] == "the task has no expert mean"
    assert changed["tasks"][0]["agent"]["mean"] > 0
    assert changed["overall"]["tasks"] == len(report.tasks) - 1
    only = to_json(replace(report, tasks=(alone,)))
    assert only["overall"]["mean"] is None
    assert recompute(only) == only


def test_records_come_from_rollouts(corridor):
    seeds = [4, 5, 6]
    policies = {
        "random": PolicyRecord.of(rollout(corridor, RandomPolicy(), seeds, slots=2)),
        "expert": PolicyRecord.of(rollout(corridor, ExpertPolicy(corridor), seeds, slots=2)),
        "constant": PolicyRecord.of(
            rollout(corridor, ConstantPolicy("right", np.int64(1)), seeds, slots=2), action=np.int64(1), bound=np.inf
        ),
    }
    record = TaskRecord.of(corridor, seeds, policies, agreement=0.5)
    entry = json.loads(json.dumps(task_to_json(record), allow_nan=False))
    assert entry["constant"]["action"] == 1
    assert entry["constant"]["bound"] == "inf"
    assert entry["agent"] is None
    assert entry["success"] is None
    assert task_from_json(entry) == record


def test_impossible_records_are_refused(report):
    record = report.tasks[0].policies["agent"]
    with pytest.raises(ValueError, match="one value per episode"):
        replace(record, lengths=record.lengths[1:])
    with pytest.raises(ValueError, match="reserved names"):
        replace(record, details={"mean": 1})
    with pytest.raises(ValueError, match="unknown policies"):
        replace(report.tasks[0], policies={"agnet": record})
    with pytest.raises(ValueError, match="episodes for 1 seeds"):
        replace(report.tasks[0], seeds=(1,))


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "report.json"
    for text, message in (('{"schema": 2}', "schema 2"), ("[1]", "schema None"), ('{"schema": 1, ', "is damaged")):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            load_report(path)
    with pytest.raises(ValueError, match="schema 7"):
        from_json({"schema": 7})


def test_plain_values():
    given = {1: np.float32(0.5), "a": (np.arange(2), [math.inf, math.nan]), "p": Path("x"), "none": None, "yes": True}
    assert plain(given) == {"1": 0.5, "a": [[0, 1], ["inf", "nan"]], "p": "x", "none": None, "yes": True}
