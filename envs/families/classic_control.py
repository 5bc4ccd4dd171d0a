"""Classic control: Gymnasium's five environments and an analytic expert for each.

The experts are functions of the current observation alone, so a policy without memory can imitate them. Mean returns
are in the reference scores.
"""

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.headless import prepare_pygame
from generalist.envs.success import SuccessInfo, termination
from generalist.envs.task import ActionFunction, Task


def make(id: str, render_mode: str | None = None) -> gym.Env:
    """The environment of a Gymnasium id; `render_mode` needs pygame."""
    if render_mode is not None:
        prepare_pygame()
    return gym.make(id, render_mode=render_mode, disable_env_checker=True)


def make_with_goal(id: str, render_mode: str | None = None) -> gym.Env:
    """The same for the mountain cars, which terminate exactly at the flag: `info["success"]`."""
    return SuccessInfo(make(id, render_mode), termination)


def cart_pole_expert(env: gym.Env) -> ActionFunction:
    """Pushes towards the side a linear combination of position, velocity, angle and angular velocity falls to."""
    gains = np.array([0.5, 1.0, 10.0, 2.0])
    return lambda observation: int(gains @ observation > 0)


def acrobot_expert(env: gym.Env) -> ActionFunction:
    """Pumps energy: torque along the angular velocity of the actuated joint (observation 5).

    The two small terms (first joint's velocity and sine) break the rare orbits in which pumping alone gets caught.
    """
    return lambda observation: 2 if observation[5] - 0.25 * observation[4] + 0.2 * observation[1] > 0 else 0


def mountain_car_expert(env: gym.Env) -> ActionFunction:
    """Pushes right inside a band of velocities around the resonant orbit, left outside of it.

    The band's shape is fitted over the whole range of initial positions [-0.6, -0.4]: 107 steps at most.
    """

    def act(observation: np.ndarray) -> int:
        position, velocity = observation
        low = min(-0.11 * (position + 0.25) ** 2 + 0.035, 0.2 * (position + 0.9) ** 4 - 0.008)
        high = -0.07 * (position + 0.38) ** 2 + 0.07
        return 2 if low < velocity < high else 0

    return act


def mountain_car_continuous_expert(env: gym.Env) -> ActionFunction:
    """Pushes along the velocity with 0.6 of the engine: action costs 0.1 a^2 per step, so full power wastes return."""
    return lambda observation: np.array([0.6 if observation[1] >= 0 else -0.6], np.float32)


def pendulum_expert(env: gym.Env) -> ActionFunction:
    """Swings up by energy (Astrom and Furuta 2000), and holds the top by a linear law within 26 degrees of it.

    Observation (cos, sin, angular velocity). Energy is zero at rest at the top, in units of m l^2.
    """

    def act(observation: np.ndarray) -> np.ndarray:
        cos, sin, velocity = (float(value) for value in observation)
        if cos > 0.9 and abs(velocity) < 4:
            torque = -12.0 * np.arctan2(sin, cos) - 3.0 * velocity
        else:
            energy = velocity**2 / 6 + 5 * (cos - 1)
            torque = -5.0 * energy * (1 if velocity >= 0 else -1)
        return np.array([np.clip(torque, -2, 2)], np.float32)

    return act


make_cart_pole = partial(make, "CartPole-v1")
make_acrobot = partial(make, "Acrobot-v1")
make_mountain_car = partial(make_with_goal, "MountainCar-v0")
make_mountain_car_continuous = partial(make_with_goal, "MountainCarContinuous-v0")
make_pendulum = partial(make, "Pendulum-v1")


_ROW: dict[str, Any] = {"family": "classic_control", "score": "return", "extra": "classic"}

TASKS = (
    Task(
        id="CartPole-v1",
        make=make_cart_pole,
        expert=cart_pole_expert,
        horizon=500,
        has_success=False,
        episodes=30,
        provenance="Gymnasium; linear law",
        **_ROW,
    ),
    Task(
        id="Acrobot-v1",
        make=make_acrobot,
        expert=acrobot_expert,
        horizon=500,
        has_success=False,
        provenance="Gymnasium; energy pumping",
        **_ROW,
    ),
    Task(
        id="MountainCar-v0",
        make=make_mountain_car,
        expert=mountain_car_expert,
        horizon=200,
        has_success=True,
        provenance="Gymnasium; velocity band",
        **_ROW,
    ),
    Task(
        id="MountainCarContinuous-v0",
        make=make_mountain_car_continuous,
        expert=mountain_car_continuous_expert,
        horizon=999,
        has_success=True,
        provenance="Gymnasium; resonance at 0.6 of full power",
        **_ROW,
    ),
    Task(
        id="Pendulum-v1",
        make=make_pendulum,
        expert=pendulum_expert,
        horizon=200,
        has_success=False,
        episodes=120,
        provenance="Gymnasium; energy swing-up and linear law",
        **_ROW,
    ),
)
