"""Which tasks of an evaluation are played, and which are measured on demonstrations alone, and why."""

import os
from collections.abc import Iterable
from contextlib import closing

import gymnasium as gym
from gymnasium import spaces

from generalist.demonstrations.data_folder import is_recorded
from generalist.envs.failures import is_of_one_part
from generalist.envs.files import staying_here
from generalist.envs.spaces import is_text, path_name, space_leaves
from generalist.envs.table import find_task, task_in_file
from generalist.envs.task import Task, UnknownTask
from generalist.envs.task_spaces import stored_spaces
from generalist.envs.trust import UntrustedModule, trust_task
from generalist.play.agent import Agent
from generalist.train.made_here import is_made_here

NO_ENVIRONMENT = "no environment plays it"
ASKED = "measured offline, as asked"


def split_tasks(
    agent: Agent,
    tasks: str | Task | Iterable[str | Task],
    data: str | os.PathLike[str],
    *,
    offline: bool = False,
) -> tuple[tuple[Task, ...], dict[str, str]]:
    """The tasks that are played, and by id, why, those that are measured on demonstrations.

    Args:
        tasks: by id or as they are; none are those that the agent was trained on.
        offline: all are measured on demonstrations.

    Raises:
        UntrustedModule: the run names a module that is not trusted, see `generalist.envs.trust`.
        UnknownTask: neither the table nor Gymnasium knows it, and `data` has no demonstrations of it.
    """
    for id in agent.tasks if is_made_here(agent.run.directory) else ():
        trust_task(id)
    several = (tasks,) if isinstance(tasks, str | Task) else tuple(tasks)
    played: list[Task] = []
    measured: dict[str, str] = {}
    for each in several or agent.tasks:
        id = each if isinstance(each, str) else each.id
        if offline:
            measured[id] = ASKED
            continue
        try:
            task = each if isinstance(each, Task) else find_task(each) if several else task_in_file(each)
        except UntrustedModule as untrusted:
            raise UntrustedModule(f"{untrusted}, or measure it on demonstrations alone (offline)") from None
        except UnknownTask:
            if not is_recorded(data, id):
                raise
            measured[id] = NO_ENVIRONMENT
            continue
        if differs := _differs(agent, task):
            measured[id] = f"its environment has other spaces: {differs}"
        else:
            played.append(task)
    return tuple(played), measured


def _differs(agent: Agent, task: Task) -> str:
    """How the spaces of a task's environment differ from those of its training data; "" where an agent can play it."""
    if task.id not in agent.tasks:
        return ""
    layout, _ = agent.layout(task.id)
    theirs = stored_spaces().get(task.id)
    if theirs is None:
        try:
            with staying_here(), closing(task.make()) as env:
                theirs = env.observation_space, env.action_space
        except BaseException as error:
            if not is_of_one_part(error):
                raise
            return ""  # playing it will tell what is wrong
    pairs = zip(("observation", "action"), (layout.observation_space, layout.action_space), theirs, strict=True)
    return "; ".join(filter(None, (_difference(*pair) for pair in pairs)))


def _difference(part: str, ours: gym.Space, theirs: gym.Space) -> str:
    here, there = dict(space_leaves(ours)), dict(space_leaves(theirs))
    if set(here) != set(there):
        names = [
            ", ".join(path_name(path) or "one value" for path in sorted(found, key=str)) for found in (here, there)
        ]
        return f"the {part}s of the data have {names[0]}, those of the environment {names[1]}"
    for path, leaf in here.items():
        if _size(leaf) != _size(there[path]):
            return f"{part}{path_name(path)} of the data is {leaf}, of the environment {there[path]}"
    return ""


def _size(leaf: gym.Space) -> tuple:
    """What must be equal for one to stand for the other; bounds need not be."""
    if is_text(leaf):
        return ("text",)
    if isinstance(leaf, spaces.Discrete):
        return "discrete", int(leaf.n), int(leaf.start)
    if isinstance(leaf, spaces.MultiDiscrete):
        return "discrete", leaf.nvec.tolist()
    return ("binary" if isinstance(leaf, spaces.MultiBinary) else "numbers", leaf.shape)
