"""Rewards of simulated plans for Gymnasium's MuJoCo tasks, [N, T] at once: the v5 formulas, without contact costs.

An unhealthy state ends the episode there; here all of the plan from then on gets `FALL`.
"""

import numpy as np

from generalist.envs.experts.planner import Rollouts, Sensor

FALL = -5.0

PUSHER_SENSORS = (
    Sensor("tip", "FRAMEPOS", "XBODY", "tips_arm"),
    Sensor("object", "FRAMEPOS", "XBODY", "object"),
    Sensor("goal", "FRAMEPOS", "XBODY", "goal"),
)


def half_cheetah(rollouts: Rollouts) -> np.ndarray:
    """HalfCheetah-v5."""
    return forward(rollouts) - 0.1 * effort(rollouts) + 0.5 * np.cos(rollouts.qpos[..., 2])


def swimmer(rollouts: Rollouts) -> np.ndarray:
    """Swimmer-v5."""
    return forward(rollouts) - 1e-4 * effort(rollouts)


def ant(rollouts: Rollouts) -> np.ndarray:
    """Ant-v5: healthy between 0.2 and 1 m."""
    height = rollouts.qpos[..., 2]
    return until_fall(forward(rollouts) - 0.5 * effort(rollouts) + 1, (height > 0.2) & (height < 1.0))


def humanoid_standup(rollouts: Rollouts) -> np.ndarray:
    """HumanoidStandup-v5: the torso's height over MuJoCo's 0.003 s."""
    return rollouts.qpos[..., 2] / 0.003 - 0.1 * effort(rollouts)


def pusher(rollouts: Rollouts) -> np.ndarray:
    """Pusher-v5."""
    near = np.linalg.norm(rollouts.sensor("object") - rollouts.sensor("tip"), axis=-1)
    distance = np.linalg.norm(rollouts.sensor("object") - rollouts.sensor("goal"), axis=-1)
    return -distance - 0.5 * near - 0.1 * effort(rollouts)


def forward(rollouts: Rollouts) -> np.ndarray:
    """Velocity [N, T] along x between the steps, m/s; the first of each plan is left out (0)."""
    return np.diff(rollouts.qpos[..., 0], axis=1, prepend=rollouts.qpos[:, :1, 0]) / rollouts.step_time


def effort(rollouts: Rollouts) -> np.ndarray:
    """Squared actions [N, T]."""
    return np.square(rollouts.actions).sum(axis=-1)


def until_fall(reward: np.ndarray, healthy: np.ndarray) -> np.ndarray:
    """The reward up to the first unhealthy step, and `FALL` from there on."""
    return np.where(np.logical_and.accumulate(healthy, axis=1), reward, FALL)
