"""Experts for the control suite: closed-form laws that read the simulator, and the planner.

A law is computed from the model at hand, so it is also the expert where the physics is drawn anew at each reset. The
recorded action is a function of the simulator's state; what of it the observation shows is the imitator's problem, and
is noted where it shows less.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.experts.planner import Reward, Search, Simulation, plan_actions
from generalist.envs.experts.planner_costs import SENSORS
from generalist.envs.mujoco_models import model_spec, mujoco_module
from generalist.envs.task import ActionFunction


def planner_expert(env: gym.Env, *, reward: Reward, search: Search) -> ActionFunction:
    """Plans in the simulator of the episode, with the physics that it drew."""
    base: Any = env.unwrapped
    return plan_actions(suite_simulation(env), reward, search, SENSORS.get(base.domain, ()))


def suite_simulation(env: gym.Env) -> Simulation:
    """The simulator of a suite environment, for the planner."""
    base: Any = env.unwrapped
    return Simulation(
        model=base.physics.model.ptr,
        data=base.physics.data.ptr,
        spec=model_spec(base.domain, base.task),
        substeps=base.substeps,
        low=base.action_space.low.astype(np.float64),
        high=base.action_space.high.astype(np.float64),
        seed=base.np_random_seed,
    )


CATCH_ANGLE = 0.88
CATCH_FORCE = 3.4
PUMP_GAIN, PUMP_SHARE = 34.0, 1.03
CENTER_GAIN, CENTER_DAMPING = 9.4, 1.84


def cartpole_expert(env: gym.Env) -> ActionFunction:
    """LQR where it holds, and before that energy pumping through the cart's acceleration (Astrom and Furuta 2000).

    The pole's angle is 0 upright and grows towards +x; its energy is 0 at rest upright.
    """
    base: Any = env.unwrapped
    model, data = base.physics.model, base.physics.data
    gear, pole = model.actuator_gear[0, 0], _swinging_body(model, 2)
    total = model.body_mass[1] + model.body_mass[2]
    center, limit = CENTER_GAIN / model.jnt_range[0, 1] ** 2, PUMP_SHARE * gear / total
    gains = linear_quadratic_gains(base, state_costs=(20.0, 20.0, 1.0, 0.5), action_cost=1.0)

    def act(observation: Any) -> np.ndarray:
        angle, (speed, spin) = _wrapped(data.qpos[1]), data.qvel
        balance = gains @ np.array([data.qpos[0], angle, speed, spin])
        if abs(angle) < CATCH_ANGLE and abs(balance[0]) < CATCH_FORCE:
            return np.clip(-balance, -1, 1).astype(np.float32)
        energy = pole.inertia * spin**2 / (2 * pole.moment) + pole.gravity * (np.cos(angle) - 1)
        pump = np.clip(PUMP_GAIN * energy * np.cos(angle) * spin / pole.gravity, -limit, limit)
        wanted = pump - center * data.qpos[0] - CENTER_DAMPING * speed
        turning = pole.moment / pole.inertia * (pole.gravity * np.sin(angle) - wanted * np.cos(angle))
        force = total * wanted + pole.moment * (turning * np.cos(angle) - spin**2 * np.sin(angle))
        return np.clip([force / gear], -1, 1).astype(np.float32)

    return act


def pendulum_expert(env: gym.Env) -> ActionFunction:
    """Full torque along the velocity until the energy suffices, then a proportional-derivative law at the top."""
    base: Any = env.unwrapped
    model, data = base.physics.model, base.physics.data
    pole = _swinging_body(model, 1)
    gear, damping = model.actuator_gear[0, 0], model.dof_damping[0]
    weight = pole.moment * pole.gravity
    stiff, calm = 2 * weight, 2 * np.sqrt(weight * pole.inertia)  # critically damped about an inverted weight

    def act(observation: Any) -> np.ndarray:
        angle, spin = _wrapped(data.qpos[0]), data.qvel[0]
        hold = -stiff * angle - (calm - damping) * spin
        if abs(angle) < 0.5 and abs(hold) < TORQUE_MARGIN * gear:
            return np.clip([hold / gear], -1, 1).astype(np.float32)
        energy = pole.inertia * spin**2 / 2 + weight * (np.cos(angle) - 1)
        direction = 1.0 if spin >= 0 else -1.0
        return np.array([np.clip(-ENERGY_GAIN * (energy - ENERGY_GOAL * weight), -1, 1) * direction], np.float32)

    return act


TORQUE_MARGIN = 1.5
ENERGY_GAIN = 10.0
ENERGY_GOAL = 0.02
"""The energy aimed at, in units of the weight's moment: a little more than the top needs, for the friction."""


def point_mass_expert(env: gym.Env) -> ActionFunction:
    """A stiff proportional-derivative law to the middle, through the directions that the two tendons pull in."""
    base: Any = env.unwrapped
    model, data = base.physics.model, base.physics.data
    pull = (model.wrap_prm[:4].reshape(2, 2) * model.actuator_gear[:2, :1]).T  # force = pull @ action

    def act(observation: Any) -> np.ndarray:
        force = -POINT_GAIN * data.qpos - POINT_DAMPING * data.qvel
        action = np.linalg.solve(pull, force)
        return (action / max(1.0, np.abs(action).max())).astype(np.float32)

    return act


