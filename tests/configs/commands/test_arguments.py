import sys
from dataclasses import dataclass
from typing import Literal

import pytest
import tyro

from generalist.configs.commands.arguments import parse


@dataclass(frozen=True, kw_only=True)
class Model:
    width: int = 8
    """Width of the model."""
    kind: Literal["narrow", "wide"] = "wide"

    def __post_init__(self):
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Do a thing."""

    model: Model = Model()
    steps: int = 3
    parts: tuple[Model, ...] = ()
    bias: bool = True

    def __post_init__(self):
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")


@dataclass(frozen=True, kw_only=True)
class Required:
    name: str


def read(*args, **given):
    return parse(Options, args, prog="thing", **given)


@dataclass(frozen=True, kw_only=True)
class OfTasks:
    task: tyro.conf.UseAppendAction[tuple[str, ...]] = ()


def test_a_task_without_its_option_says_how_to_give_it():
    with pytest.raises(ValueError, match="takes no argument 'Taxi-v4'; a task is given as --task Taxi-v4"):
        parse(OfTasks, ["--task", "CartPole-v1", "Taxi-v4"], prog="thing")
    with pytest.raises(ValueError, match="takes no argument 'more'; see `thing --help`"):
        read("more")


def test_every_nested_field_can_be_set():
    default = Options(steps=5, parts=(Model(width=1), Model(width=2)))
    parsed = read("--model.width", "64", "--parts.1.width", "3", "--no-bias", default=default)
    assert parsed == Options(model=Model(width=64), steps=5, parts=(Model(width=1), Model(width=3)), bias=False)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model.widht", "3"], "`thing` has no option --model.widht: did you mean --model.width"),
        (["--model.widht=3"], "no option --model.widht: did you mean --model.width"),
        (["--width", "3"], "did you mean --model.width"),
        (["--zzzzzzzz"], "no option --zzzzzzzz: see `thing --help`"),
        (["more"], "takes no argument 'more'"),
        (["--steps", "many"], "--steps: .*'many'"),
        (["--steps"], "--steps"),
        (["--steps", "0"], "steps must be at least 1, got 0"),
        (["--model.width", "0"], "width must be at least 1, got 0"),
        (["--model.kind", "broad"], "'broad'.*'narrow', 'wide'"),
    ],
)
def test_what_is_refused_is_one_line(args, message, capsys):
    with pytest.raises(ValueError, match=message) as caught:
        read(*args)
    assert "\n" not in str(caught.value)
    assert "│" not in str(caught.value)
    assert capsys.readouterr() == ("", "")


def test_a_missing_option_is_named():
    with pytest.raises(ValueError, match=r"--name.*see `thing --help`"):
        parse(Required, [], prog="thing")


def test_help_comes_from_the_docstrings(capsys):
    with pytest.raises(SystemExit) as caught:
        read("--help")
    assert not caught.value.code
    out = capsys.readouterr().out
    assert "Do a thing." in out
    assert "Width of the model." in out
    assert "thing" in out


def test_what_a_config_says_on_stderr_is_not_swallowed(capsys):
    @dataclass(frozen=True)
    class Talks:
        steps: int = 1

        def __post_init__(self):
            print("careful", file=sys.stderr)

    parse(Talks, ["--steps", "2"], prog="thing")
    assert "careful" in capsys.readouterr().err
