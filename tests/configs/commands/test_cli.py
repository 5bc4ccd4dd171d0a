import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import pytest

from generalist.configs.commands import cli


@dataclass(frozen=True, kw_only=True)
class DummyModel:
    width: int = 8


@dataclass(frozen=True, kw_only=True)
class DummyConfig:
    model: DummyModel = DummyModel()
    steps: int = 3


@dataclass(frozen=True, kw_only=True)
class DummyEvaluation:
    episodes: int = 50


@pytest.fixture
def launched(monkeypatch):
    """The calls that reach the functions that do the work, with a preset `dummy`."""
    calls = []

    def recorder(name):
        return lambda *args, **given: calls.append((name, args, given))

    for name in ("describe", "evaluate", "quickstart"):
        monkeypatch.setattr(f"generalist.configs.commands.launch.{name}", recorder(name))
    monkeypatch.setattr("generalist.configs.fit.fit", recorder("fit"))
    monkeypatch.setitem(sys.modules, "generalist.configs.dummy", types.SimpleNamespace(config=DummyConfig))
    monkeypatch.setattr("generalist.eval.config.evaluation_of", lambda run: DummyEvaluation())
    monkeypatch.setattr("generalist.configs.presets.PRESETS", (*cli.PRESETS, "dummy"))
    return calls


def test_train_passes_the_overridden_config(launched):
    args = ["train", "dummy", "--model.width", "64", "--out", "there", "--task", "gym:A-v0", "--task", "B", "--resume"]
    assert cli.main(args) == 0
    ((name, (config,), given),) = launched
    assert name == "fit"
    assert config == DummyConfig(model=DummyModel(width=64))
    assert given["out"] == Path("there")
    assert given["tasks"] == ("gym:A-v0", "B")
    assert (given["resume"], given["overwrite"], given["weights"]) == (True, False, None)


@pytest.mark.parametrize("command", ["train", "describe", "study scale"])
def test_a_choice_for_all_layouts_reaches_the_work(command, launched, monkeypatch):
    monkeypatch.setattr("generalist.configs.commands.study.scale", lambda *given, **_: launched.append((0, given, 0)))
    assert cli.main([*command.split(), "smoke", "--layout", "context=7", "--layout", "separator=false"]) == 0
    ((_, (config, *_), _),) = launched
    assert {(each.layout.context, each.layout.separator) for each in config.train.sources} == {(7, False)}


def test_train_has_a_folder_for_each_preset(launched):
    assert cli.main(["train", "dummy"]) == 0
    assert launched[0][2]["out"] == Path("runs/dummy")


