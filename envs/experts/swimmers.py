"""Gaits for the control suite's swimmers and its fish: closed laws with a few constants, which hold no memory.

A gait's phase is not kept but read from the body: the joints' angles and velocities are projected onto the wave (or the
beat) that they should make, and the torque leads that phase, so the body is its own clock. Steering is a bend of the
wave's centre. The constants were found by CMA-ES (Hansen 2016) on selection seeds, beginning from values set by hand.
"""

from dataclasses import dataclass
from math import atan2, cos, hypot, pi, tanh
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


@dataclass(frozen=True, kw_only=True)
class Beat:
    """A fish's strokes. Angles in rad, rates in rad/s, distances in m; actions are angles in [-1, 1] that servos seek.

    Args:
        tail, tail_rate, tail_lead: amplitude of the tail's action, by which its velocity is divided to be an angle,
            and the action's lead over its phase.
        flap, flap_rate, flap_lead: as these, of the fins' flapping.
        paddle: pitch of the fins in phase with their flapping: forward if positive, backward if negative.
        tail_reach, flap_reach: effort per m that the target is ahead; it is limited to 1.
        push: how much of the distance beyond `near_by` counts as ahead, wherever the target is.
        near_by: see `push`.
        bend, drift: the tail's centre and its action per rad of yaw.
        pivot, pivot_from: opposed paddling per rad of yaw beyond a yaw.
        climb: the tail's twist in phase with its beat per rad of pitch.
        level: opposed pitch of the fins by the height of the torso's right side.
        hold: within this distance yaw and pitch count less.
    """

    tail: float
    tail_rate: float
    tail_lead: float
    flap: float
    flap_rate: float
    flap_lead: float
    paddle: float
    tail_reach: float
    flap_reach: float
    push: float
    near_by: float
    bend: float
    drift: float
    pivot: float
    pivot_from: float
    climb: float
    level: float
    hold: float


MOST_BEND = 0.8


def fish_expert(env: gym.Env, *, beat: Beat) -> ActionFunction:
    """Tail and fins beat by their own phases: the tail drives and turns, fins also brake, and a twisted tail climbs.

    It sees joint angles and velocities, the target from the mouth in the torso's frame, and how far the torso is
    rolled. All but the side to which it is rolled is in the state's observation.
    """
    base: Any = env.unwrapped
    data, named = base.physics.data, base.physics.named.data

    def act(observation: Any) -> np.ndarray:
        frame = named.xmat["torso"].reshape(3, 3)  # its columns: right, ahead, up
        right, ahead, up = (named.geom_xpos["target"] - named.geom_xpos["mouth"]) @ frame
        distance = hypot(right, ahead, up)
        far = min(1.0, (distance / beat.hold) ** 2)
        yaw, pitch = far * atan2(-right, ahead), far * atan2(up, hypot(right, ahead))
        angles, rates = data.qpos[7:], data.qvel[6:]  # tail1, twist, tail2, right fin roll, pitch, left fin roll, pitch

        to_go = ahead + beat.push * max(0.0, distance - beat.near_by)
        center = _limited(beat.bend * yaw, MOST_BEND)
        phase = atan2(-rates[0] / beat.tail_rate, angles[0] - center)
        effort = max(0.0, _limited(beat.tail_reach * to_go))
        tail = beat.tail * effort * cos(phase + beat.tail_lead) + beat.drift * yaw
        twist = _limited(beat.climb * pitch) * cos(phase)

        spread, spreading = (angles[3] - angles[5]) / 2, (rates[3] - rates[5]) / 2
        phase = atan2(-spreading / beat.flap_rate, spread)
        flap = beat.flap * cos(phase + beat.flap_lead)
        paddle = beat.paddle * _limited(beat.flap_reach * to_go) * cos(phase)
        excess = yaw - _limited(yaw, beat.pivot_from)
        opposed = beat.pivot * excess * cos(phase) + beat.level * frame[2, 0]
        return np.clip([tail, twist, flap, paddle + opposed, paddle - opposed], -1, 1).astype(np.float32)

    return act


def _limited(value: float, most: float = 1.0) -> float:
    return max(-most, min(most, value))
