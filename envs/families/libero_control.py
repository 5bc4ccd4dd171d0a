"""robosuite's operational space controller of the Panda, and its control step, as LIBERO has them.

The same numbers in a third of the time: what follows from a state is computed once and not three times, the inverses
are those of 3x3 and 6x6 matrices, and no observation is collected 500 times a second. robosuite 1.4, OSC_POSE.
"""

from typing import Any

import numpy as np

from generalist.envs.mujoco_models import mujoco_module

REACH = np.array([0.05, 0.05, 0.05, 0.5, 0.5, 0.5])
"""Metres and radians of an action of 1."""
STIFFNESS, REST = 150.0, 10.0
"""Of the gripper's pose, and of the joints towards where they began as far as that leaves the pose alone; 1/s^2. Both
are damped critically."""
CLOSING = 0.01
"""How much further the fingers are driven in each of the 500 steps a second; from open to closed it is 2."""

Pose = tuple[np.ndarray, np.ndarray]
"""Where the gripper is, and its rotation as a matrix."""


class ArmControl:
    """Where the arm is to go. One for each environment; `begin` at each of its resets."""

    def __init__(self, simulation: Any):
        robot = simulation.robots[0]
        self._robot, self._substeps = robot, round(simulation.control_timestep / simulation.model_timestep)
        self._model, self._data = simulation.sim.model._model, simulation.sim.data._data
        self._site = self._model.site("gripper0_grip_site").id
        self._positions = np.array(robot._ref_joint_pos_indexes)
        self._velocities = np.array(robot._ref_joint_vel_indexes)
        self._motors = np.array(robot._ref_joint_actuator_indexes)
        self._fingers = np.array(robot._ref_joint_gripper_actuator_indexes)
        self._torques = self._model.actuator_ctrlrange[self._motors].T
        limits = self._model.actuator_ctrlrange[self._fingers]
        self._finger_middle, self._finger_half = limits.mean(1), np.ptp(limits, axis=1) / 2
        size = self._model.nv
        self._jacobian, self._inertia = np.zeros((6, size)), np.zeros((size, size))

    def begin(self) -> None:
        """After robosuite's reset, before a start state is set: as the arm stands and the gripper is turned now.

        The first action starts from there, and the gripper goes on being turned as it was, because robosuite's
        controller does not look again after a reset.
        """
        self._rest = self._data.qpos[self._positions].copy()
        self._begun: Pose | None = self._pose()
        self._goal_rotation = self._begun[1]
        self._closed = np.zeros(2)

    def step(self, action: np.ndarray) -> None:
        """A twentieth of a second with float[7], see `generalist.envs.families.libero.make`."""
        mujoco, model, data = mujoco_module(), self._model, self._data
        for substep in range(self._substeps):
            mujoco.mj_step1(model, data)
            if substep == 0:
                self._aim(action)
            self._closed = np.clip(self._closed + np.array([-1.0, 1.0]) * CLOSING * np.sign(action[6]), -1, 1)
            data.ctrl[self._fingers] = self._finger_middle + self._finger_half * self._closed
            data.ctrl[self._motors] = np.clip(self._wanted_torques(), *self._torques)
            mujoco.mj_step2(model, data)

    def _aim(self, action: np.ndarray) -> None:
        """A new goal, from where the gripper is; without a turn in the action it stays turned as it was to be."""
        change = np.clip(action[:6], -1, 1) * REACH
        here, turned = self._begun or self._pose()
        self._begun = None
        self._goal = here + change[:3]
        if abs(change[3:]).max() > 1e-9:
            self._goal_rotation = _rotation(change[3:]) @ turned

    def _pose(self) -> Pose:
        return self._data.site_xpos[self._site].copy(), self._data.site_xmat[self._site].reshape(3, 3).copy()

    def _wanted_torques(self) -> np.ndarray:
        """Khatib 1987, with position and rotation apart."""
        mujoco, model, data = mujoco_module(), self._model, self._data
        mujoco.mj_jacSite(model, data, self._jacobian[:3], self._jacobian[3:], self._site)
        mujoco.mj_fullM(model, self._inertia, data.qM)
        jacobian = self._jacobian[:, self._velocities]
        inertia = self._inertia[np.ix_(self._velocities, self._velocities)]
        speed = self._jacobian @ data.qvel
        rotation = data.site_xmat[self._site].reshape(3, 3)
        turn = 0.5 * _cross(rotation, self._goal_rotation).sum(1)
        error = np.concatenate([self._goal - data.site_xpos[self._site], turn])
        pull = STIFFNESS * error - 2 * STIFFNESS**0.5 * speed
        mobility = jacobian @ np.linalg.solve(inertia, jacobian.T)
        wrench = np.concatenate(
            [np.linalg.solve(mobility[:3, :3], pull[:3]), np.linalg.solve(mobility[3:, 3:], pull[3:])]
        )
        joints, joint_speed = data.qpos[self._positions], data.qvel[self._velocities]
        back = REST * (self._rest - joints) - 2 * REST**0.5 * joint_speed
        # What of it moves the gripper is taken away again.
        wrench -= np.linalg.solve(mobility, jacobian @ back)
        return jacobian.T @ wrench + inertia @ back + data.qfrc_bias[self._velocities]


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """float64[3, 3]: the cross products of the columns."""
    return one[[1, 2, 0]] * other[[2, 0, 1]] - one[[2, 0, 1]] * other[[1, 2, 0]]


def _rotation(vector: np.ndarray) -> np.ndarray:
    """float64[3, 3] of axis times angle (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector / angle
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew
