"""MyoSuite 2.11 (Caggiano et al. 2022): arms, hands, legs and torso moved by muscles, by envpool's C++ of its tasks.

Only tasks of one start and one goal: in envpool 1.2.5 no task of MyoSuite draws anything from its seed, so those whose
goals, objects, terrain or opponents MyoSuite draws at random (Random, Reorient, Challenge, terrains) would be other
tasks here, and are left out. An episode is the same for every seed, given the same actions. Left out are also the same
bodies with sarcopenia, fatigue and reafferentation, and MyoDM.

Success is MyoSuite's own: solved on more than five steps of an episode (`evaluate_success` of its env_base.py). No
episode ends by it. Actions are excitations in [-1, 1], which a sigmoid maps to [0, 1] for muscles.
"""

from functools import partial
from typing import Any

import gymnasium as gym

from generalist.envs.envpool_task import PoolEnv
from generalist.envs.experts import muscles
from generalist.envs.task import Task

SOLVED_STEPS = 5
"""An episode succeeds with the step after so many solved ones."""

_NAMES = {
    50: "myoHandPenTwirlFixed-v0",
    75: "myoHandObjHoldFixed-v0",
    100: "myoElbowPose1D6MFixed-v0 myoElbowPose1D6MExoFixed-v0 myoFingerPoseFixed-v0 myoFingerReachFixed-v0"
    " myoHandPoseFixed-v0 myoHandPose0Fixed-v0 myoHandPose1Fixed-v0 myoHandPose2Fixed-v0 myoHandPose3Fixed-v0"
    " myoHandPose4Fixed-v0 myoHandPose5Fixed-v0 myoHandPose6Fixed-v0 myoHandPose7Fixed-v0 myoHandPose8Fixed-v0"
    " myoHandPose9Fixed-v0 myoHandReachFixed-v0",
    150: "myoArmReachFixed-v0",
    200: "motorFingerPoseFixed-v0 motorFingerReachFixed-v0 myoHandKeyTurnFixed-v0 myoTorsoPoseFixed-v0"
    " myoTorsoExoPoseFixed-v0",
    1000: "myoLegWalk-v0",
}
HORIZONS = {id: horizon for horizon, names in _NAMES.items() for id in names.split()}
"""Steps of an episode that does not end by itself, by MyoSuite's id."""

NOISE = 0.1
"""Of demonstrations: without it they would all be the same episode."""

BY_CHANCE = ("myoTorsoPoseFixed-v0", "myoTorsoExoPoseFixed-v0", "myoLegWalk-v0")
"""Random play succeeds in every episode: their score is the return."""


def make(id: str, render_mode: str | None = None) -> gym.Env:
    """A task by its id in `HORIZONS`. Observations float64[N], actions float32[A] in [-1, 1]; info has `solved`."""
    return Solved(PoolEnv(id, HORIZONS[id], render_mode=render_mode))


class Solved(gym.Wrapper):
    """`info["success"]` on the first step by which the task was solved on more than `SOLVED_STEPS`."""

    def reset(self, **given: Any):
        self._solved = 0
        return self.env.reset(**given)

    def step(self, action: Any):
        observation, reward, terminated, truncated, info = self.env.step(action)
        solved = bool(info["solved"])
        self._solved += solved
        success = solved and self._solved == SOLVED_STEPS + 1
        return observation, reward, terminated, truncated, {**info, "success": success}


EXPERTS = {
    "myoElbowPose1D6MFixed-v0": partial(muscles.pose_expert, muscles=muscles.ELBOW),
    "myoElbowPose1D6MExoFixed-v0": partial(muscles.pose_expert, muscles=muscles.ELBOW_WITH_MOTOR),
    "myoFingerPoseFixed-v0": partial(muscles.pose_expert, muscles=muscles.FINGER_POSE),
    "myoFingerReachFixed-v0": partial(muscles.reach_expert, muscles=muscles.FINGER_REACH, pose=muscles.POINTING),
}


def _note(id: str) -> str:
    start = "one start and one goal, whatever the seed"
    if id in EXPERTS:
        return f"{start}: without noise all demonstrations are one"
    by_chance = "; random play succeeds, so the return is the score" if id in BY_CHANCE else ""
    return f"{start}; no training-free expert{by_chance}"


def _task(id: str) -> Task:
    return Task(
        id=f"myosuite/{id}",
        family="myosuite",
        make=partial(make, id),
        expert=EXPERTS.get(id),
        horizon=HORIZONS[id],
        score="return" if id in BY_CHANCE else "success",
        has_success=True,
        noise=NOISE if id in EXPERTS else 0.0,
        note=_note(id),
        extra="envpool",
        provenance="MyoSuite 2.11, by envpool" + ("; moment arms and a PD law" if id in EXPERTS else ""),
    )


TASKS: tuple[Task, ...] = tuple(map(_task, HORIZONS))
