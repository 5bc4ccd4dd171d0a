"""Every baseline of one task, measured in a worker process that imports no JAX."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from generalist.demonstrations.columns import Columns
from generalist.demonstrations.storage import Demonstrations
from generalist.envs.seeds import selection_seed
from generalist.envs.spaces import is_text, space_leaves
from generalist.envs.table import find_tasks
from generalist.envs.task import Task
from generalist.eval.baselines.constant import ExpertPolicy, RandomPolicy, best_constant, constant_candidates
from generalist.eval.baselines.fitted import fit_linear, fit_nearest_neighbour, most_steps
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


def drawn_steps(columns: Columns, most: int) -> np.ndarray:
    """At most so many steps of a data set, int64 and ascending, drawn uniformly without replacement."""
    return np.sort(np.random.default_rng(0).permutation(len(columns))[:most])


def measure_ends(task: Task, seeds: Sequence[int]) -> dict[str, PolicyRecord]:
    """Random play and, where the task has one, the expert: the two ends of normalised scores."""
    records = {"random": PolicyRecord.of(rollout(task, RandomPolicy(), seeds, slots=SLOTS))}
    if task.expert is not None:
        records["expert"] = PolicyRecord.of(rollout(task, ExpertPolicy(task), seeds, slots=SLOTS))
    return records


def measure_baselines(
    task: str | Task, demonstrations: Path, seeds: Sequence[int], selection_episodes: int
) -> dict[str, PolicyRecord]:
    """Random, expert, best constant action, linear policy and nearest neighbour on the same seeds.

    The expert is left out where the task has none; what needs demonstrations, where there are none, or where an action
    is text, for which there is no linear policy.
    """
    [task] = find_tasks(task)
    records = measure_ends(task, seeds)
    if not demonstrations.exists():
        return records
    opened = Demonstrations.open(demonstrations)
    if any(is_text(leaf) for _, leaf in space_leaves(opened.action_space)):
        return records
    columns = opened.columns(quiet=True)
    spaces = opened.observation_space, opened.action_space
    chosen = best_constant(
        task,
        constant_candidates(opened.action_space, columns.actions(drawn_steps(columns, MOST_ACTIONS))),
        [selection_seed(episode) for episode in range(selection_episodes)],
        slots=SLOTS,
    )
    records["constant"] = PolicyRecord.of(
        rollout(task, chosen, seeds, slots=SLOTS), action=chosen.action, choice=chosen.name
    )
    shown, actions = columns.take(drawn_steps(columns, most_steps(opened.observation_space)))
    for name, fit in (("linear", fit_linear), ("nearest_neighbour", fit_nearest_neighbour)):
        policy = fit(*spaces, shown, actions)
        records[name] = PolicyRecord.of(rollout(task, policy, seeds, slots=SLOTS), fitted_on=policy.steps)
    return records
