"""Episodes given as arrays, written as demonstrations without a look at what is in them: as older folders may be."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.demonstrations.episode import Episode, EpisodeMetadata
from generalist.demonstrations.rlds import encode_episode
from generalist.demonstrations.shards import shard_path, write_shard
from generalist.demonstrations.storage import (
    COLLECTION,
    dataset_folder,
    ensure_spaces,
    finish_collection,
    read_shard_index,
    write_json,
)


def episode_of(task: str, observations: Any, actions: Any, number: int = 0) -> Episode:
    """Observations have one row more than there are steps, actions one for each."""
    steps = len(next(iter(actions.values())) if isinstance(actions, dict) else actions)
    return Episode(
        observations=observations,
        actions=actions,
        rewards=np.zeros(steps, np.float32),
        terminated=True,
        truncated=False,
        metadata=EpisodeMetadata(task_id=task, seed=number, episode_return=0.0, success=None, expert="", noise=0.0),
    )


def write_episodes(data: Path, task: str, spaces: tuple[gym.Space, gym.Space], episodes: list[Episode]) -> Path:
    """Under `data`, which is given back; `spaces` are of observation and action."""
    folder = dataset_folder(data, task)
    folder.mkdir(parents=True)
    write_json(folder / COLLECTION, {"task": task})
    ensure_spaces(folder, *spaces)
    write_shard(shard_path(folder, 0, 1), [encode_episode(episode, *spaces) for episode in episodes])
    finish_collection(folder, [read_shard_index(shard_path(folder, 0, 1))])
    return data
