"""Training by a preset's name or a configuration; what it trains is `tests/train/test_loop.py`'s to check."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny import CONFIG, TASKS, demonstrations, leaves_of, metrics_of, trained

from generalist.configs.experiment import Experiment
from generalist.configs.fit import fit
from generalist.envs.table import find_task
from generalist.eval.config import EvaluationConfig, evaluation_of
from generalist.play.agent import Agent
from generalist.train.run import Run, read_run

SHORT = replace(CONFIG, steps=2, log_every=1, checkpoint_every=2)


def fitted(**given) -> Run:
    return fit(**{"config": SHORT, "data": demonstrations(), "out": "run", "quiet": True} | given)


def test_it_trains_as_the_loop_does(capfd):
    run = fit(CONFIG, data=str(demonstrations()), out="run", quiet=True)
    assert metrics_of(run.directory) == metrics_of(trained())
    assert capfd.readouterr() == ("", "")
    assert evaluation_of(run.directory) == EvaluationConfig()


def test_a_run_can_be_given_where_its_directory_can():
    first = fitted()
    assert Path(first) == Path("run")
    assert Agent.load(first).step == 2
    second = fitted(config=replace(SHORT, steps=1, checkpoint_every=1), out="second", weights=first)
    one, other = (leaves_of(Agent.load(run).state) for run in (first, second))
    far = leaves_of(Agent.load(fitted(config=replace(SHORT, seed=9), out="third")).state)
    assert abs(one[0] - other[0]).max() < abs(one[0] - far[0]).max()


def test_an_experiment_says_how_it_wants_to_be_measured():
    wanted = EvaluationConfig(episodes=7, prompts=1)
    run = fitted(config=Experiment(train=SHORT, evaluation=wanted))
    assert evaluation_of(run.directory) == wanted
    again = fitted(config=Experiment(train=SHORT, evaluation=replace(wanted, episodes=8)), resume=True)
    assert evaluation_of(again.directory).episodes == 8


@pytest.mark.parametrize("tasks", [TASKS[1], find_task(TASKS[1]), [TASKS[1]], (find_task(TASKS[1]),)])
def test_tasks_are_one_or_several_by_id_or_as_they_are(tasks, monkeypatch):
    given = []
    monkeypatch.setattr("generalist.configs.fit.train", lambda config, *_, **__: given.append(config))
    fitted(tasks=tasks, corpora="docstrings")
    (config,) = given
    assert config.sources == (CONFIG.sources[1],)
    assert [each.corpus for each in config.documents] == ["docstrings"]


def test_a_preset_has_a_folder_of_its_own(monkeypatch):
    where = []
    monkeypatch.setattr("generalist.configs.fit.train", lambda config, data, out, **_: where.append((data, out)))
    fit("smoke")
    assert where == [(Path("data"), Path("runs/smoke"))]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"config": "smok"}, ValueError, "unknown config 'smok': did you mean smoke?"),
        ({"config": 3}, TypeError, "a preset's name, an Experiment or a TrainConfig, got int"),
        ({"out": None}, ValueError, "has no folder of its own: say where"),
        ({"tasks": "CartPol-v1"}, ValueError, "the nearest are CartPole-v1"),
        ({"resume": True, "overwrite": True}, ValueError, "choose one of"),
        ({"out": trained}, FileExistsError, "already holds a run"),
        ({"weights": "nowhere"}, FileNotFoundError, "nowhere is not a run directory"),
    ],
)
def test_bad_arguments(given, error, message):
    with pytest.raises(error, match=message):
        fitted(**{name: value() if callable(value) else value for name, value in given.items()})
    assert read_run(trained()).config == CONFIG
