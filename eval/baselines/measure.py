"""Every baseline of one task, measured in a worker process; without specialists it imports no JAX."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from generalist.demonstrations.storage import Demonstrations
from generalist.envs.seeds import selection_seed
from generalist.envs.spaces import is_text, space_leaves
from generalist.envs.table import find_tasks
from generalist.envs.task import Task
from generalist.eval.baselines.constant import (
    ConstantPolicy,
    ExpertPolicy,
    RandomPolicy,
    best_constant,
    constant_candidates,
)
from generalist.eval.baselines.fit import PLAIN, drawn_steps, fit_baseline, steps_of
from generalist.eval.report.record import PolicyRecord
from generalist.play.rollout import rollout

MOST_ACTIONS = 200_000
"""Constant actions are looked for among those of at most so many steps."""
SLOTS = 16
"""Environments at once; results do not depend on it."""


def begin_worker() -> None:
    """Keep linear algebra of this process to one thread, because the others are busy."""
    from threadpoolctl import threadpool_limits

    os.environ["OMP_NUM_THREADS"] = "1"
    threadpool_limits(1)


def measure_ends(task: Task, seeds: Sequence[int]) -> dict[str, PolicyRecord]:
    """Random play and, where the task has one, the expert: the two ends of normalised scores."""
    records = {"random": PolicyRecord.of(rollout(task, RandomPolicy(), seeds, slots=SLOTS))}
    if task.expert is not None:
        records["expert"] = PolicyRecord.of(rollout(task, ExpertPolicy(task), seeds, slots=SLOTS))
    return records


def measure_baselines(
    task: str | Task,
    demonstrations: Path,
    seeds: Sequence[int],
    episodes: Sequence[int] | None = None,
    *,
    selection_episodes: int,
) -> dict[str, PolicyRecord]:
    """Random, expert, best constant action, linear policy and nearest neighbour on the same seeds.

    The expert is left out where the task has none; what needs demonstrations, where there are none; the linear policy,
    where an action is text.

    Args:
        demonstrations: folder of the task's data set.
        episodes: numbers of the episodes that may be learned from; all by default.
        selection_episodes: episodes per candidate on which the constant is chosen.
    """
    [task] = find_tasks(task)
    records = measure_ends(task, seeds)
    if not demonstrations.exists():
        return records
    opened = Demonstrations.open(demonstrations)
    chosen, details = _constant(task, opened, selection_episodes, episodes)
    records["constant"] = PolicyRecord.of(rollout(task, chosen, seeds, slots=SLOTS), **details)
    names = [name for name in PLAIN if name != "linear" or not _writes(opened)]
    return records | _played(names, task, opened, seeds, episodes)


def measure_specialist(
    name: str, task: str | Task, demonstrations: Path, seeds: Sequence[int], episodes: Sequence[int] | None = None
) -> dict[str, PolicyRecord]:
    """The MLP or GRU of this task alone; none without demonstrations or where an action is text. Arguments as there."""
    [task] = find_tasks(task)
    if not demonstrations.exists() or _writes(opened := Demonstrations.open(demonstrations)):
        return {}
    keep_jax_small()
    return _played((name,), task, opened, seeds, episodes)


def keep_jax_small() -> None:
    """In a worker: one thread, and no accelerator, which is the agent's. JAX that is there already stays as it is."""
    if "jax" not in sys.modules:
        os.environ["PJRT_NPROC"] = "1"
        os.environ["JAX_PLATFORMS"] = "cpu"
    from generalist.agent.compilation import keep_compilations

    keep_compilations()


def _writes(demonstrations: Demonstrations) -> bool:
    """Whether an action is text, of which there are too many for a class each."""
    return any(is_text(leaf) for _, leaf in space_leaves(demonstrations.action_space))


def _constant(
    task: Task, demonstrations: Demonstrations, selection_episodes: int, episodes: Sequence[int] | None
) -> tuple[ConstantPolicy, dict]:
    columns = demonstrations.columns(quiet=True)
    steps = drawn_steps(steps_of(columns, episodes), MOST_ACTIONS)
    chosen = best_constant(
        task,
        constant_candidates(demonstrations.action_space, columns.actions(steps)),
        [selection_seed(episode) for episode in range(selection_episodes)],
        slots=SLOTS,
    )
    count = len(columns.lengths if episodes is None else episodes)
    details = {"action": chosen.action, "choice": chosen.name, "fitted_on": len(steps), "fitted_on_episodes": count}
    return chosen, details


def _played(
    names: Sequence[str],
    task: Task,
    demonstrations: Demonstrations,
    seeds: Sequence[int],
    episodes: Sequence[int] | None,
) -> dict[str, PolicyRecord]:
    records = {}
    for name in names:
        fitted = fit_baseline(name, demonstrations, episodes)
        records[name] = PolicyRecord.of(rollout(task, fitted.policy, seeds, slots=SLOTS), **fitted.details)
    return records
