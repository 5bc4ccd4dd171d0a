"""Atari environments at once: steps per second of a rollout's loop over them, and of envpool's batches in C++.

The same preprocessing: grey 84x84, the maximum of two frames, four frames a step, sticky actions 0.25, all actions, no
end at a lost life, no stack. Yet envpool does not stand in for the loop, because a seed would be another episode: it
begins each by a frame without an action at least, and the next one by itself, without a seed of its own. (After that
frame, and without sticky actions, up to 300 steps of each game had the same rewards, and 0.02% of the pixels at most
differed by rounding.) The loop runs on one core, and an evaluation may have several processes of it (`workers`); the
batch has a thread for each core. Processor time leaves out what other programs on the machine take.
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


def clocks() -> np.ndarray:
    """Seconds: on the wall, and of this process's processors, all of its threads together."""
    return np.array([time.perf_counter(), time.process_time()])


def loop(game: str, count: int, steps: int) -> np.ndarray:
    """Steps per second (`clocks`) of all environments together, one after the other, as a rollout steps them."""
    envs = [make(game) for _ in range(count)]
    for number, env in enumerate(envs):
        env.reset(seed=evaluation_seed(number))
    actions = np.random.default_rng(0).integers(envs[0].action_space.n, size=(steps, count))
    begun = clocks()
    for row in actions:
        for env, action in zip(envs, row, strict=True):
            *_, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
    spent = clocks() - begun
    for env in envs:
        env.close()
    return steps * count / spent


def batch(game: str, count: int, steps: int) -> np.ndarray:
    """The same of a batch of envpool's."""
    threads = os.cpu_count() or 1
    pool = package().make_gymnasium(f"{game}-v5", num_envs=count, num_threads=threads, seed=0, **SETTINGS)
    pool.reset()
    actions = np.random.default_rng(0).integers(pool.action_space.n, size=(steps, count)).astype(np.int32)
    begun = clocks()
    for row in actions:
        pool.step(row)
    spent = clocks() - begun
    pool.close()
    return steps * count / spent


def main() -> None:
    given = parser(__doc__.split("\n")[0]).parse_args()
    count, steps = (4, 20) if given.small else (64, 100)
    rows = []
    for game in GAMES[: 1 if given.small else None]:
        # In turn, the medians of three, because neighbours slow the machine down for seconds at a time.
        tries = [(loop(game, count, steps), batch(game, count, steps)) for _ in range(1 if given.small else 3)]
        (ours, ours_cpu), (theirs, theirs_cpu) = np.median(tries, axis=0).tolist()
        rows.append(
            {
                "game": game,
                "environments": count,
                "loop steps/s": ours,
                "envpool steps/s": theirs,
                "envpool / loop": theirs / ours,
                "loop steps/CPU s": ours_cpu,
                "envpool steps/CPU s": theirs_cpu,
                "envpool / loop, CPU": theirs_cpu / ours_cpu,
            }
        )
        print(rows[-1], file=sys.stderr)
    save(given.out, "vector", rows)


if __name__ == "__main__":
    main()
