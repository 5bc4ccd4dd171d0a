"""How long the episodes of a task take: what takes longest starts first."""

import time

from generalist.envs.failures import is_of_one_part
from generalist.envs.files import staying_here
from generalist.envs.seeds import selection_seed
from generalist.envs.task import Task


def slowness(task: Task) -> float:
    """Seconds that the longest episode of a task takes, or 0 where its environment fails, which its parts will tell."""
    try:
        with staying_here():
            return _seconds(task)
    except BaseException as error:
        if not is_of_one_part(error):
            raise
        return 0.0


def _seconds(task: Task, steps: int = 20) -> float:
    """From a few random steps: what takes longest starts first."""
    env = task.make()
    env.reset(seed=selection_seed(0))
    begun = time.perf_counter()
    for _ in range(steps):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset(seed=selection_seed(0))
    seconds = time.perf_counter() - begun
    env.close()
    return task.horizon * seconds / steps
