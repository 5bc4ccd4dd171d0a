"""The task table: the rows of every family, with the reference scores of references.json, and how to find a task."""

from dataclasses import replace

from generalist.envs.families import (
    atari,
    babyai,
    box2d,
    classic_control,
    dm_control,
    metaworld,
    minigrid,
    mujoco,
    procgen,
    robotics,
    sokoban,
    toy_text,
)
from generalist.envs.gym_task import gym_task
from generalist.envs.reference import load_references
from generalist.envs.task import GYM_PREFIX, Task, UnknownTask, nearest_ids

FAMILIES = (
    classic_control,
    toy_text,
    box2d,
    mujoco,
    dm_control,
    metaworld,
    robotics,
    babyai,
    minigrid,
    sokoban,
    atari,
    procgen,
)
"""In the order in which tasks are listed; a module may hold several families."""


def _with_references(rows: tuple[Task, ...]) -> tuple[Task, ...]:
    references = load_references()
    return tuple(replace(row, **references.get(row.same_episodes_as or row.id, {})) for row in rows)


TASKS: tuple[Task, ...] = _with_references(tuple(task for family in FAMILIES for task in family.TASKS))


def all_tasks() -> tuple[Task, ...]:
    """Every task of the table, in its order: family by family."""
    return TASKS


def find_task(id: str) -> Task:
    """The task of that id: a row of the table, or any id registered with Gymnasium as "gym:<id>".

    "gym:module:Id-v0" imports `module` first, as `gymnasium.make` does.

    Raises:
        UnknownTask: no such id; lists the nearest ones.
        MissingExtra: (from `task.make`) a package of an optional extra is not installed.
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