POINT_GAIN, POINT_DAMPING = 5.0, 0.5


def reacher_expert(env: gym.Env) -> ActionFunction:
    """Two-link inverse kinematics and computed torque: joint errors decay as a critically damped oscillator."""
    mujoco = mujoco_module()
    base: Any = env.unwrapped
    physics = base.physics
    model, data = physics.model, physics.data
    inertia = np.zeros((2, 2))
    target = physics.named.model.geom_pos["target", :2]
    upper, fore = (float(model.body_pos[body, 0]) for body in (2, 3))
    gears, damping = model.actuator_gear[:, 0], model.dof_damping
    solutions = two_link_angles(target, upper, fore, elbow_limit=0.98 * model.jnt_range[1, 1])

    def act(observation: Any) -> np.ndarray:
        errors = [np.array([_wrapped(goal[0] - data.qpos[0]), goal[1] - data.qpos[1]]) for goal in solutions]
        error = min(errors, key=np.linalg.norm)
        mujoco.mj_fullM(model.ptr, inertia, data.qM)
        torque = inertia @ (REACHER_RATE**2 * error - 2 * REACHER_RATE * data.qvel) + data.qfrc_bias
        return np.clip((torque + damping * data.qvel) / gears, -1, 1).astype(np.float32)

    return act


REACHER_RATE = 12.0


def lqr_expert(env: gym.Env) -> ActionFunction:
    """The optimal controller of the task's quadratic cost, from the stiffness that the episode drew."""
    base: Any = env.unwrapped
    data, joints, actions = base.physics.data, base.physics.model.nq, base.physics.model.nu
    gains = linear_quadratic_gains(base, state_costs=(0.5,) * joints + (0.0,) * joints, action_cost=0.05)
    high = base.action_space.high[:actions]
    return lambda observation: np.clip(-gains @ np.concatenate([data.qpos, data.qvel]), -high, high).astype(np.float32)


@dataclass(frozen=True)
class SwingingBody:
    """mass times arm (kg m), moment of inertia about its joint (kg m^2), and gravity (m/s^2)."""

    moment: float
    inertia: float
    gravity: float


def _swinging_body(model: Any, body: int) -> SwingingBody:
    """A rigid body that turns about the y axis through its origin, its centre of mass on its z axis."""
    mass, arm = float(model.body_mass[body]), float(model.body_ipos[body, 2])
    # The principal axis that the pole turns about is one of the two large ones.
    inertia = float(np.max(model.body_inertia[body])) + mass * arm**2
    return SwingingBody(mass * arm, inertia, -float(model.opt.gravity[2]))


def linear_quadratic_gains(base: Any, state_costs: tuple[float, ...], action_cost: float) -> np.ndarray:
    """Infinite-horizon gains [actions, 2 joints] of the sampled system at the origin: action = -gains @ (qpos, qvel).

    The linearisation is by central differences over one step of the environment: MuJoCo's own `mjd_transitionFD` does
    not support the RK4 integrator. `state_costs` and `action_cost` are the diagonals of the quadratic cost.
    """
    from scipy.linalg import solve_discrete_are

    a, b = linearise(base)
    state_cost, action_costs = np.diag(state_costs), action_cost * np.eye(b.shape[1])
    value = solve_discrete_are(a, b, state_cost, action_costs)
    return np.linalg.solve(action_costs + b.T @ value @ b, b.T @ value @ a)


def linearise(base: Any, step: float = 1e-5) -> tuple[np.ndarray, np.ndarray]:
    """Matrices a [states, states] and b [states, actions] of one environment step at the origin."""
    mujoco, model = mujoco_module(), base.physics.model.ptr
    data, joints = mujoco.MjData(model), model.nq

    def after(point: np.ndarray) -> np.ndarray:
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:], data.ctrl[:] = np.split(point, [joints, 2 * joints])
        mujoco.mj_step(model, data, base.substeps)
        return np.concatenate([data.qpos, data.qvel])

    columns = [(after(step * axis) - after(-step * axis)) / (2 * step) for axis in np.eye(2 * joints + model.nu)]
    jacobian = np.stack(columns, axis=1)
    return jacobian[:, : 2 * joints], jacobian[:, 2 * joints :]


def two_link_angles(
    target: np.ndarray, upper: float, fore: float, elbow_limit: float = np.pi
) -> tuple[np.ndarray, np.ndarray]:
    """Both pairs of joint angles (shoulder, elbow) that bring the tip of a planar arm to `target`, or near it."""
    cosine = (target @ target - upper**2 - fore**2) / (2 * upper * fore)
    elbow = min(np.arccos(np.clip(cosine, -1, 1)), elbow_limit)
    inner = np.arctan2(fore * np.sin(elbow), upper + fore * np.cos(elbow))
    direction = np.arctan2(target[1], target[0])
    return np.array([direction - inner, elbow]), np.array([direction + inner, -elbow])


def _wrapped(angle: Any) -> Any:
    return (angle + np.pi) % (2 * np.pi) - np.pi
