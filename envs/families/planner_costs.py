"""Rewards of simulated plans for the control suite, [N, T] at once: its own formulas, shaped where they are sparse.

The formulas are those of Tassa et al. 2018 as dm_control 1.0.28 has them, on arrays. `SENSORS` are what the models do
not measure themselves. Rewards of Gymnasium's MuJoCo tasks are in `mujoco_costs`.
"""

from typing import Any

import numpy as np

from generalist.envs.families.planner import Rollouts, Sensor

INFINITY = float("inf")

SENSORS: dict[str, tuple[Sensor, ...]] = {
    "acrobot": (Sensor("tip", "FRAMEPOS", "SITE", "tip"),),
    "fish": (
        Sensor("upright", "FRAMEZAXIS", "XBODY", "torso"),
        Sensor("mouth", "FRAMEPOS", "GEOM", "mouth"),
        Sensor("goal", "FRAMEPOS", "GEOM", "target"),
    ),
    "hopper": (Sensor("height", "FRAMEPOS", "BODY", "torso"), Sensor("foot", "FRAMEPOS", "BODY", "foot")),
    "humanoid": (Sensor("head", "FRAMEPOS", "XBODY", "head"), Sensor("upright", "FRAMEZAXIS", "XBODY", "torso")),
    "quadruped": (Sensor("upright", "FRAMEZAXIS", "XBODY", "torso"),),
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


def hopper(rollouts: Rollouts, hop: bool) -> np.ndarray:
    """hopper-stand and -hop; standing has a slope in place of the suite's step."""
    height = rollouts.sensor("height")[..., 2] - rollouts.sensor("foot")[..., 2]
    standing = tolerance(height, (0.6, 2))
    shaped = np.minimum(height / 0.8, 1) + 0.5 * np.cos(rollouts.qpos[..., 2])
    if hop:
        forward = tolerance(_speed(rollouts), (2, INFINITY), margin=1, value_at_margin=0.5, sigmoid="linear")
        return standing * (0.2 + forward + 0.2 * np.clip(_speed(rollouts) / 2, -1, 1)) + shaped
    return standing * (_small_control(rollouts) + 4) / 5 + shaped


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


def cartpole(rollouts: Rollouts) -> np.ndarray:
    """The smooth reward for any number of poles. Pole angles are relative to the pole below."""
    cosines = np.cos(np.cumsum(rollouts.qpos[..., 1:], axis=-1))
    centered = (1 + tolerance(rollouts.qpos[..., 0], margin=2)) / 2
    calm = (1 + tolerance(rollouts.qvel[..., 1:], margin=5).min(axis=-1)) / 2
    return ((1 + cosines) / 2).mean(axis=-1) * (4 + _small_control(rollouts)) / 5 * calm * centered


def swimmer(rollouts: Rollouts) -> np.ndarray:
    """swimmer6 and swimmer15, with the distance where the reward is flat."""
    distance = np.linalg.norm(rollouts.sensor("nose_pos") - rollouts.sensor("target_pos"), axis=-1)
    size = float(rollouts.model.geom("target").size[0])
    return tolerance(distance, (0, size), margin=5 * size, sigmoid="long_tail") - distance


def fish_upright(rollouts: Rollouts) -> np.ndarray:
    """fish-upright."""
    return tolerance(rollouts.sensor("upright")[..., 2], (1, 1), margin=1)


def fish_swim(rollouts: Rollouts) -> np.ndarray:
    """fish-swim, with the distance where the reward is flat."""
    distance = np.linalg.norm(rollouts.sensor("mouth") - rollouts.sensor("goal"), axis=-1)
    radii = float(rollouts.model.geom("mouth").size[0] + rollouts.model.geom("target").size[0])
    near = tolerance(distance, (0, radii), margin=2 * radii)
    return (7 * near + (rollouts.sensor("upright")[..., 2] + 1) / 2) / 8 - distance


def humanoid(rollouts: Rollouts, speed: float) -> np.ndarray:
    """humanoid-stand (speed 0, in m/s), -walk and -run, with the head's height where the reward is flat."""
    height = rollouts.sensor("head")[..., 2]
    standing = tolerance(height, (1.4, INFINITY), margin=0.35)
    upright = rollouts.sensor("upright")[..., 2]
    straight = tolerance(upright, (0.9, INFINITY), sigmoid="linear", margin=1.9, value_at_margin=0)
    control = (4 + _small_control(rollouts)) / 5
    velocity = rollouts.sensor("torso_subtreelinvel")[..., :2]
    if speed == 0:
        move = tolerance(velocity, margin=2).mean(axis=-1)
    else:
        forward = np.linalg.norm(velocity, axis=-1)
        move = tolerance(forward, (speed, INFINITY), margin=speed, value_at_margin=0, sigmoid="linear")
        move = (5 * move + 1) / 6
    return control * standing * straight * move + 0.3 * np.minimum(height, 1.4) + 0.1 * upright


def quadruped(rollouts: Rollouts, speed: float) -> np.ndarray:
    """quadruped-walk and -run (m/s)."""
    upright = rollouts.sensor("upright")[..., 2]
    straight = tolerance(upright, (1, INFINITY), sigmoid="linear", margin=2, value_at_margin=0)
    forward = rollouts.sensor("velocimeter")[..., 0]
    move = tolerance(forward, (speed, INFINITY), margin=speed, value_at_margin=0.5, sigmoid="linear")
    return straight * move + 0.2 * straight + 0.1 * np.clip(forward / speed, -1, 0)


def _speed(rollouts: Rollouts) -> np.ndarray:
    """Horizontal velocity [N, T] of the centre of mass, m/s."""
    return rollouts.sensor("torso_subtreelinvel")[..., 0]


def _small_control(rollouts: Rollouts) -> np.ndarray:
    return tolerance(rollouts.actions, margin=1, value_at_margin=0, sigmoid="quadratic").mean(axis=-1)
