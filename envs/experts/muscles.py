"""Muscles by their moment arms: each pulls if that turns the joints towards a pose.

MyoSuite's observation begins with the joints' positions and velocities (radians, and radians a step of control); a pose
task then shows the goal minus the positions. A muscle's moment arm at a joint is how much longer it grows as the joint
turns, so that pulling turns the joint the other way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import gymnasium as gym
import numpy as np

from generalist.envs.task import ActionFunction


@dataclass(frozen=True, kw_only=True)
class Muscles:
    """How a body's muscles answer to a pose that is not reached.

    Args:
        arms: moment arms [muscle][joint], in a unit of their own; a motor's is negative if it turns the joint forward.
        rest: action of a muscle that has nothing to do.
        gain: action for each radian and unit of moment arm.
        damping: steps that the present velocity is looked ahead.
    """

    arms: Sequence[Sequence[float]]
    rest: float
    gain: float
    damping: float


ELBOW = Muscles(arms=((1,), (1,), (1,), (-1,), (-1,), (-1,)), rest=-0.47, gain=7.2, damping=1.9)
"""Three heads of the triceps, two of the biceps, the brachialis; one joint. Signs alone."""
ELBOW_WITH_MOTOR = Muscles(arms=((-1,), *ELBOW.arms), rest=-0.41, gain=4.0, damping=2.1)
"""The same behind the motor of an exoskeleton."""

_FINGER = ((0, 1.04, 0.8, 0.36), (0.96, 0, 0, 0), (-0.96, 0, 0, 0), (0, -0.96, -0.9, 0), (0, -0.96, -0.9, -0.72))
"""Extensor, two that spread, two flexors; spreading and three joints of flexion. In 25 mm, at the straight finger."""
FINGER_POSE = Muscles(arms=_FINGER, rest=-1.41, gain=6.1, damping=0.72)
FINGER_REACH = Muscles(arms=_FINGER, rest=-0.965, gain=3.36, damping=1.11)
POINTING = (0.228, -0.12, 0.601, 0.55)
"""Radians: a pose of the finger that the tip of myoFingerReachFixed reaches its goal by, found by search."""


def pose_expert(env: gym.Env, *, muscles: Muscles) -> ActionFunction:
    """To the pose that the observation shows. Sees positions, velocities and the error."""
    joints = len(muscles.arms[0])

    def act(observation: np.ndarray) -> np.ndarray:
        return excitations(muscles, observation[2 * joints : 3 * joints], observation[joints : 2 * joints])

    return act


def reach_expert(env: gym.Env, *, muscles: Muscles, pose: Sequence[float]) -> ActionFunction:
    """To a pose that is known to reach the task's one goal. Sees positions and velocities, not the tip."""
    joints = len(pose)

    def act(observation: np.ndarray) -> np.ndarray:
        return excitations(muscles, pose - observation[:joints], observation[joints : 2 * joints])

    return act


def excitations(muscles: Muscles, error: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Actions float32[muscles] in [-1, 1] for goal minus positions and velocities, [joints] each."""
    pull = -np.asarray(muscles.arms) @ (error - muscles.damping * velocity)
    return np.clip(muscles.rest + muscles.gain * pull, -1, 1).astype(np.float32)
