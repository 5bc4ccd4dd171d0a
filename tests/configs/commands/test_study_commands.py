"""What the commands of studies say by default is what is done by default."""

from dataclasses import MISSING, fields
from typing import Any, get_args

from generalist.configs.commands import study_commands
from generalist.configs.commands.adapt_command import Adapt
from generalist.configs.commands.study_commands import StudyAdapt, StudyScale
from generalist.configs.commands.task_commands import with_sets
from generalist.studies.adapt.settings import PLAIN, WAYS, Settings
from generalist.studies.scale.grid import DEFAULT_SIZES, Grid
from generalist.studies.scale.study import EPISODES
from generalist.train.adaptation import AdaptConfig
from generalist.train.config import TrainableConfig


def defaults(of: Any) -> dict[str, Any]:
    return {each.name: each.default for each in fields(of) if each.default is not MISSING}


def agree(command: dict[str, Any], *others: dict[str, Any]) -> set[str]:
    """Names that stand in both, all with one value."""
    shared = set()
    for other in others:
        names = command.keys() & other.keys()
        assert {name: command[name] for name in names} == {name: other[name] for name in names}
        shared |= names
    return shared


def test_study_adapt():
    command = defaults(StudyAdapt)
    command["demonstration_seeds"] = command.pop("draws")
    missing = {each.name for each in fields(Settings)} - agree(command, defaults(Settings)) - {"adaptation"}
    assert not missing
    own = {name: value for name, value in command.items() if name not in defaults(Settings)}
    assert agree(own, defaults(AdaptConfig), defaults(TrainableConfig)) >= {"rank", "timesteps", "new_tasks"}
    assert set(get_args(study_commands.Way)) == set(WAYS)
    assert set(get_args(study_commands.Plain)) == set(PLAIN)


def test_study_scale():
    command = defaults(StudyScale)
    assert command["sizes"] == DEFAULT_SIZES
    assert command["episodes"] == EPISODES
    assert agree(command, defaults(Grid)) == {"sizes", "tokens", "seeds", "rate_power", "beyond"}


def test_adapt():
    shared = agree(defaults(Adapt), defaults(AdaptConfig), defaults(TrainableConfig))
    assert shared >= {"rank", "alpha", "parts", "steps", "timesteps", "keep", "learning_rate", "new_tasks", "how"}


def test_a_task_that_is_named_twice_counts_once():
    assert with_sets(("CartPole-v1", "Taxi-v4", "CartPole-v1"), ()) == ("CartPole-v1", "Taxi-v4")
