"""Which reset seeds belong to demonstrations, to evaluation and to choosing settings: three disjoint blocks.

An agent is never scored on an episode it was shown, and never on one that its settings were chosen on. A reset seed
fixes an episode completely (see `generalist.envs.task.Task`), so disjoint seeds are disjoint episodes.

    [0, 2**30)                demonstrations
    [2**30, 3 * 2**29)        evaluation
    [3 * 2**29, 2**31)        selection of settings
"""

from functools import cache

import numpy as np

DEMONSTRATION_BLOCK = (0, 2**30)
EVALUATION_BLOCK = (2**30, 3 * 2**29)
SELECTION_BLOCK = (3 * 2**29, 2**31)


def demonstration_seed(seed: int, episode: int) -> int:
    """Reset seed of demonstration `episode` (0-based) of the collection with the given `seed` (any integer >= 0).

    The episodes of one collection are consecutive seeds from a place hashed from `seed`, so they never repeat.
    """
    size = DEMONSTRATION_BLOCK[1]
    return (_start(_checked("seed", seed)) + _checked("episode", episode, size)) % size


def evaluation_seed(episode: int) -> int:
    """Reset seed of evaluation episode `episode` (0-based). The same for every agent, baseline and training seed."""
    return _inside(EVALUATION_BLOCK, episode)


def selection_seed(episode: int) -> int:
    """Reset seed of episode `episode` (0-based) on which settings are compared and chosen."""
    return _inside(SELECTION_BLOCK, episode)


def _inside(block: tuple[int, int], episode: int) -> int:
    start, stop = block
    return start + _checked("episode", episode, stop - start)


@cache
def _start(seed: int) -> int:
    return int(np.random.SeedSequence(seed).generate_state(1)[0]) % DEMONSTRATION_BLOCK[1]


def _checked(name: str, value: int, stop: int | None = None) -> int:
    if value < 0 or (stop is not None and value >= stop):
        bound = "at least 0" if stop is None else f"in [0, {stop})"
        raise ValueError(f"{name} must be {bound}, got {value}")
    return int(value)
