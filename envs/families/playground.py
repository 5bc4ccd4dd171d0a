"""MuJoCo Playground (Zakka et al. 2025): legged robots, hands and arms, by envpool's C++ of its tasks.

These are the robots' tasks of Playground's locomotion and manipulation suites; those of its dm_control suite are the
family dm_control's. Physics, rewards, commands, pushes and noise of the sensors are drawn as Playground's own
environments do on an accelerator, in double precision. Where Playground shows a critic a privileged state beside the
robot's, only the robot's is shown: what a policy is measured on.
"""

from functools import partial
from typing import Any

import gymnasium as gym

from generalist.envs.envpool_task import PoolEnv
from generalist.envs.experts.panda_arm import cartesian_pick_expert, pick_expert
from generalist.envs.task import Task

HORIZONS = {
    "AlohaHandOver": 250,
    "AlohaSinglePegInsertion": 1000,
    "ApolloJoystickFlatTerrain": 1000,
    "BarkourJoystick": 1000,
    "BerkeleyHumanoidJoystickFlatTerrain": 1000,
    "BerkeleyHumanoidJoystickRoughTerrain": 1000,
    "G1JoystickFlatTerrain": 1000,
    "G1JoystickRoughTerrain": 1000,
    "Go1JoystickFlatTerrain": 1000,
    "Go1JoystickRoughTerrain": 1000,
    "Go1Getup": 300,
    "Go1Handstand": 500,
    "Go1Footstand": 500,
    "H1InplaceGaitTracking": 1000,
    "H1JoystickGaitTracking": 1000,
    "LeapCubeReorient": 1000,
    "LeapCubeRotateZAxis": 500,
    "Op3Joystick": 1000,
    "PandaPickCube": 150,
    "PandaPickCubeCartesian": 200,
    "PandaPickCubeOrientation": 150,
    "PandaOpenCabinet": 150,
    "PandaRobotiqPushCube": 3000,
    "AeroCubeRotateZAxis": 500,
    "SpotFlatTerrainJoystick": 1000,
    "SpotGetup": 300,
    "SpotJoystickGaitTracking": 1000,
    "T1JoystickFlatTerrain": 1000,
    "T1JoystickRoughTerrain": 1000,
}
"""Steps of an episode that does not end by itself, in the order in which Playground lists its tasks."""


def make(name: str, render_mode: str | None = None) -> gym.Env:
    """A task by its name in `HORIZONS`. Observations float64[N], actions float64[A] in [-1, 1]; info has the terms of
    the reward.
    """
    env = PoolEnv(f"{name}-v1", HORIZONS[name], render_mode=render_mode)
    return RobotsState(env) if isinstance(env.observation_space, gym.spaces.Dict) else env


class RobotsState(gym.ObservationWrapper):
    """The part "state" of the observation."""

    def __init__(self, env: gym.Env):
        super().__init__(env)
        parts: Any = env.observation_space
        self.observation_space = parts["state"]

    def observation(self, observation):
        return observation["state"]


_STILL = "an arm that stands still (actions of 0) has a return of {}"

EXPERTS = {
    "PandaPickCube": (pick_expert, _STILL.format(116)),
    "PandaPickCubeCartesian": (cartesian_pick_expert, _STILL.format(0.5)),
    "PandaPickCubeOrientation": (pick_expert, _STILL.format(116)),
}
"""Experts, and the mean return of doing nothing over the first 100 evaluation seeds."""


def _task(name: str) -> Task:
    expert, note = EXPERTS.get(name, (None, "no training-free expert: Playground's policies are trained"))
    how = "; reach, grasp and carry by kinematics" if expert else ""
    return Task(
        id=f"playground/{name}",
        family="playground",
        make=partial(make, name),
        expert=expert,
        horizon=HORIZONS[name],
        score="return",
        has_success=False,
        note=note,
        extra="envpool",
        provenance="MuJoCo Playground 0.2.0, by envpool" + how,
    )


TASKS: tuple[Task, ...] = tuple(map(_task, HORIZONS))
