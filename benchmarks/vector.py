"""Atari environments at once: steps per second of a rollout's loop over them, and of envpool's batches in C++.

The same preprocessing: grey 84x84, the maximum of two frames, four frames a step, sticky actions 0.25, all actions, no
end at a lost life, no stack. Yet envpool does not stand in for the loop, because a seed would be another episode: it
begins each by a frame without an action at least, and the next one by itself, without a seed of its own. (After that
frame, and without sticky actions, up to 300 steps of each game had the same rewards, and 0.02% of the pixels at most
differed by rounding.) The loop runs in one process on one core; an evaluation may have several (`workers`).
"""

import os
import sys
import time

import numpy as np
from common import parser, save

from generalist.envs.envpool_task import package
from generalist.envs.families.atari import HORIZON, STICKY, make
from generalist.envs.seeds import evaluation_seed

GAMES = ("Pong", "Breakout", "Seaquest")
SETTINGS = {
    "stack_num": 1,
    "noop_max": 1,
    "use_fire_reset": False,
    "repeat_action_probability": STICKY,
    "full_action_space": True,
    "max_episode_steps": HORIZON,
}


def loop(game: str, count: int, steps: int) -> float:
    """Steps per second of all environments together, one after the other, as a rollout steps them."""
    envs = [make(game) for _ in range(count)]
    for number, env in enumerate(envs):
        env.reset(seed=evaluation_seed(number))
    actions = np.random.default_rng(0).integers(envs[0].action_space.n, size=(steps, count))
    begun = time.perf_counter()
    for row in actions:
        for env, action in zip(envs, row, strict=True):
            *_, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
    spent = time.perf_counter() - begun
    for env in envs:
        env.close()
    return steps * count / spent


def batch(game: str, count: int, steps: int, threads: int) -> float:
    """The same of a batch of envpool's."""
    pool = package().make_gymnasium(f"{game}-v5", num_envs=count, num_threads=threads, seed=0, **SETTINGS)
    pool.reset()
    actions = np.random.default_rng(0).integers(pool.action_space.n, size=(steps, count)).astype(np.int32)
    begun = time.perf_counter()
    for row in actions:
        pool.step(row)
    spent = time.perf_counter() - begun
    pool.close()
    return steps * count / spent


def main() -> None:
    given = parser(__doc__.split("\n")[0]).parse_args()
    count, steps = (4, 20) if given.small else (64, 200)
    rows = []
    for game in GAMES[: 1 if given.small else None]:
        # In turn, the medians of three, because neighbours slow the machine down for seconds at a time.
        tries = [
            (loop(game, count, steps), batch(game, count, steps, 1), batch(game, count, steps, os.cpu_count() or 1))
            for _ in range(1 if given.small else 3)
        ]
        ours, one, all_cores = np.median(tries, axis=0).tolist()
        rows.append(
            {
                "game": game,
                "environments": count,
                "loop steps/s": ours,
                "envpool, 1 thread, steps/s": one,
                "envpool, a thread a core, steps/s": all_cores,
                "envpool, 1 thread, of the loop": one / ours,
                "envpool, a thread a core, of the loop": all_cores / ours,
            }
        )
        print(rows[-1], file=sys.stderr)
    save(given.out, "vector", rows)


if __name__ == "__main__":
    main()
