"""Errors of actions on demonstrations: what is measured, on which episodes, beside which predictions."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from imported import ARM, EPISODES, TASK, imported, source, trained_arm
from tiny import TASKS, demonstrations, trained

from generalist.demonstrations.public.convert import import_data
from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.eval.baselines.actions import Columns, action_columns
from generalist.eval.config import EvaluationConfig
from generalist.eval.evaluate import evaluate
from generalist.eval.failures import EvaluationError
from generalist.eval.offline import POLICIES, agent_predictions, choose, constant_prediction, dimension_names
from generalist.eval.offline import _errors as errors_of
from generalist.eval.report.record import load_report, recompute
from generalist.play.agent import Agent
from generalist.train.episodes import select_episodes
from generalist.train.loop import train
from generalist.train.metrics import read_metrics

CONFIG = EvaluationConfig(episodes=50, slots=3, films=False, workers=1)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> dict:
    """Of the imported task, by its own run."""
    out = tmp_path_factory.mktemp("offline")
    made = evaluate(trained_arm(), CONFIG, out=out, quiet=True)
    assert load_report(out / "report.json") == json.loads(json.dumps(made))
    assert "Measured offline" in (out / "report.html").read_text()
    return made


def test_a_task_without_an_environment_is_measured_on_what_was_held_out(report):
    assert report["tasks"] == []
    [entry] = report["offline"]
    assert (entry["id"], entry["held_out"], entry["episodes"]) == (TASK, True, EPISODES // 5)
    assert "no environment" in entry["why"]
    assert [(one["name"], one["kind"]) for one in entry["dimensions"]] == [
        ("action/arm[0]", "error"),
        ("action/arm[1]", "error"),
        ("action/grip", "missed"),
    ]
    held_out = [line["held_out"] for line in read_metrics(trained_arm() / "metrics.jsonl") if "held_out" in line]
    assert entry["measured_in_training"] == held_out[-1]["sources"][TASK]
    assert recompute(report) == report


def test_every_prediction_stands_beside_with_its_interval(report):
    [entry] = report["offline"]
    for found in (entry["relative"], *(one["policies"] for one in entry["dimensions"])):
        assert set(found) == set(POLICIES)
        for policy in found.values():
            low, high = policy["ci95"]
            assert low <= policy["value"] <= high
    arm = entry["dimensions"][0]["policies"]
    assert arm["linear"]["value"] < 0.02, "the arm's action is linear in the state"
    assert arm["agent"]["value"] < 0.5 * arm["constant"]["value"], "it has learned something"
    assert entry["relative"]["constant"]["value"] == pytest.approx(1)
    assert entry["relative"]["linear"]["value"] < entry["relative"]["agent"]["value"] < 1


def test_the_predictions_are_those_of_the_policy_at_each_step():
    agent = Agent.load(trained_arm())
    shown = choose(agent, TASK, Demonstrations.open(dataset_folder(imported(), TASK)), 50)
    columns = action_columns(shown.steps.action_space)
    three, one = (agent_predictions(agent.policy(TASK, slots=slots).policy, shown, columns) for slots in (3, 1))
    for together, alone, rows in zip(three, one, shown.episodes, strict=True):
        assert len(together.numbers) == len(rows)
        np.testing.assert_allclose(together.numbers, alone.numbers, atol=1e-5)
        assert (together.classes == alone.classes).all()
    policy = agent.policy(TASK)
    step = shown.steps.observations(shown.episodes[1][2:3])
    action = policy({"state": step["state"][0], "task": step["task"][0]})
    np.testing.assert_allclose(three[1].numbers[2], action["arm"], atol=1e-5)
    assert three[1].classes[2, 0] == action["grip"]


def test_what_comes_before_a_step_is_what_the_demonstrator_did():
    agent = Agent.load(trained())
    shown = choose(agent, TASKS[1], Demonstrations.open(dataset_folder(demonstrations(), TASKS[1])), 1)
    policy = agent.policy(TASKS[1]).policy
    told: list[int] = []
    correct = policy.correct

    def told_by(actions: list, active: list[int]) -> None:
        told.extend(int(action) for action in actions)
        correct(actions, active)

    policy.correct = told_by
    agent_predictions(policy, shown, action_columns(shown.steps.action_space))
    assert told == shown.steps.actions(shown.episodes[0]).tolist()


def test_errors_are_means_over_the_steps_of_each_episode():
    done = [Columns(np.array([[1.0], [3.0]]), np.array([[0], [1]])), Columns(np.array([[5.0]]), np.array([[1]]))]
    said = [Columns(np.array([[2.0], [3.5]]), np.array([[0], [0]])), Columns(np.array([[5.0]]), np.array([[1]]))]
    assert errors_of(done, said).tolist() == [[0.75, 0.5], [0.0, 0.0]]


def test_the_constant_is_the_best_by_these_measures():
    actions = Columns(np.array([[0.0], [0.0], [0.0], [10.0]]), np.array([[2], [1], [2], [0]]))
    found = constant_prediction(actions, 3)
    assert found.numbers.tolist() == [[0.0]] * 3
    assert found.classes.tolist() == [[2]] * 3


def test_dimensions_are_named_by_their_place_in_the_space():
    space = spaces.Dict(
        wheels=spaces.Tuple((spaces.Box(-1, 1, (2,), np.float32), spaces.MultiDiscrete([3, 4]))),
        horn=spaces.Discrete(2),
    )
    assert dimension_names(space) == [
        "action/wheels/0[0]", "action/wheels/0[1]", "action/horn", "action/wheels/1[0]", "action/wheels/1[1]"
    ]  # fmt: skip
    assert dimension_names(spaces.Box(-1, 1, (), np.float32)) == ["action"]
    assert len(dimension_names(space)) == sum(
        part.shape[1] for part in (lambda c: (c.numbers, c.classes))(action_columns(space).encode(_one(space)))
    )


def _one(space: spaces.Space):
    value = space.sample()
    return {
        "wheels": tuple(np.asarray(part)[None] for part in value["wheels"]),
        "horn": np.asarray(value["horn"])[None],
    }


def test_held_out_episodes_are_those_of_the_training():
    agent = Agent.load(trained_arm())
    opened = Demonstrations.open(dataset_folder(imported(), TASK))
    selection = select_episodes(ARM, ARM.sources[0], opened)
    training, held_out = selection.training, selection.held_out
    shown = choose(agent, TASK, opened, 2)
    first = {int(rows[0]) for rows in shown.episodes}
    assert first == {int(shown.steps.starts[number]) for number in (held_out[0], held_out[-1])}
    assert shown.training.tolist() == training.tolist()


def test_where_nothing_was_held_out_it_says_so(tmp_path):
    run = tmp_path / "run"
    train(replace(ARM, held_out=0.0, steps=2, checkpoint_every=2), imported(), run, quiet=True)
    [entry] = evaluate(run, CONFIG, quiet=True)["offline"]
    assert (entry["held_out"], entry["measured_in_training"]) == (False, None)
    assert "nothing was held out" in (run / "report.html").read_text()


def test_other_data_than_those_of_the_training_are_refused(tmp_path):
    import_data(source(episodes=EPISODES + 1), tmp_path / "more", quiet=True)
    with pytest.raises(EvaluationError, match=rf"offline.*21 episodes.*{EPISODES}.*--data"):
        evaluate(trained_arm(), CONFIG, data=tmp_path / "more", out=tmp_path, quiet=True)


def test_played_tasks_can_be_measured_offline_too(tmp_path):
    report = evaluate(trained(), replace(CONFIG, prompts=1), offline=True, out=tmp_path, quiet=True)
    assert report["tasks"] == []
    assert [entry["id"] for entry in report["offline"]] == list(TASKS)
    assert {entry["why"] for entry in report["offline"]} == {"measured offline, as asked"}
    assert Path(demonstrations(), "cart_pole_v1").is_dir()
