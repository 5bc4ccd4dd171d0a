"""The Panda's kinematics against the simulator's, and that the cube is picked up."""

from importlib.util import find_spec

import numpy as np
import pytest

from generalist.envs.experts import panda_arm
from generalist.envs.experts.panda_arm import cartesian_pick_action, kinematics, pick_action
from generalist.envs.families import playground

installed = pytest.mark.skipif(find_spec("envpool") is None, reason="needs the extra envpool")
JOINTS = np.array([0.2, 0.5, -0.3, -1.8, 0.4, 2.1, -0.6])


def played(name: str, act, seed: int):
    """Observations [steps + 1, values] and the return."""
    env = playground.make(name)
    rows, score, over = [env.reset(seed=seed)[0]], 0.0, False
    while not over:
        observation, reward, terminated, truncated, _ = env.step(act(rows[-1]))
        rows.append(observation)
        score, over = score + reward, terminated or truncated
    return np.array(rows), score


@installed
def test_the_tip_is_where_the_simulator_has_it():
    """At the first pose of the cabinet's arm, which is drawn at random."""
    env = playground.make("PandaOpenCabinet")
    for seed in range(4):
        observation, _ = env.reset(seed=seed)
        assert kinematics(observation[:7])[0] == pytest.approx(observation[20:23], abs=1e-6)


def test_the_jacobian_is_the_tips_derivative():
    tip, jacobian = kinematics(JOINTS)
    moved = [(kinematics(JOINTS + 1e-6 * axis)[0] - tip) / 1e-6 for axis in np.eye(7)]
    assert jacobian[:3] == pytest.approx(np.transpose(moved), abs=1e-5)
    assert np.linalg.norm(jacobian[3:], axis=0) == pytest.approx(np.ones(7))


def test_a_turn_is_its_axis_times_its_angle():
    turned = panda_arm._about_z(0.7)
    assert panda_arm._turn(turned) == pytest.approx([0, 0, 0.7])
    assert panda_arm._turn(np.eye(3)) == pytest.approx(np.zeros(3))


@pytest.mark.parametrize("name", ["PandaPickCube", "PandaPickCubeOrientation"])
@installed
def test_the_cube_is_carried_to_its_target(name):
    """Far above what standing still gives, 116."""
    rows, score = played(name, pick_action, seed=102)
    assert score > 900
    assert np.linalg.norm(rows[-1][49:52]) < 0.02
    assert np.linalg.norm(rows[-1][52:58]) < 0.1


@installed
def test_the_cube_is_lifted_by_commands_of_the_tip():
    """The episode ends with the success, which a hand that stays open does not reach."""
    rows, score = played("PandaPickCubeCartesian", cartesian_pick_action, seed=1)
    assert score > 10
    assert len(rows) < 100
    still, nothing = played("PandaPickCubeCartesian", lambda observation: np.zeros(3), seed=1)
    assert len(still) == 201
    assert nothing < 1
