"""The task table: the rows of every family, with the reference scores of references.json, and how to find a task."""

from collections.abc import Iterable
from dataclasses import replace

from generalist.envs.families import (
    atari,
    babyai,
    box2d,
    classic_control,
    dm_control,
    libero,
    libero_pixels,
    metaworld,
    minigrid,
    miniwob,
    mujoco,
    myosuite,
    playground,
    procgen,
    robotics,
    sokoban,
    textworld,
    toy_text,
    vizdoom,
)
from generalist.envs.gym_task import gym_task
from generalist.envs.reference import load_references
from generalist.envs.task import GYM_PREFIX, Task, UnknownTask, nearest_ids
from generalist.envs.trust import trust_task

FAMILIES = (
    classic_control,
    toy_text,
    box2d,
    mujoco,
    dm_control,
    metaworld,
    robotics,
    libero,
    libero_pixels,
    babyai,
    minigrid,
    miniwob,
    sokoban,
    atari,
    procgen,
    textworld,
    vizdoom,
    playground,
    myosuite,
)
"""In the order in which tasks are listed; a module may hold several families."""


def _with_references(rows: tuple[Task, ...]) -> tuple[Task, ...]:
    references = load_references()
    return tuple(replace(row, **references.get(row.same_episodes_as or row.id, {})) for row in rows)


TASKS: tuple[Task, ...] = _with_references(tuple(task for family in FAMILIES for task in family.TASKS))


def all_tasks() -> tuple[Task, ...]:
    """Every task of the table, in its order: family by family. No environment is made.

    Example:
        >>> import generalist
        >>> tasks = generalist.all_tasks()
        >>> len(tasks) > 500
        True
        >>> [task.id for task in tasks if task.family == "toy_text"][:3]
        ['Taxi-v4', 'FrozenLake8x8-v1', 'CliffWalking-v1']
    """
    return TASKS


def find_tasks(tasks: str | Task | Iterable[str | Task]) -> tuple[Task, ...]:
    """One task or several, by id or as they are, in the order given. Raises as `find_task`."""
    several = (tasks,) if isinstance(tasks, str | Task) else tuple(tasks)
    return tuple(find_task(task) if isinstance(task, str) else task for task in several)


def find_task(id: str) -> Task:
    """The task of that id: a row of the table, or any id registered with Gymnasium as "gym:<id>".

    "gym:module:Id-v0" imports `module` first, as `gymnasium.make` does. So this is for ids that the user gives; those
    that a file holds are for `task_in_file`.

    Raises:
        UnknownTask: a ValueError: no such id; lists the nearest ones.
        MissingExtra: (from `task.make`) a package of an optional extra is not installed; says how to install it.

    Example:
        >>> import generalist
        >>> task = generalist.find_task("CartPole-v1")
        >>> task.family, task.score, task.horizon
        ('classic_control', 'return', 500)
        >>> env = task.make()
        >>> observation, info = env.reset(seed=0)
        >>> observation.shape
        (4,)
        >>> generalist.find_task("gym:CartPole-v0").horizon
        200
        >>> generalist.find_task("CartPol-v1")
        Traceback (most recent call last):
        generalist.envs.task.UnknownTask: unknown task 'CartPol-v1': the nearest are CartPole-v1...
    """
    trust_task(id)
    return task_in_file(id)


def family_of(id: str) -> str:
    """The family of a task's id, whether or not there is such a task: of others than the table's, what stands before
    the first "/" or ":".
    """
    families = {task.id: task.family for task in TASKS}
    return families.get(id) or id.replace(":", "/").partition("/")[0]


def task_in_file(id: str) -> Task:
    """The task of an id that stands in a data set, a run or a configuration: it has no module imported.

    Raises:
        UntrustedModule: an UnknownTask: it names a module that is neither trusted nor imported, see
            `generalist.envs.trust`.
        UnknownTask: as for `find_task`.
    """
    if id.startswith(GYM_PREFIX):
        return gym_task(id)
    for task in TASKS:
        if task.id == id:
            return task
    near = nearest_ids(id, [task.id for task in TASKS])
    hint = f"the nearest are {', '.join(near)}" if near else "`generalist tasks` lists all"
    raise UnknownTask(
        f"unknown task {id!r}: {hint}; any Gymnasium id works as {GYM_PREFIX}<id> or {GYM_PREFIX}<module>:<id>"
    )
