"""Recorded experience as arrays: one episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class EpisodeMetadata:
    """Where an episode comes from.

    Args:
        task_id: id of the task it was recorded in.
        seed: reset seed of the environment; it fixes the episode (see `generalist.envs.task.Task`).
        episode_return: undiscounted sum of the rewards, in float64.
        success: whether the goal was reached; None if the task has no success.
        expert: who acted: "expert", "random", or a given policy: "module:function", "sac:<file>@<hash>".
        noise: action noise while recording (see `Task.noise`); the recorded actions are those without noise.
    """

    task_id: str
    seed: int
    episode_return: float
    success: bool | None
    expert: str
    noise: float


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One episode of N steps.

    Args:
        observations: nested dicts and tuples as in the observation space; every leaf has a leading axis N + 1, the last
            row being the observation after the last action. Text leaves are object arrays of str.
        actions: as in the action space, leading axis N: the actions of the expert, without the noise.
        rewards: float32[N].
        terminated: the last step ended the episode for good.
        truncated: the episode was cut off (time limit); both may be true.
    """

    observations: Any
    actions: Any
    rewards: np.ndarray
    terminated: bool
    truncated: bool
    metadata: EpisodeMetadata

    def __len__(self) -> int:
        return len(self.rewards)
