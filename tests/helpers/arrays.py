"""Steps given as arrays, kept as the columns that training reads."""

import atexit
import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.demonstrations.columns import Columns
from generalist.demonstrations.columns_writer import write_columns
from generalist.envs.spaces import space_leaves, take, value_at

_NUMBERS = itertools.count()
_FOLDER = Path(tempfile.mkdtemp(prefix="columns-"))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)


def columns_of(
    observation_space: gym.Space,
    action_space: gym.Space,
    observations: Any,
    actions: Any,
    lengths: Any = None,
    rewards: Any = None,
) -> Columns:
    """Stacked steps of episodes end to end (one episode by default), without rewards if none are given."""
    leaves = [(observations, path) for path, _ in space_leaves(observation_space)]
    leaves += [(actions, path) for path, _ in space_leaves(action_space)]
    total = len(value_at(*leaves[0]))
    lengths = np.array([total] if lengths is None else lengths, np.int64)
    ends = np.cumsum(lengths)
    given = np.zeros(total) if rewards is None else np.asarray(rewards)
    pieces = [
        (
            episode,
            [take(value_at(tree, path), np.arange(end - length, end)) for tree, path in leaves],
            given[end - length : end],
        )
        for episode, (end, length) in enumerate(zip(ends, lengths, strict=True))
    ]
    path = _FOLDER / f"{next(_NUMBERS)}.columns"
    write_columns(path, observation_space, action_space, lengths, pieces, made_from="a test")
    return Columns(path)
