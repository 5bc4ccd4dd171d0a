"""An environment that fails, or a worker that is killed, costs its task only."""

import json
import os
from dataclasses import replace
from pathlib import Path

import faulty
import pytest
from tiny import CONFIG as TRAINING

from generalist.configs.commands import launch
from generalist.configs.commands.errors import BAD_INPUT
from generalist.configs.commands.errors import run as run_command
from generalist.demonstrations.collect import collect
from generalist.eval.config import EvaluationConfig
from generalist.eval.evaluate import evaluate
from generalist.eval.failures import EvaluationError
from generalist.eval.report.record import load_report, recompute
from generalist.train.config import SourceConfig
from generalist.train.loop import train
from generalist.train.run import read_run

CONFIG = EvaluationConfig(episodes=2, slots=2, prompts=0, films=False, selection_episodes=1, workers=1)
FINE, LATER, UNMADE = map(faulty.id_of, (faulty.Counter, faulty.Later, faulty.Unmade))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("faulty")
    collect([FINE, LATER, UNMADE], folder / "data", policy="random", episodes=5, workers=0, quiet=True)
    sources = tuple(SourceConfig(task=task) for task in (LATER, UNMADE, FINE))
    config = replace(TRAINING, sources=sources, steps=1, held_out=0.0, return_filter=0.0, checkpoint_every=1)
    train(config, folder / "data", folder / "run", quiet=True)
    return folder / "run"


def test_the_others_are_reported_and_the_failed_ones_named(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FAULTY", "step")
    assert run_command(lambda _: launch.evaluate(run, CONFIG, out=tmp_path), []) == BAD_INPUT
    report = load_report(tmp_path / "report.json")
    assert [task["id"] for task in report["tasks"]] == [FINE]
    assert report["failed"] == [
        {"task": LATER, "part": "agent", "error": "KeyError: 'joint 4'"},
        {"task": UNMADE, "part": "agent", "error": "OSError: no such simulator"},
    ]
    assert recompute(report) == report
    page = (tmp_path / "report.html").read_text()
    assert LATER in page
    assert "no such simulator" in page
    out, err = capsys.readouterr()
    assert FINE in out
    assert f"error: evaluating {LATER} failed (agent): KeyError: 'joint 4'" in err
    assert f"error: evaluating {UNMADE} failed (agent): OSError: no such simulator" in err
    assert "Traceback" not in err
    monkeypatch.delenv("FAULTY")
    again = evaluate(run, CONFIG, out=tmp_path, quiet=True)
    assert "failed" not in again
    assert len(again["tasks"]) == 3
    assert load_report(tmp_path / "report.json") == json.loads(json.dumps(again))


def test_a_killed_worker_costs_its_task(run, tmp_path, monkeypatch):
    """The agent has played; the baselines of one task kill their process."""
    for path in (run / "evaluation").glob("*.baselines.json"):
        path.unlink()
    monkeypatch.setenv("FAULTY", str(os.getpid()))
    with pytest.raises(EvaluationError, match=r"died \(signal SIGKILL\)") as failure:
        evaluate(run, CONFIG, tasks=[FINE, LATER], out=tmp_path, quiet=True)
    assert [task["id"] for task in failure.value.report["tasks"]] == [FINE]
    assert [(each["task"], each["part"]) for each in failure.value.report["failed"]] == [(LATER, "baselines")]


def test_where_baselines_have_too_little_to_learn_from_the_agent_plays_all_the_same(run, tmp_path):
    few = tmp_path / "data"
    collect([FINE, LATER], few, policy="random", episodes=2, workers=0, quiet=True)
    read = read_run(run)
    sources = tuple(replace(each, episodes=4 if each.task == LATER else None) for each in read.config.sources)
    train(replace(read.config, sources=sources), Path(read.data), tmp_path / "run", quiet=True)
    with pytest.raises(EvaluationError, match=r"too few episodes: 4 asked for, .* has 2") as failure:
        evaluate(tmp_path / "run", CONFIG, tasks=[FINE, LATER], data=few, quiet=True)
    assert [(each["task"], each["part"]) for each in failure.value.report["failed"]] == [(LATER, "baselines")]
    assert [task["id"] for task in failure.value.report["tasks"]] == [FINE]
    played = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run" / "evaluation").glob("*.agent.json")}
    assert len(played) == 2, "the agent's part of both is kept"


def test_an_environment_may_leave_the_working_directory(run, tmp_path, monkeypatch):
    """Relative paths keep their meaning; another's error that no file can hold does not end the report."""
    monkeypatch.chdir(run.parent)
    wanders, panics = map(faulty.id_of, (faulty.Wanders, faulty.Panics))
    with pytest.raises(EvaluationError) as failure:
        evaluate("run", CONFIG, tasks=[wanders, panics], data="data", out="elsewhere", quiet=True)
    [failed] = failure.value.report["failed"]
    assert (failed["task"], failed["part"]) == (panics, "agent")
    assert failed["error"].startswith("Panic: index out of bounds")
    assert "out of bounds: \ufffd \ufffd[31m99" in (run.parent / "elsewhere" / "report.html").read_text()
    assert [task["id"] for task in load_report(run.parent / "elsewhere" / "report.json")["tasks"]] == [wanders]


def test_a_reward_that_is_no_number_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setenv("FAULTY", "step")
    with pytest.raises(EvaluationError, match=r"the reward of step 0 is nan \(seed \d+\)"):
        evaluate(run, CONFIG, tasks=[faulty.id_of(faulty.Undefined)], out=tmp_path, quiet=True)


def test_all_may_fail(run, tmp_path, monkeypatch):
    monkeypatch.setenv("FAULTY", "step")
    with pytest.raises(EvaluationError):
        evaluate(run, replace(CONFIG, episodes=1), tasks=[LATER], out=tmp_path, quiet=True)
    assert load_report(tmp_path / "report.json")["tasks"] == []
    assert "joint 4" in (tmp_path / "report.html").read_text()


def twos(env):
    return lambda observation: 2


def test_a_given_policy_s_demonstrations_stand_for_an_expert(tmp_path, capsys):
    data = tmp_path / "data"
    collect([FINE], data, policy=twos, episodes=5, workers=0, quiet=True)
    source = SourceConfig(task=FINE)
    config = replace(TRAINING, sources=(source,), steps=1, held_out=0.0, return_filter=0.0, checkpoint_every=1)
    train(config, data, tmp_path / "run", quiet=True)
    report = launch.evaluate(tmp_path / "run", CONFIG)
    [task] = report["tasks"]
    assert task["demonstrated"] == 2 * faulty.STEPS
    random, agent = task["random"]["mean"], task["agent"]["mean"]
    assert task["normalized"] == pytest.approx((agent - random) / (2 * faulty.STEPS - random))
    assert recompute(report) == load_report(tmp_path / "run" / "report.json")
    said = f"{FINE} has no expert: 1 is the mean return of its demonstrations, 10.00"
    assert said in capsys.readouterr().out
    assert said in (tmp_path / "run" / "report.html").read_text()
