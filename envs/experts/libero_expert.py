"""A scripted expert for LIBERO: the goal's parts one after another, each by what the arm can do.

It looks at the simulation, not at the observation, and tries again what failed.
"""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.experts.libero_arm import Actions, Arm
from generalist.envs.task import ActionFunction

CLEARANCE = 0.06
"""Metres between what is carried and what it is carried over."""


def scripted_expert(env: gym.Env) -> ActionFunction:
    """Grips, carries and places what the goal names. After the last try it stands still."""
    actions = _actions(env.unwrapped)
    return lambda observation: next(actions)


def _actions(base: Any) -> Actions:
    arm = Arm(base)
    while True:
        for predicate, *names in base.simulation.parsed_problem["goal_state"]:
            if not base.simulation._eval_predicate([predicate, *names]):
                yield from SKILLS[predicate](arm, *names)
        yield from arm.hold(1)


def put(arm: Arm, thing: str, where: str) -> Actions:
    """A thing onto another one or into a region."""
    stood = arm.data.xpos[arm.body(thing)][2]
    yield from pick(arm, thing)
    arm.tries += 1
    if arm.data.xpos[arm.body(thing)][2] < stood + 0.02:
        return  # it slipped
    yield from carry(arm, thing, where)
    arm.closed = -1.0
    yield from arm.hold(6)
    yield from arm.go(arm.place + np.array([0, 0, 0.1]), patience=15)


def pick(arm: Arm, thing: str) -> Actions:
    """Up from where it stands, until it hangs above all that is near."""
    grip = arm.grip_of(thing)
    arm.closed, arm.yaw = -1.0, grip.yaw
    above = grip.place + np.array([0, 0, 0.1])
    if arm.place[2] < above[2] - 0.02:
        yield from arm.go(np.append(arm.place[:2], above[2]), near=0.02)
    yield from arm.go(above, near=0.015)
    yield from arm.go(grip.place, near=0.006, patience=40)
    arm.closed = 1.0
    yield from arm.hold(9)
    yield from arm.go(arm.place + np.array([0, 0, 0.06]), near=0.02, patience=20)


def carry(arm: Arm, thing: str, where: str) -> Actions:
    """What is held above its place, and down until it stands."""
    target, top = place_of(arm, where)
    top = max(top, arm.highest_between(arm.place, target, thing))
    hanging = arm.place[2] - arm.corners(thing)[:, 2].min()
    height = top + CLEARANCE + hanging
    if arm.place[2] < height - 0.02:
        yield from arm.go(np.append(arm.place[:2], height), near=0.02)
    for near in (0.02, 0.008):
        offset = arm.data.xpos[arm.body(thing)] - arm.place
        yield from arm.go(np.append((target - offset)[:2], height), near=near)
    for above, speed in ((0.05, 1.0), (0.0, 0.6)):
        offset = arm.data.xpos[arm.body(thing)] - arm.place
        yield from arm.go(np.append((target - offset)[:2], target[2] + hanging + above), near=0.008, speed=speed)


def place_of(arm: Arm, where: str) -> tuple[np.ndarray, float]:
    """Where a thing is to stand (the height is that of what it stands on) and how high what is there reaches."""
    if where in arm.base.things:
        corners = arm.corners(where)
        return arm.data.xpos[arm.body(where)].copy(), corners[:, 2].max()
    site = arm.data.site(where)
    half = abs(site.xmat.reshape(3, 3) @ arm.model.site(where).size)
    place = site.xpos - np.array([0, 0, half[2]])
    owner = arm.model.body_rootid[arm.model.site(where).bodyid[0]]
    thing = next((thing for thing in arm.base.things if arm.body(thing) == owner), None)
    top = place[2] if thing is None else arm.corners(thing)[:, 2].max()
    return place, float(top)


def nothing(arm: Arm, *names: str) -> Actions:
    yield from arm.hold(1)


SKILLS: dict[str, Callable[..., Actions]] = {
    "on": put,
    "in": put,
    "open": nothing,
    "close": nothing,
    "turnon": nothing,
    "turnoff": nothing,
}
