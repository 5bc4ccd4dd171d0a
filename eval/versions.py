"""Versions of the packages that the numbers of an evaluation depend on."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from generalist.envs.gym_task import distributions
from generalist.envs.reference import packages_of
from generalist.envs.task import GYM_PREFIX, Task

PACKAGES = (
    "generalist",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "grain",
    "gymnasium",
    "numpy",
    "scipy",
    "mujoco",
    "metaworld",
    "minigrid",
    "scikit-learn",
    "sacrebleu",
)


class Named(Protocol):
    @property
    def id(self) -> str: ...


def versions_of(tasks: Iterable[Named]) -> dict[str, str]:
    """Of all of `PACKAGES`, and of those that hold the tasks' own environments; what is not installed is left out."""
    theirs = [name for task in tasks if task.id.startswith(GYM_PREFIX) for name in distributions(task.id)]
    return _installed((*PACKAGES, *theirs))


def episode_versions(task: Task) -> dict[str, str]:
    """Of what an episode of the task is made of: the environment, not the agent that plays it."""
    theirs = distributions(task.id) if task.id.startswith(GYM_PREFIX) else ()
    return _installed(("generalist", *packages_of(task), *theirs))


def _installed(names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in dict.fromkeys(names):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
