"""Muscles pull if that turns the joints towards the pose."""

import numpy as np
import pytest

from generalist.envs.experts.muscles import ELBOW, FINGER_POSE, excitations, pose_expert, reach_expert

GOAL = (0.1, 0.2, 0.3, 0.4)


def test_the_elbow_is_bent_by_its_flexors_and_stretched_by_the_triceps():
    bent = excitations(ELBOW, np.array([2.0]), np.zeros(1))
    assert bent.tolist() == [-1, -1, -1, 1, 1, 1]
    stretched = excitations(ELBOW, np.array([-2.0]), np.zeros(1))
    assert stretched.tolist() == [1, 1, 1, -1, -1, -1]


def test_at_the_pose_every_muscle_rests():
    action = excitations(FINGER_POSE, np.zeros(4), np.zeros(4))
    assert action.dtype == np.float32
    assert action == pytest.approx(np.full(5, -1))
    assert excitations(ELBOW, np.zeros(1), np.zeros(1)) == pytest.approx(np.full(6, ELBOW.rest))


def test_a_joint_that_comes_fast_is_braked():
    error, velocity = np.array([0.02]), np.array([0.05])
    slow, fast = excitations(ELBOW, error, 0 * velocity), excitations(ELBOW, error, velocity)
    assert (slow[3:] > fast[3:]).all()
    assert (slow[:3] < fast[:3]).all()


def test_the_shown_error_and_a_known_pose_are_one_law():
    positions, velocities = np.array([0.0, 0.3, 0.1, 0.2]), np.array([0.01, 0.0, -0.02, 0.0])
    shown = np.concatenate([positions, velocities, GOAL - positions, np.zeros(5)])
    by_error = pose_expert(None, muscles=FINGER_POSE)(shown)  # pyright: ignore[reportArgumentType]
    by_pose = reach_expert(None, muscles=FINGER_POSE, pose=GOAL)(shown)  # pyright: ignore[reportArgumentType]
    assert by_error == pytest.approx(by_pose)
    assert np.ptp(by_error) > 0.5
