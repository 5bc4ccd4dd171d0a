"""Demonstrations of frames that nobody recorded, of any size, written episode by episode."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

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
)

ACTIONS = gym.spaces.Discrete(4)
EPISODES_OF_A_SHARD = 500
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Frames that nothing compresses."""
    return np.frombuffer(rng.bytes(int(np.prod(shape))), np.uint8).reshape(shape)


def smooth(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Frames of large shapes with some noise, as a camera or a three-dimensional game gives."""
    frames, height, width, channels = shape
    coarse = rng.integers(0, 240, (frames, height // 16, width // 16, channels), dtype=np.uint8)
    large = coarse.repeat(16, axis=1).repeat(16, axis=2)
    return large + (noise(rng, large.shape) & 7)


def write_frames(data: Path, task: str, frame: tuple[int, int, int], steps: int, length: int, draw: Draw) -> Path:
    """At least `steps` steps in episodes of `length`; gives the folder. What is there already stays."""
    folder = dataset_folder(data, task)
    if (folder / "index.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / COLLECTION).write_text(json.dumps({"task": task, "seed": 0}))
    space = gym.spaces.Box(0, 255, frame, np.uint8)
    ensure_spaces(folder, space, ACTIONS)
    episodes = -(-steps // length)
    shards = -(-episodes // EPISODES_OF_A_SHARD)
    index = []
    for shard, numbers in enumerate(np.array_split(np.arange(episodes), shards)):
        path = shard_path(folder, shard, shards)
        write_shard(path, _records(numbers, task, space, length, draw))
        index.append(read_shard_index(path))
    finish_collection(folder, index)
    return folder


def _records(numbers: np.ndarray, task: str, space: gym.spaces.Box, length: int, draw: Draw) -> Iterator[bytes]:
    for number in numbers.tolist():
        rng = np.random.default_rng(number)
        metadata = EpisodeMetadata(
            task_id=task, seed=number, episode_return=1.0, success=None, expert="nobody", noise=0.0
        )
        episode = Episode(
            observations=draw(rng, (length + 1, *space.shape)),
            actions=rng.integers(0, ACTIONS.n, length),
            rewards=np.full(length, 1 / length, np.float32),
            terminated=True,
            truncated=False,
            metadata=metadata,
        )
        yield encode_episode(episode, space, ACTIONS)
