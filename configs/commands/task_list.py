"""What the commands about tasks print: filters over the table, rows, and tokens per timestep in two layouts."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

import gymnasium as gym
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from generalist.configs.commands.terminal import console
from generalist.envs import reference, task_spaces
from generalist.envs.gato_control import GATO_CONTROL
from generalist.envs.reference import Measurement, Order, measure_all, store_reference
from generalist.envs.sets import SETS, has_good_expert, task_set
from generalist.envs.table import all_tasks, find_task
from generalist.envs.task import Reference, Task, UnknownTask, nearest_ids
from generalist.envs.task_spaces import kinds, store_spaces, stored_spaces, summary
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.options import LayoutOptions
from generalist.tokenizers.text import ByteTokenizer
from generalist.tokenizers.vocabulary import Vocabulary

REFERENCES, SPACES = reference.PATH, task_spaces.PATH
LAYOUTS = {
    "tokens_gato": LayoutOptions(),
    "tokens_short": LayoutOptions(continuous="vector", images="conv", separator=False),
}
"""The paper's layout, and the shortest: one token per array and per image."""


def named(ids: Sequence[str], sets: Sequence[str]) -> tuple[Task, ...]:
    """The tasks of these ids and sets, each once, as its last set has it. Raises UnknownTask with the nearest names."""
    tasks = [*(find_task(id) for id in ids), *(task for name in sets for task in task_set(name))]
    return tuple({task.id: task for task in tasks}.values())


def chosen(
    *,
    words: Sequence[str] = (),
    families: Sequence[str] = (),
    sets: Sequence[str] = (),
    observation: str | None = None,
    action: str | None = None,
    good_expert: bool = False,
) -> list[Task]:
    """The tasks that fit all filters, in the order of the table.

    Raises:
        UnknownTask: an unknown family or set, with the nearest ones.
    """
    there = list(dict.fromkeys(task.family for task in all_tasks()))
    for family in families:
        if family not in there:
            near = nearest_ids(family, there) or there
            raise UnknownTask(f"unknown family {family!r}: the nearest are {', '.join(near)}")
    in_sets = {task.id for name in sets for task in task_set(name)}

    def fits(task: Task) -> bool:
        text = " ".join((task.id, task.family, task.provenance, task.note)).lower()
        spaces = stored_spaces().get(task.id)
        return (
            all(word.lower() in text for word in words)
            and (not families or task.family in families)
            and (not sets or task.id in in_sets)
            and (observation is None or (spaces is not None and observation in kinds(spaces[0])))
            and (action is None or (spaces is not None and action in kinds(spaces[1])))
            and (not good_expert or has_good_expert(task))
        )

    return [task for task in all_tasks() if fits(task)]


def record(task: Task) -> dict[str, Any]:
    """Everything about a task, for JSON."""
    fields = ("id", "family", "horizon", "score", "has_success", "episodes", "noise", "extra", "provenance", "note")
    spaces = stored_spaces().get(task.id)
    return {name: getattr(task, name) for name in fields} | {
        "observation": summary(spaces[0]) if spaces else None,
        "action": summary(spaces[1]) if spaces else None,
        **tokens(task),
        "has_expert": task.expert is not None,
        "good_expert": has_good_expert(task),
        "random": _reference(task.random_reference),
        "expert": _reference(task.expert_reference),
        "published": [asdict(score) for score in task.published],
        "sets": [name for name in SETS if name != "all" and task.id in _members(name)],
    }


def row(task: Task) -> dict[str, Any]:
    """A line of the table."""
    spaces = stored_spaces().get(task.id)
    expert, random = task.expert_reference, task.random_reference
    return {
        "task": task.id,
        "observation": summary(spaces[0]) if spaces else None,
        "action": summary(spaces[1]) if spaces else None,
        "horizon": task.horizon,
        "tokens": "/".join(str(count) for count in tokens(task).values() if count is not None) or None,
        "random": random and random.mean,
        "expert": expert and expert.mean,
        "success": expert and expert.success,
        "note": task.note,
    }


def family_rows() -> list[dict[str, Any]]:
    """A line for each family."""
    families: dict[str, list[Task]] = {}
    for task in all_tasks():
        families.setdefault(task.family, []).append(task)
    return [
        {
            "family": family,
            "tasks": len(tasks),
            "good experts": sum(map(has_good_expert, tasks)),
            "extra": tasks[0].extra or "-",
            "for example": tasks[0].id,
        }
        for family, tasks in families.items()
    ]


def set_rows() -> list[dict[str, Any]]:
    """A line for each named set."""
    return [{"set": name, "tasks": len(_members(name)), "meaning": each.meaning} for name, each in SETS.items()]


def gato_rows() -> list[dict[str, Any]]:
    """A line for each of the paper's control data sets."""
    return [
        {
            "data set": each.name,
            "tasks": each.tasks,
            "episodes": each.episodes,
            "weight %": each.weight,
            "here": len(each.rows()),
            "ids": ", ".join(f"{prefix}..." for prefix in each.prefixes) or "-",
            "note": each.note,
        }
        for each in GATO_CONTROL
    ]


def tokens(task: Task) -> dict[str, int | None]:
    """The most tokens of a timestep in each of `LAYOUTS`; None where spaces are not stored or a layout refuses them."""
    spaces = stored_spaces().get(task.id)
    return {name: _tokens(spaces, options) if spaces else None for name, options in LAYOUTS.items()}


def store(measurement: Measurement) -> None:
    """Put a measured reference and the task's spaces into this installation's table."""
    order = [task.id for task in all_tasks()]
    store_reference(measurement, order, REFERENCES)
    store_spaces([measurement.task], order, SPACES)


def measurement_row(one: Measurement) -> dict[str, Any]:
    gap = one.difference
    return {
        "task": one.task.id,
        "policy": one.policy,
        "episodes": one.measured.episodes,
        "stored": one.stored and one.stored.mean,
        "measured": one.measured.mean,
        "difference": gap and f"{gap[0]:+.3g} +- {gap[1]:.3g}",
        "success": one.measured.success,
        "CPU s": one.measured.seconds,
        "verdict": {None: "not stored", True: "agrees", False: "differs"}[one.agrees],
    }


def measurement_record(one: Measurement) -> dict[str, Any]:
    return measurement_row(one) | {"reference": asdict(one.measured)}


def measure_with_bar(orders: Sequence[Order], workers: int, keep: Callable[[Measurement], None]) -> None:
    """Measure with a progress bar on stderr."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()
    times = TimeElapsedColumn(), TimeRemainingColumn(compact=True)
    with Progress(*columns, *times, console=console(stderr=True)) as progress:
        line = progress.add_task("episodes", total=sum(order.episodes for order in orders))
        measure_all(
            orders,
            workers=workers,
            on_measured=keep,
            on_progress=lambda order, episodes, steps: progress.update(
                line, advance=episodes, description=f"{order.task.id} ({order.policy})"
            ),
        )


def _reference(reference: Reference | None) -> dict[str, Any] | None:
    return None if reference is None else asdict(reference)


@cache
def _members(name: str) -> frozenset[str]:
    return frozenset(SETS[name].ids())


def _tokens(spaces: tuple[gym.Space, gym.Space], options: LayoutOptions) -> int | None:
    try:
        layout = Layout.from_spaces(*spaces, vocabulary=Vocabulary(), text=ByteTokenizer(), options=options)
        return layout.max_tokens
    except ValueError:
        return None
