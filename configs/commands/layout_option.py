"""`--layout NAME=VALUE`: one choice in the layout of every task of a config, where `--train.sources.N.layout...` is
one task's."""

from dataclasses import fields
from typing import TYPE_CHECKING

import tyro

from generalist.configs.commands.arguments import parse
from generalist.envs.names import nearest
from generalist.tokenizers.options import LayoutOptions

if TYPE_CHECKING:
    from generalist.configs.experiment import Experiment

Choices = tyro.conf.UseAppendAction[tuple[str, ...]]
FLAGS = {"true": "--{}", "false": "--no-{}"}


def with_choices(experiment: "Experiment", choices: tuple[str, ...], prog: str) -> "Experiment":
    """The experiment with these choices, "context=4", in every layout; `prog` is the command, for errors.

    Raises:
        ValueError: no such option (with the nearest ones), a value that it cannot have, or choices that do not go
            together; one line.
    """
    if not choices:
        return experiment
    named: dict[str, list[str]] = {}
    for choice in choices:
        name, equals, value = choice.partition("=")
        if not equals:
            raise ValueError(f"`{prog} --layout` takes NAME=VALUE, as context=4 or past-actions=shown, got {choice!r}")
        named[name.replace("-", "_")] = _arguments(name.replace("_", "-"), value)
    arguments = [argument for given in named.values() for argument in given]
    first = next((source.layout for source in experiment.train.sources), LayoutOptions())
    found = parse(LayoutOptions, arguments, prog=prog, default=first)
    return experiment.with_layout(**{name: getattr(found, name) for name in named})


def _arguments(name: str, value: str) -> list[str]:
    kinds = {each.name.replace("_", "-"): each.type for each in fields(LayoutOptions)}
    if name not in kinds:
        raise ValueError(f"--layout: a layout has no option {name!r}: {nearest(name, kinds)}")
    if kinds[name] is bool and value.lower() in FLAGS:
        return [FLAGS[value.lower()].format(name)]
    return [f"--{name}", *value.split()]
