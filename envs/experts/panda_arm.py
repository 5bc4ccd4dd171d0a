"""The Franka Panda arm of MuJoCo Playground: its kinematics, and picking a cube up by them.

Joints, links and the tip between the fingers are those of MuJoCo Menagerie's mjx_panda.xml. Every law is a function of
the present observation, which has (Playground's pick.py): positions of 7 joints, 2 fingers and the cube's pose (16),
velocities (15), the tip's place (3), the last two rows of the hand's and of the cube's rotation (6, 6), cube minus tip
(3), target minus cube (3), the first two rows of the target's rotation minus the cube's (6), commanded minus present
positions of 7 joints and the gripper (8). The Cartesian task adds 4 numbers, which are not looked at.
"""

import gymnasium as gym
import numpy as np

from generalist.envs.task import ActionFunction

LINKS = (
    ((0, 0, 0.333), 0),
    ((0, 0, 0), -1),
    ((0, -0.316, 0), 1),
    ((0.0825, 0, 0), 1),
    ((-0.0825, 0.384, 0), -1),
    ((0, 0, 0), 1),
    ((0.088, 0, 0), 1),
)
"""Of each joint: where it sits on the one before (metres), and quarter turns about x; it then turns about its z."""
TIP = np.array([0, 0, 0.207])
"""On the last link: the hand's 0.107 and the fingers' 0.1 metres."""
DOWN = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
"""Rotation of a hand that points down and opens along the world's x."""

UPRIGHT, LEAN, MOST_LEAN = 0.72, 4.0, 0.7
"""Beyond so many metres before the arm's foot the hand leans forward, radians a metre, at most so many radians."""

STEP = 0.04
"""Radians that an action of 1 adds to a joint's command."""
GAIN, LEAD = 0.25, 0.06
"""Share of the way that is commanded in a step, and the seconds by which the arm lags behind its command."""
TURN, CARRIED = 0.15, 0.05
"""Metres that a radian of the hand's error counts for, and of the cube's when it is carried."""
DAMPING = 1e-3
MOST = 0.25
"""Metres: longer ways are shortened to this."""

NEAR = 0.011
"""Metres between tip and cube at which the fingers close: Playground counts a cube as reached from 0.012."""
HOLD = 0.035
"""The greatest distance of tip and cube in a hold, in metres."""
STALLED = 0.01
"""Fingers hold something if they are so far from their command (metres) and slower than this (metres a second)."""
OPEN = 0.038
"""A finger's place from which on the hand is open, in metres."""
RIM, SLOPE, ABOVE = 0.01, 2.0, 0.1
"""The way down is a funnel: the tip, off by more than `RIM`, is led `SLOPE` times higher, at most `ABOVE`."""


def kinematics(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The tip's place [3] and its Jacobian [6, 7] (velocity, angular velocity) at joint positions [7], radians."""
    rotation, place, axes, origins = np.eye(3), np.zeros(3), [], []
    for (offset, quarter), angle in zip(LINKS, joints, strict=True):
        place = place + rotation @ offset
        rotation = rotation @ _quarter_turn(quarter)
        axes.append(rotation[:, 2])
        origins.append(place)
        rotation = rotation @ _about_z(angle)
    tip = place + rotation @ TIP
    return tip, np.concatenate([np.cross(axes, tip - np.array(origins)), axes], 1).T


def pick_expert(env: gym.Env) -> ActionFunction:
    """Reach from above, close the fingers, carry the cube to its target and turn it as the target is turned.

    Sees the observation alone. Action: changes of 7 joints' commands and of the fingers', in [-1, 1].
    """
    return pick_action


def pick_action(observation: np.ndarray) -> np.ndarray:
    """Float64 [8] for an observation [66]."""
    way, grip = _way_and_grip(observation)
    cube = _rotation(observation[40:43], observation[43:46])
    if _holds(observation):
        target = observation[52:58].reshape(2, 3) + cube[:2]
        turn, weight = _turn(np.vstack([target, np.cross(*target)]) @ cube.T), CARRIED
    else:
        hand = _rotation(observation[34:37], observation[37:40])
        turn, weight = _turn(_leant(observation[31] + observation[46]) @ DOWN @ hand.T), TURN
    moved = joint_action(observation[:7], observation[16:23], way, turn, weight)
    return np.append(moved, grip)


def joint_action(
    joints: np.ndarray, velocities: np.ndarray, way: np.ndarray, turn: np.ndarray, weight: float
) -> np.ndarray:
    """Changes [7] in [-1, 1] of the joints' commands that lead the tip along `way` (metres) and `turn` (radians).

    Damped least squares, a radian counting for `weight` metres; scaled down to what the fastest joint can do.
    """
    jacobian = kinematics(joints)[1]
    jacobian[3:] *= weight
    error = np.concatenate([way * min(1, MOST / max(np.linalg.norm(way), MOST)), weight * turn])
    steps = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + DAMPING * np.eye(6), error)
    action = GAIN * (steps - LEAD * velocities) / STEP
    return action / max(1, np.abs(action).max())


def cartesian_pick_expert(env: gym.Env) -> ActionFunction:
    """The same with commands of the tip's y and z, whose inverse kinematics is the environment's.

    Sees the observation alone. Action: the tip's y and z in units of 5 mm, and the fingers (below zero: close).
    """
    return cartesian_pick_action


CARTESIAN_STEP, CARTESIAN_GAIN = 0.005, 0.3


def cartesian_pick_action(observation: np.ndarray) -> np.ndarray:
    """Float64 [3] for an observation [70]."""
    way, grip = _way_and_grip(observation)
    return np.append(np.clip(CARTESIAN_GAIN * way[1:] / CARTESIAN_STEP, -1, 1), grip)


def _way_and_grip(observation: np.ndarray) -> tuple[np.ndarray, float]:
    """Metres [3] that the tip is to go, and the fingers: 1 opens, -1 closes."""
    to_cube, to_target = observation[46:49], observation[49:52]
    if _holds(observation):
        return to_target, -1.0
    closing = observation[7] < OPEN
    if np.linalg.norm(to_cube) < (HOLD if closing else NEAR):
        return to_cube, -1.0
    height = np.clip(SLOPE * (np.linalg.norm(to_cube[:2]) - RIM), 0, ABOVE)
    return to_cube + np.array([0, 0, height]), 1.0


def _holds(observation: np.ndarray) -> bool:
    """Whether the fingers are stopped by what is between them."""
    stalled = observation[65] < -STALLED and abs(observation[23]) < STALLED and observation[7] < OPEN
    return bool(stalled and np.linalg.norm(observation[46:49]) < HOLD)


def _rotation(second: np.ndarray, third: np.ndarray) -> np.ndarray:
    """A rotation by its last two rows."""
    return np.stack([np.cross(second, third), second, third])


def _turn(rotation: np.ndarray) -> np.ndarray:
    """Axis times angle [3] of a rotation."""
    axis = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    sine, cosine = np.linalg.norm(axis) / 2, (np.trace(rotation) - 1) / 2
    return axis / 2 * (np.arctan2(sine, cosine) / sine if sine > 1e-9 else 1)


def _leant(distance: float) -> np.ndarray:
    """Rotation about y by which the hand points forward to a cube at this x, in metres."""
    angle = np.clip(LEAN * (distance - UPRIGHT), 0, MOST_LEAN)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])


def _quarter_turn(quarter: int) -> np.ndarray:
    """Rotation by -1, 0 or 1 quarter turns about x."""
    cosine, sine = 1 - abs(quarter), quarter
    return np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])


def _about_z(angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
