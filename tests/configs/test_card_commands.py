"""Commands of a model card: what the command line takes, and what makes the same run."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny import CONFIG, TASKS

from generalist.configs.card_commands import commands_of
from generalist.configs.commands.arguments import parse
from generalist.configs.commands.cli import Train
from generalist.configs.experiment import Experiment
from generalist.configs.presets import load_preset
from generalist.envs.table import find_task
from generalist.tokenizers.sentencepiece_training import train_sentencepiece
from generalist.tokenizers.text import SentencePieceTokenizer
from generalist.train.exported_files import TEXT_MODEL
from generalist.train.run import Run


def made_of(config, episodes=None, folder: Path | None = None) -> Run:
    """A run of a configuration, as far as commands know it."""
    return Run(folder or Path("none"), config, {}, "data", episodes or {})


def test_the_command_that_made_it_follows_the_preset():
    smoke = load_preset("smoke").train
    made = made_of(replace(smoke, seed=3, agent=replace(smoke.agent, width=48)))
    collected, trains = commands_of(made)
    assert collected == "generalist collect --task CartPole-v1 --task FrozenLake8x8-v1 --out data"
    assert trains == "generalist train smoke --train.agent.width 48 --train.seed 3 --out runs/smoke"
    assert commands_of(made_of(CONFIG)) == ()
    assert commands_of(made, {"run": "ml45"}) == ()


def test_the_command_that_made_it_is_of_the_preset_that_differs_least():
    for name in ("gato_364m", "multimodal_ablation/control"):
        assert commands_of(made_of(load_preset(name).train))[-1] == f"generalist train {name} --out runs/{name}"
    larger = load_preset("gato_364m").train
    assert commands_of(made_of(replace(larger, seed=3)))[-1].startswith("generalist train gato_364m --train.seed 3 ")


def test_the_command_that_made_it_is_one_that_the_command_line_takes():
    smoke = load_preset("smoke")
    agent = replace(smoke.train.agent, vector_hidden=64, source_embedding=False, remat=True)
    changed = replace(smoke.train, agent=agent)
    *_, trains = commands_of(made_of(changed))
    parsed = parse(
        Train[Experiment], trains.split()[3:], prog="generalist train smoke", default=Train[Experiment](config=smoke)
    )
    assert parsed.config.train == changed


def test_as_many_demonstrations_are_collected_as_there_were():
    smoke = load_preset("smoke").train
    usual = find_task(TASKS[0]).episodes
    *collected, _ = commands_of(made_of(smoke, {TASKS[0]: usual, TASKS[1]: 2000}))
    assert collected == [
        f"generalist collect --task {TASKS[0]} --out data",
        f"generalist collect --task {TASKS[1]} --episodes 2000 --out data",
    ]


def test_a_text_model_of_ones_own_is_not_that_of_the_preset(tmp_path):
    pytest.importorskip("sentencepiece")
    babyai = load_preset("babyai").train
    (tmp_path / TEXT_MODEL).write_bytes(SentencePieceTokenizer.load("missions").model)
    assert commands_of(made_of(babyai, folder=tmp_path))[-1] == "generalist train babyai --out runs/babyai"
    train_sentencepiece(["go to the red ball", "open a door"], tmp_path / TEXT_MODEL, 275, threads=1)
    assert commands_of(made_of(babyai, folder=tmp_path)) == ()
