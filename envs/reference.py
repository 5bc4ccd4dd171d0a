"""Reference scores: what a uniformly random policy and the expert reach, measured on the evaluation seeds.

`python -m generalist.envs.reference [TASK ...]` measures the given tasks (default: all) and updates references.json
beside this file.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np

from generalist.envs.seeds import evaluation_seed
from generalist.envs.task import ActionFunction, Reference, Task, all_tasks, find_task

PATH = Path(__file__).with_name("references.json")
EPISODES = 100
SLOW_EPISODES = 50
"""Episodes of Meta-World, whose random episodes are 500 steps of simulation."""

_PACKAGES = {"babyai": ("minigrid",), "mujoco": ("mujoco",), "metaworld": ("metaworld", "mujoco")}


def load_references(path: Path = PATH) -> dict[str, dict[str, Reference]]:
    """{task id: {"random_reference": ..., "expert_reference": ...}}, ready for `dataclasses.replace` on a Task."""
    rows = json.loads(path.read_text()) if path.exists() else {}
    return {
        id: {f"{policy}_reference": Reference(**fields) for policy, fields in row.items()} for id, row in rows.items()
    }


def measure(task: Task, policy: Literal["random", "expert"], episodes: int) -> Reference:
    """Scores of a policy over the first `episodes` evaluation seeds: returns, and successes where the task has them."""
    env = task.make()
    returns, successes = [], []
    for episode in range(episodes):
        total, success = _play(env, task, policy, evaluation_seed(episode))
        returns.append(total)
        successes.append(success)
    env.close()
    packages = ("gymnasium", "numpy", *_PACKAGES.get(task.family, ()))
    return Reference(
        mean=float(np.mean(returns)),
        std=float(np.std(returns)),
        episodes=episodes,
        first_seed=evaluation_seed(0),
        success=float(np.mean(successes)) if task.has_success else None,
        versions={package: version(package) for package in packages},
    )


def random_policy(env: gym.Env, seed: int) -> ActionFunction:
    """Uniformly random actions, fixed by the seed."""
    env.action_space.seed(seed)
    return lambda observation: env.action_space.sample()


def _play(env: gym.Env, task: Task, policy: str, seed: int) -> tuple[float, bool]:
    observation, _ = env.reset(seed=seed)
    if policy == "random":
        act = random_policy(env, seed)
    elif task.expert is not None:
        act = task.expert(env)
    else:
        raise ValueError(f"{task.id} has no expert: only its random policy can be measured")
    total, success, over = 0.0, False, False
    while not over:
        observation, reward, terminated, truncated, info = env.step(act(observation))
        total += float(reward)
        success |= bool(info.get("success", False))
        over = terminated or truncated
    return total, success


def main(ids: list[str]) -> None:
    rows: dict[str, Any] = json.loads(PATH.read_text()) if PATH.exists() else {}
    for task in [find_task(id) for id in ids] or all_tasks():
        episodes = SLOW_EPISODES if task.family == "metaworld" else EPISODES
        rows[task.id] = {policy: vars(measure(task, policy, episodes)) for policy in ("random", "expert")}
        summary = {policy: round(row["mean"], 3) for policy, row in rows[task.id].items()}
        print(task.id, summary, flush=True)
    order = [task.id for task in all_tasks()]
    PATH.write_text(json.dumps({id: rows[id] for id in order if id in rows}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
