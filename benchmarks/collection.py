"""What recording costs: steps per second of `collect` over those of the bare environment with the same expert.

The bare loop makes the environment, resets, asks the expert and steps, and keeps nothing. Ours plays the same episodes,
checks and stacks all values, writes them, reads the shard back and indexes it. One process, in turn, the median of
several pairs. Processor time leaves out waiting for the disk, and what other programs on the machine take.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from common import parser, save

from generalist.demonstrations.collect import ShardJob, record_shard
from generalist.demonstrations.record import find_policy
from generalist.envs.seeds import demonstration_seed
from generalist.envs.table import find_task
from generalist.envs.task import Task

TASKS = {
    "CartPole-v1": 200,
    "Taxi-v4": 6000,
    "LunarLander-v3": 60,
    "Reacher-v5": 300,
    "dm_control/cartpole-swingup": 4,
    "dm_control_pixels/cartpole-swingup": 1,
    "metaworld/push-v3": 30,
    "FetchReach-v4": 150,
    "babyai/GoToObj": 300,
    "babyai_symbolic/GoToObj": 300,
    "minigrid/DoorKey-8x8": 60,
    "sokoban/8x8-2box": 200,
    "atari/Pong": 1,
}
"""One of each family, and episodes for about a second; without an expert the random policy plays."""


def policy(task: Task) -> str | None:
    return None if task.expert else "random"


def clocks() -> np.ndarray:
    """Seconds: on the wall, and of this process's processors."""
    return np.array([time.perf_counter(), time.process_time()])


def bare(task: Task, episodes: int) -> tuple[np.ndarray, int]:
    """Seconds (`clocks`) and steps of the loop without recording."""
    _, factory = find_policy(task, policy(task))
    begun = clocks()
    env, steps = task.make(), 0
    for number in range(episodes):
        observation, _ = env.reset(seed=demonstration_seed(0, number))
        env.action_space.seed(demonstration_seed(0, number))
        act, over = factory(env), False
        while not over:
            observation, _, terminated, truncated, _ = env.step(act(observation))
            over, steps = terminated or truncated, steps + 1
    env.close()
    return clocks() - begun, steps


def recorded(task: Task, episodes: int) -> tuple[np.ndarray, int]:
    """The same of recording one shard."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard-00000-of-00001"
        given = {"policy": policy(task), "noise": 0.0, "seed": 0}
        job = ShardJob(task=task, shard=0, episodes=range(episodes), path=path, **given)
        begun = clocks()
        index = record_shard(job, lambda *amounts: None)
        return clocks() - begun, sum(length for length, _ in index)


def measure(task: Task, episodes: int, repeats: int) -> dict:
    bare(task, min(episodes, 2))  # imports, tables and caches
    pairs = []
    for _ in range(repeats):
        (theirs, steps), (ours, same) = bare(task, episodes), recorded(task, episodes)
        assert steps == same, "not the same episodes"
        pairs.append((theirs, ours))
    seconds = np.array(pairs)  # [repeats, 2, clocks]
    rates = steps / np.median(seconds[..., 0], axis=0)
    share = np.median(seconds[:, 0] / seconds[:, 1], axis=0)
    return {
        "task": task.id,
        "steps": steps,
        "bare steps/s": float(rates[0]),
        "collect steps/s": float(rates[1]),
        "of bare": float(share[0]),
        "of bare, processor time": float(share[1]),
    }


def main() -> None:
    options = parser(__doc__).parse_args()
    chosen = {"CartPole-v1": 2, "babyai/GoToObj": 2} if options.small else TASKS
    rows = [measure(find_task(id), episodes, 1 if options.small else 5) for id, episodes in chosen.items()]
    save(options.out, "collection", rows)


if __name__ == "__main__":
    main()
