"""Rewards of simulated plans for the control suite, [N, T] at once: its own formulas, shaped where they are sparse.

The formulas are those of Tassa et al. 2018 as dm_control 1.0.28 has them, on arrays. `SENSORS` are what the models do
not measure themselves. Rewards of Gymnasium's MuJoCo tasks are in `mujoco_costs`.
"""

from typing import Any

import numpy as np

from generalist.envs.experts.planner import Rollouts, Sensor

INFINITY = float("inf")

SENSORS: dict[str, tuple[Sensor, ...]] = {
    "acrobot": (Sensor("tip", "FRAMEPOS", "SITE", "tip"),),
    "fish": (Sensor("upright", "FRAMEZAXIS", "XBODY", "torso"),),
}


def tolerance(*arguments: Any, **options: Any) -> np.ndarray:
    """The suite's own function, imported when it is needed."""
    from dm_control.utils import rewards

    return rewards.tolerance(*arguments, **options)  # type: ignore[return-value]


def walker(rollouts: Rollouts, speed: float) -> np.ndarray:
    """walker-stand (speed 0, in m/s), -walk and -run."""
    height, tilt = 1.3 + rollouts.qpos[..., 0], rollouts.qpos[..., 2]
    standing = tolerance(height, (1.2, INFINITY), margin=0.6)
    stand = (3 * standing + (1 + np.cos(tilt)) / 2) / 4
    if speed == 0:
        return stand
    move = tolerance(_speed(rollouts), (speed, INFINITY), margin=speed / 2, value_at_margin=0.5, sigmoid="linear")
    return stand * (5 * move + 1) / 6


def cheetah(rollouts: Rollouts) -> np.ndarray:
    """cheetah-run, linear below zero too, with a little for not lying on the back."""
    return np.minimum(_speed(rollouts) / 10, 1) + 0.1 * np.cos(rollouts.qpos[..., 2])


def finger_spin(rollouts: Rollouts) -> np.ndarray:
    """finger-spin pays above 15 rad/s; here every rad/s pays."""
    velocity = -rollouts.sensor("hinge_velocity")[..., 0]
    return (velocity >= 15) + np.clip(velocity / 15, -1, 1.2) - 0.3 * _finger_reach(rollouts)


def finger_turn(rollouts: Rollouts) -> np.ndarray:
    """finger-turn pays in the target; here nearness pays, and the fingertip's nearness to the spinner."""
    miss = np.linalg.norm(rollouts.sensor("tip") - rollouts.sensor("target"), axis=-1)
    radius = float(rollouts.model.site("target").size[0])
    return (miss <= radius) + np.exp(-miss / 0.05) - 4 * miss - 0.3 * _finger_reach(rollouts)


def _finger_reach(rollouts: Rollouts) -> np.ndarray:
    return np.linalg.norm(rollouts.sensor("touchtop_pos") - rollouts.sensor("spinner"), axis=-1)


def ball_in_cup(rollouts: Rollouts) -> np.ndarray:
    """ball_in_cup-catch pays in the cup; here the ball's height above the rim pays, and then its nearness to the axis.

    Positions (cup x, z; ball x, z) are relative to where the model has them: the ball starts 0.4 m below the cup.
    """
    across = rollouts.qpos[..., 2] - rollouts.qpos[..., 0]
    above = rollouts.qpos[..., 3] - rollouts.qpos[..., 1] - 0.4
    inside = (np.abs(across) < 0.025) & (np.abs(above + 0.05) < 0.025)
    over = np.exp(-((across / 0.05) ** 2)) * (above > -0.09)
    return 2.0 * inside + 0.5 * over - np.abs(across) * (above > 0) + np.minimum(above, 0.0)


def acrobot(rollouts: Rollouts) -> np.ndarray:
    """acrobot-swingup, with energy towards the top where the reward is flat."""
    distance = np.linalg.norm(rollouts.sensor("tip") - np.array([0.0, 0.0, 4.0]), axis=-1)
    return tolerance(distance, (0, 0.2), margin=1) - 0.3 * distance


def fish_upright(rollouts: Rollouts) -> np.ndarray:
    """fish-upright."""
    return tolerance(rollouts.sensor("upright")[..., 2], (1, 1), margin=1)


def _speed(rollouts: Rollouts) -> np.ndarray:
    """Horizontal velocity [N, T] of the centre of mass, m/s."""
    return rollouts.sensor("torso_subtreelinvel")[..., 0]
