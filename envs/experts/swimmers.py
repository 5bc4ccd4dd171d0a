"""Gaits for the control suite's swimmers and its fish: closed laws with a few constants, which hold no memory.

A gait's phase is not kept but read from the body: the joints' angles and velocities are projected onto the wave (or the
beat) that they should make, and the torque leads that phase, so the body is its own clock. Steering is a bend of the
wave's centre. The constants were found by CMA-ES (Hansen 2016) on selection seeds, beginning from values set by hand.
"""

from dataclasses import dataclass
from math import atan2, cos, hypot, pi, sin, tanh
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.task import ActionFunction


@dataclass(frozen=True, kw_only=True)
class Wave:
    """A swimmer's stroke. Angles in rad, rates in rad/s, distances in m; actions are torques in [-1, 1].

    Args:
        rate: by which velocities are divided to be angles.
        lag: of a joint's phase behind that of the joint before it, in the wave that the joints are projected onto.
        lead: of the first torque over the wave's phase.
        torque_lag: as `lag`, of the torques.
        torque: amplitude of a joint's torque.
        stiffness: torque per rad that pulls a joint to the wave's centre.
        turn, most_turn: the first joint's centre per rad of the target's bearing, and its limit.
        turn_fade: a joint's centre as a share of that of the joint before it.
        heading_fade: a segment's weight in the body's direction, as a share of that of the segment before it.
        damping: seconds by which the bearing is foreseen from the body's rate of turn.
        stop, slow: the stroke ends at this distance of nose and target, and begins to fade so much before it.
    """

    rate: float
    lag: float
    lead: float
    torque_lag: float
    torque: float
    stiffness: float
    turn: float
    most_turn: float
    turn_fade: float
    heading_fade: float
    damping: float
    stop: float
    slow: float


def swimmer_expert(env: gym.Env, *, wave: Wave) -> ActionFunction:
    """A wave of torques down the body, bent towards the target, that ends at it.

    It sees joint angles and velocities, the head's rate of turn, and the target from the nose in the head's frame: all
    of it is in the state's observation, the joints' velocities as differences of the segments' rates of turn.
    """
    base: Any = env.unwrapped
    physics = base.physics
    joint = np.arange(physics.model.nu)
    projection = np.exp(1j * wave.lag * joint)
    turns = wave.turn_fade**joint
    segments = wave.heading_fade ** np.arange(len(joint) + 1)
    # A joint turns all segments behind it.
    heading = np.cumsum(segments[::-1])[::-1][1:] / segments.sum()

    def act(observation: Any) -> np.ndarray:
        angles, rates = physics.data.qpos[3:], physics.data.qvel[3:]
        left, back = physics.nose_to_target()
        bearing = atan2(left, -back) - heading @ angles
        bearing = (bearing + pi) % (2 * pi) - pi
        bearing -= wave.damping * (physics.data.qvel[2] + heading @ rates)
        center = -wave.most_turn * tanh(wave.turn * bearing / wave.most_turn) * turns
        phase = np.angle(projection @ (angles - center - 1j * rates / wave.rate))
        effort = np.clip((hypot(left, back) - wave.stop) / wave.slow, 0, 1)
        stroke = effort * wave.torque * np.cos(phase + wave.lead - wave.torque_lag * joint)
        return np.clip(stroke + wave.stiffness * (center - angles), -1, 1).astype(np.float32)

    return act