def test_the_other_commands_reach_the_launcher(launched):
    assert cli.main(["describe", "dummy", "--steps", "5"]) == 0
    assert cli.main(["eval", "runs/x", "--episodes", "7"]) == 0
    assert cli.main(["quickstart", "--out", "q", "--seed", "4"]) == 0
    assert [call[0] for call in launched] == ["describe", "evaluate", "quickstart"]
    assert launched[0][1] == (DummyConfig(steps=5),)
    assert launched[1][1] == ("runs/x", DummyEvaluation(episodes=7))
    assert launched[2] == ("quickstart", (Path("q"),), {"seed": 4})


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "a command is missing: choose from tasks, reference, collect"),
        (["trian"], "unknown command 'trian': did you mean train"),
        (["train"], "needs CONFIG as its first argument; CONFIG is one of smoke"),
        (["train", "--out", "x"], "needs CONFIG as its first argument; CONFIG is one of smoke"),
        (["train", "smok"], "unknown config 'smok': did you mean smoke?"),
        (["describe", "gato_97m"], "unknown config 'gato_97m': did you mean gato_79m"),
        (["train", "dummy", "--model.widht", "3"], "no option --model.widht: did you mean --model.width"),
        (["train", "dummy", "--steps", "x"], "--steps"),
        (["tasks", "--jsno"], "did you mean --json?"),
        (["collect", "--task", "CartPole-v2"], "CartPole-v1"),
        (["collect", "--episodes", "few"], "'few'"),
        (["eval"], "needs RUN as its first argument"),
        (["eval", "runs/x", "--episode", "3"], "did you mean --episodes"),
    ],
)
def test_bad_input_is_code_2_and_one_line(args, message, launched, capsys):
    assert cli.main(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert launched == []


@pytest.mark.parametrize("args", [[], *([name] for name in cli.COMMANDS), ["train", "dummy"], ["eval", "runs/x"]])
def test_help(args, launched, capsys):
    assert cli.main([*args, "--help"]) == 0
    out, err = capsys.readouterr()
    assert f"usage: generalist {' '.join(args)}".strip() in out
    assert err == ""
    assert launched == []


def test_help_of_a_preset_lists_the_fields_of_its_config(launched, capsys):
    assert cli.main(["train", "dummy", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--model.width INT" in out
    assert "--out" in out


def test_help_tasks_and_errors_import_nothing_heavy():
    code = """
import sys
from generalist.configs.commands.cli import main
assert main(["--help"]) == 0 and main(["collect", "--help"]) == 0 and main(["trian"]) == 2
assert "gymnasium" not in sys.modules
assert main(["tasks", "--json"]) == 0
starts = [["train", "smoke"], ["train", "quickstart"], ["describe", "gato_79m"], ["eval", "runs/none"]]
for start in starts:
    try:
        main([*start, "--help"])
    except SystemExit:
        pass
assert not {"jax", "tensorflow_datasets", "matplotlib"} & set(sys.modules), "heavy"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip()[0].isdigit()


def test_a_command_of_two_words_is_found_by_both(capsys):
    assert cli.main(["study", "--help"]) == 0
    assert "study scale" in (shown := capsys.readouterr().out)
    assert "quickstart" not in shown
    assert cli.main(["study"]) == 2
    assert "`generalist study` needs one of scale" in capsys.readouterr().err
    assert cli.main(["study", "sclae", "smoke"]) == 2
    assert "unknown command 'study sclae': did you mean study scale or study adapt?" in capsys.readouterr().err
    assert cli.main(["study", "scale"]) == 2
    assert "`generalist study scale` needs CONFIG" in capsys.readouterr().err
    assert cli.main(["study", "scale", "smoke", "--size", "1"]) == 2
    assert "`generalist study scale smoke` has no option --size: did you mean --sizes" in capsys.readouterr().err


def test_a_scaling_study_is_given_its_grid_and_the_overridden_config(launched, monkeypatch):
    monkeypatch.setattr(
        "generalist.configs.commands.study.scale", lambda *given, **more: launched.append((given, more))
    )
    args = [
        "--sizes",
        "1",
        "96x3",
        "--tokens",
        "500k",
        "2M",
        "--seeds",
        "2",
        "--rate-power",
        "0",
        "--beyond",
        "3",
        "8M",
    ]
    assert cli.main(["study", "scale", "dummy", *args, "--model.width", "64", "--task", "B", "--episodes", "5"]) == 0
    (((config, grid), more),) = launched
    assert config == DummyConfig(model=DummyModel(width=64))
    assert (grid.sizes, grid.tokens, grid.seeds) == (("1", "96x3"), (500_000, 2_000_000), 2)
    assert (grid.rate_power, grid.beyond) == (0.0, ("3", "8M"))
    assert (more["tasks"], more["episodes"], more["out"]) == (("B",), 5, Path("runs/scale-dummy"))
    assert (more["estimate"], more["grid_only"]) == (False, False)


def test_a_number_of_tokens_that_is_none_is_one_line(capsys):
    assert cli.main(["study", "scale", "smoke", "--tokens", "many"]) == 2
    assert "a number of tokens is as 500000, 500k, 0.5M or 2G; got 'many'" in capsys.readouterr().err
