"""`generalist adapter`: a run's file, and a run of it and its foundation."""

import pytest
from tiny import TASKS, train_here

from generalist.configs.commands.cli import main
from generalist.play.agent import Agent
from generalist.train.config import TrainableConfig
from generalist.train.run import read_run


def test_a_head_is_exported_and_merged(tmp_path, capsys):
    """The run counts as its own foundation here: what it has not trained is what it has."""
    run = train_here(tmp_path / "run", trainable=TrainableConfig(how="head"), steps=1, held_out=0.0)
    assert main(["adapter", "export", str(run), "--out", "head.safetensors"]) == 0
    out = capsys.readouterr().out
    size = (tmp_path / "head.safetensors").stat().st_size
    assert f"head.safetensors: {size:,} bytes, for the foundation " in out
    assert f"tasks: {', '.join(TASKS)}" in out
    assert main(["adapter", "merge", str(run), "head.safetensors", "--out", "whole"]) == 0
    assert f"whole: a run of its own; tasks: {', '.join(TASKS)}" in capsys.readouterr().out
    assert read_run("whole").config.trainable.how == "full"
    assert Agent.load("whole").tasks == TASKS


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("merge", "run"),
            "give FOUNDATION and FILE: `generalist adapter merge FOUNDATION FILE --out RUN`; got 1 path",
        ),
        (("export", "run", "file"), "give RUN: `generalist adapter export RUN --out FILE`; got 2 paths"),
        (("exprt", "run"), "invalid choice 'exprt'"),
        (("export", "nowhere"), "nowhere is not a run directory"),
    ],
)
def test_what_is_asked_wrongly_is_one_line(arguments, said, capsys):
    assert main(["adapter", *arguments, "--out", "out"]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
