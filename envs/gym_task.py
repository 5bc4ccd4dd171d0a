"""Any environment id registered with Gymnasium as a task: no expert, no reference scores, the return as its score."""

import re
from functools import partial
from importlib.metadata import packages_distributions
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from generalist.envs.modules import import_from_here
from generalist.envs.task import GYM_PREFIX, Task, UnknownTask, nearest_ids
from generalist.envs.trust import check_trusted

DEFAULT_HORIZON = 1000
"""Steps after which an episode is truncated where the registration names no limit."""


def gym_task(id: str) -> Task:
    """The task of "gym:<Gymnasium id>" or "gym:<module>:<Gymnasium id>" (the module registers the id when imported).

    A module is only imported if it is trusted, see `generalist.envs.trust`. The horizon is the registration's
    `max_episode_steps`, or 1000 steps.

    Raises:
        UnknownTask: the module is not trusted or cannot be imported, or the id is not registered (with the nearest
            registered ids).
    """
    name = id.removeprefix(GYM_PREFIX)
    horizon = _spec(name).max_episode_steps or DEFAULT_HORIZON
    return Task(
        id=id,
        family="gym",
        make=partial(make_gym, name, horizon),
        expert=None,
        horizon=horizon,
        score="return",
        has_success=False,
        provenance=f"registered with Gymnasium as {name}",
    )


def make_gym(name: str, horizon: int, render_mode: str | None = None, **kwargs: Any) -> gym.Env:
    """`gymnasium.make` with a limit of `horizon` steps and without the environment checker (half the speed)."""
    if render_mode is not None:
        kwargs["render_mode"] = render_mode
    return gym.make(name, max_episode_steps=horizon, disable_env_checker=True, **kwargs)


def distributions(id: str) -> tuple[str, ...]:
    """Names of the installed distributions that hold the environment of "gym:..."; none for a module of one's own.

    Raises:
        UnknownTask: as for `gym_task`.
    """
    entry = _spec(id.removeprefix(GYM_PREFIX)).entry_point
    module = entry if isinstance(entry, str) else getattr(entry, "__module__", "")
    return tuple(dict.fromkeys(packages_distributions().get(re.split(r"[.:]", module)[0], ())))


def _spec(name: str) -> EnvSpec:
    module, _, registered = name.rpartition(":")
    if module:
        check_trusted(module)
        try:
            import_from_here(module)
        except Exception as error:  # what a stranger's module raises
            raise UnknownTask(
                f"task {GYM_PREFIX}{name}: cannot import its module {module!r}: {type(error).__name__}: {error}"
            ) from error
    try:
        return gym.spec(registered)
    except gym.error.Error as error:
        near = nearest_ids(registered, list(gym.registry))
        hint = f"the nearest registered ids are {', '.join(near)}" if near else "nothing registered is like it"
        raise UnknownTask(
            f"unknown task {GYM_PREFIX}{name}: {hint}; "
            f"an id of a package that is not imported is written {GYM_PREFIX}<module>:<id>"
        ) from error
