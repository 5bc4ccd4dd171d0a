"""A trot for the control suite's quadruped, and the move by which it gets from its back onto its feet.

The actuators are servos with a filter of 0.1 s: an action says where a leg should be. A leg has three, in the order
yaw, lift, extend; the legs are front left, front right, back right, back left. The constants were found on selection
seeds: the trot's by a few trials, the move's by random search from the rest on the back.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.task import ActionFunction

TURN_OVER = np.array(
    [
        [[1, 0, 0.5], [-1, 0, -1], [-1, 0, 0], [-1, 0, 1]],
        [[-1, 0, 1], [1, -1, 1], [-1, 1, 1], [0, -1, 1]],
        [[1, 1, 0], [-1, -1, -1], [1, 1, 0], [1, -1, 0]],
        [[0, 0, 0], [-1, 0, 0], [0, 0, 0], [0, 0, 0.5]],
    ]
)
"""Postures [4, legs, actuators] in shares of the actuators' limits, taken one after the other."""
POSTURE_STEPS, SETTLE_STEPS = 13, 30
"""Steps of 20 ms in each posture, and those in the middle posture after them."""
UPRIGHT = 0.5
"""Cosine of the torso's tilt above which it trots."""
STILL = 0.3
"""Greatest speed, in m/s or rad/s, of the body and its joints at which the move begins."""


@dataclass(frozen=True, kw_only=True)
class Trot:
    """Two diagonal pairs of legs by turns.

    Args:
        rate: strides a second.
        swing: amplitude of the yaws.
        lift: of a leg on its way forward.
        extend, extended: amplitude and middle of the extension.
        lead: of lift and extension over the yaws, in rad.
    """

    rate: float
    swing: float
    lift: float
    extend: float
    extended: float
    lead: float


FORWARD = np.array([1, -1, -1, 1])
"""Sign of a yaw that brings a leg back: the legs' hips turn the same way around."""
PAIR = np.pi * np.array([0, 1, 0, 1])


def quadruped_expert(env: gym.Env, *, trot: Trot) -> ActionFunction:
    """Turns over if it lies still, waits if it falls, and trots if it is upright.

    It sees how upright the torso is, all speeds, whether anything touches, and the simulator's time, which is the
    trot's clock and is not observed; it remembers how far the move is.
    """
    base: Any = env.unwrapped
    physics, low, high = base.physics, base.action_space.low, base.action_space.high
    moving: int | None = None

    def act(observation: Any) -> np.ndarray:
        nonlocal moving
        upright = float(physics.torso_upright()) > UPRIGHT
        lies = physics.data.ncon > 0 and np.abs(physics.data.qvel).max() < STILL
        if moving is None and lies and not upright:
            moving = 0
        if moving is not None:
            posture = moving // POSTURE_STEPS
            moving = moving + 1 if moving + 1 < POSTURE_STEPS * len(TURN_OVER) + SETTLE_STEPS else None
            if posture < len(TURN_OVER):
                share = TURN_OVER[posture].ravel()
                return np.where(share > 0, high * share, -low * share).astype(np.float32)
        elif upright:
            return np.clip(trotting(trot, physics.data.time), low, high).astype(np.float32)
        return np.zeros(len(low), np.float32)

    return act


def trotting(trot: Trot, time: float) -> np.ndarray:
    """The trot's action [legs * actuators] at a time in seconds."""
    phase = 2 * np.pi * trot.rate * time + PAIR
    wave = np.sin(phase + trot.lead)
    lift, extend = trot.lift * np.maximum(wave, 0), trot.extended - trot.extend * wave
    return np.stack([-trot.swing * np.cos(phase) * FORWARD, lift, extend], axis=1).ravel()
