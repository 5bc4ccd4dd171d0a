"""`generalist expert`: what it prints, that its file can be recorded with, and what is refused in one line."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from generalist.configs.commands import cli
from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.envs.experts.learned import read_actor

pytest.importorskip("stable_baselines3")
SHORT = ["--steps", "128", "--every", "64", "--chosen-by", "1", "--episodes", "2", "--batch", "16"]


def test_an_expert_is_trained_measured_and_recorded_with(capsys):
    options = ["--seed", "3", "--actor", "8", "4", "--critic", "8", "--updates", "0.25", "--discount", "0.9"]
    assert cli.main(["expert", "Pendulum-v1", *SHORT, *options, "--averaging", "0.02", "--learning-rate", "0.01"]) == 0
    out, err = capsys.readouterr()
    settings = read_actor("Pendulum-v1.npz").provenance["settings"]
    assert settings == {
        "steps": 128,
        "seed": 3,
        "updates": 0.25,
        "batch": 16,
        "learning_rate": 0.01,
        "discount": 0.9,
        "averaging": 0.02,
        "actor": [8, 4],
        "critic": [8],
        "every": 64,
        "episodes": 1,
    }
    head, row, *_ = out.splitlines()
    assert head.split()[:4] == ["file", "kB", "steps", "return"]
    assert row.split()[0] == "Pendulum-v1.npz"
    assert " 128 " in row
    assert "-1,254.6 +- 291.9" in row, "random play, from the table"
    assert "-154.5 +- 98.8" in row, "the task's own expert"
    assert "128/128" in err
    assert re.search(r"[1-9][\d,]* steps/s", err)
    assert "best" in err
    command = next(line for line in out.splitlines() if line.startswith("Record with it: "))
    arguments = shlex.split(command.removeprefix("Record with it: generalist "))
    assert cli.main([*arguments, "--episodes", "1", "--workers", "0"]) == 0
    metadata = Demonstrations.open(dataset_folder("data", "Pendulum-v1")).episode(0).metadata
    assert metadata.expert.startswith("sac:Pendulum-v1.npz@")


def test_an_expert_for_numbered_actions_is_ppos(capsys):
    assert cli.main(["expert", "CartPole-v1", *SHORT]) == 0
    assert "CartPole-v1.npz" in capsys.readouterr().out
    assert (
        cli.main(
            ["collect", "--task", "CartPole-v1", "--policy", "CartPole-v1.npz", "--episodes", "1", "--workers", "0"]
        )
        == 0
    )
    metadata = Demonstrations.open(dataset_folder("data", "CartPole-v1")).episode(0).metadata
    assert metadata.expert.startswith("ppo:CartPole-v1.npz@")


def test_random_play_is_measured_where_the_table_has_none(capsys):
    assert cli.main(["expert", "gym:Pendulum-v1", *SHORT, "--out", "own.npz"]) == 0
    row = capsys.readouterr().out.splitlines()[1].split()
    numbers = [
        float(part.replace(",", "")) for part in row if part.lstrip("-").replace(",", "").replace(".", "").isdigit()
    ]
    assert row[0] == "own.npz"
    assert len(numbers) == 7, "kB, steps, mean and deviation, episodes, random mean and deviation"
    assert row[-1] == "-", "and no expert"
    assert numbers[-2] < -500
    assert numbers[-2:] != numbers[2:4], "not those of the actor"


@pytest.mark.parametrize(("evaluations", "code"), [(0, 130), (1, 0)])
def test_a_training_that_was_interrupted_says_so(evaluations, code, capsys, monkeypatch):
    """Ctrl-C before the first evaluation, and before the second one: then there is an actor to show."""
    from generalist.envs.experts import training

    kept, calls = training._keep_best, []

    def interrupted(*given):
        if len(calls) == evaluations:
            raise KeyboardInterrupt
        calls.append(given)
        return kept(*given)

    monkeypatch.setattr(training, "REPORTED", 64)
    monkeypatch.setattr(training, "_keep_best", interrupted)
    assert cli.main(["expert", "Pendulum-v1", *SHORT, "--steps", "192"]) == code
    out, err = capsys.readouterr()
    assert ("ended after 128 of 192 steps" in err) == bool(evaluations)
    assert ("Record with it" in out) == Path("Pendulum-v1.npz").exists() == bool(evaluations)
    assert ("error: interrupted" in err) == (not evaluations)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["Pendulum-v1", "--steps", "0"], "steps must be at least 1, got 0"),
        (["Pendulum-v1", "--episodes", "0"], "--episodes must be at least 1, got 0"),
        (["Pendulum-v1", "--out", "actor.zip"], "must end in .npz, got actor.zip"),
        (["Pendulum-v1", "--out", "none/actor.npz"], "there is no folder none"),
        (["CarRacing-v3"], "CarRacing-v3 shows image"),
        (["Pendulum-v2"], "Pendulum-v1"),
        ([], "TASK"),
    ],
)
def test_bad_input_is_one_line(args, message, capsys):
    assert cli.main(["expert", *args]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line


def test_a_file_that_is_there_is_kept_unless_it_may_be_replaced(capsys):
    Path("actor.npz").write_bytes(b"old")
    assert cli.main(["expert", "Pendulum-v1", *SHORT, "--out", "actor.npz"]) == 2
    assert "actor.npz is there already" in capsys.readouterr().err
    assert Path("actor.npz").read_bytes() == b"old"
    assert cli.main(["expert", "Pendulum-v1", *SHORT, "--out", "actor.npz", "--overwrite"]) == 0
    assert read_actor("actor.npz").provenance["task"] == "Pendulum-v1"


def test_without_the_extra_the_command_that_installs_it_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    assert cli.main(["expert", "Pendulum-v1"]) == 2
    assert "pip install 'generalist[sac]'" in capsys.readouterr().err
