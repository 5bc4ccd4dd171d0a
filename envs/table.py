"""The task table: the rows of every family, with the reference scores of references.json."""

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
from generalist.envs.reference import load_references
from generalist.envs.task import Task

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
