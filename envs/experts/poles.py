"""Swing-ups of a cart's chain of poles by differential dynamic programming, and LQR at the top.

When an episode's first action is asked for, a trajectory is optimised from its state: control-limited DDP (Tassa et al.
2014) with second derivatives of the cost that are made positive and none of the dynamics, from random forces. A plan's
last state costs what LQR takes from there to the top, so that the plan ends where LQR can take over. Derivatives
are differences of simulated steps: MuJoCo's own do not support the suite's integrator.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.experts.dm_control_experts import linearise
from generalist.envs.mujoco_models import mujoco_module
from generalist.envs.task import ActionFunction


@dataclass(frozen=True, kw_only=True)
class SwingUp:
    """How to swing up.

    Args:
        steps: length of a plan.
        rounds: improvements of a plan at most.
        starts: plans that are optimised, from random forces, until one stays up.
        force: standard deviation of the random forces that a plan begins with, of the greatest.
        speed, action, place: costs of speeds (per (rad/s)^2 and (m/s)^2), of the squared action and of the cart's
            squared place, beside 1 - cos of a pole's angle.
    """

    steps: int
    rounds: int = 150
    starts: int = 6
    force: float = 0.3
    speed: float = 0.02
    action: float = 1.0
    place: float = 0.1


BOUND, BOUND_COST = 1.4, 20.0
"""Metres from the middle beyond which a cart's place costs more, and what each squared one costs."""
HOLD = 250
"""Steps for which LQR must keep the poles up after a plan."""
FALLEN = 2.0
"""Angle of a joint in rad at which LQR gives up."""
STRAY = 0.5
"""Distance from the plan, in m, rad and their rates, at which it is made anew."""


def poles_expert(env: gym.Env, *, swing_up: SwingUp) -> ActionFunction:
    """Follows the trajectory that it optimised before its first action, by gains, and then holds the poles up.

    It sees the state and the model of the simulator. While it swings the poles up, its action depends on the time
    since the plan was made, which is not observed. It plans anew if the poles leave the plan, or fall.
    """
    base: Any = env.unwrapped
    data, chain = base.physics.data, Chain(base, swing_up)
    rng = np.random.default_rng([base.np_random_seed, POLES_STREAM])
    plan, step = Plan(np.empty(0), np.empty(0), np.empty(0)), 0

    def act(observation: Any) -> np.ndarray:
        nonlocal plan, step
        state = np.concatenate([data.qpos, data.qvel])
        action = chain.tracked(plan, state, step) if step < len(plan.actions) else chain.held(state)
        if action is None:
            plan, step = best_plan(chain, state, swing_up, rng), 0
            action = plan.actions[0]
        step += 1
        return np.array([action], np.float32)

    return act


POLES_STREAM = 3
"""Separates the plans' random forces from other uses of an episode's seed."""


@dataclass(frozen=True)
class Plan:
    """Actions [T], the states [T + 1, states] that they lead through, and gains [T, states] of the error from them."""

    actions: np.ndarray
    states: np.ndarray
    gains: np.ndarray


class Chain:
    """The simulated cart and poles; a state is joint positions and velocities, an action one number in [-1, 1]."""

    def __init__(self, base: Any, swing_up: SwingUp):
        from scipy.linalg import solve_discrete_are

        self._mujoco = mujoco_module()
        self._model = base.physics.model.ptr
        self._data = self._mujoco.MjData(self._model)
        self._rollout = self._mujoco.rollout.Rollout(nthread=0)
        self._full = self._mujoco.mjtState.mjSTATE_FULLPHYSICS.value
        self.joints = int(self._model.nq)
        a, b = linearise(base)
        costs = cost_derivatives(np.zeros((1, 2 * self.joints)), swing_up)[1][0] / 2
        action_cost = swing_up.action * np.eye(1)
        self.value = solve_discrete_are(a, b, costs, action_cost)
        self.gains = np.linalg.solve(action_cost + b.T @ self.value @ b, b.T @ self.value @ a)[0]

    def tracked(self, plan: Plan, state: np.ndarray, step: int) -> float | None:
        """The plan's action in `step`, corrected for the error, or None if that is large."""
        error = state - plan.states[step]
        return None if np.abs(error).max() > STRAY else _limited(plan.actions[step] + plan.gains[step] @ error)

    def held(self, state: np.ndarray) -> float | None:
        """LQR's action, or None if the poles are down."""
        error = self.error(state)
        return None if np.abs(error[1 : self.joints]).max() > FALLEN else _limited(-self.gains @ error)

    def error(self, state: np.ndarray) -> np.ndarray:
        """The state from the top's, angles in [-pi, pi]."""
        error = state.copy()
        error[1 : self.joints] = (error[1 : self.joints] + np.pi) % (2 * np.pi) - np.pi
        return error

    def after(self, state: np.ndarray, action: float) -> np.ndarray:
        data = self._data
        data.qpos[:], data.qvel[:], data.ctrl[:] = state[: self.joints], state[self.joints :], action
        self._mujoco.mj_step(self._model, data)
        return np.concatenate([data.qpos, data.qvel])

    def derivatives(self, states: np.ndarray, actions: np.ndarray, step: float = 1e-5) -> tuple[np.ndarray, np.ndarray]:
        """Matrices [T, states, states] and [T, states] of one step from each state, by central differences."""
        points = np.concatenate([states, actions[:, None]], axis=1)
        size = points.shape[1]
        shifted = points[:, None, None] + step * np.array([1, -1])[:, None, None] * np.eye(size)
        flat = shifted.reshape(-1, size)
        starts = np.concatenate([np.zeros((len(flat), 1)), flat[:, :-1]], axis=1)
        after, _ = self._rollout.rollout(self._model, self._data, starts, flat[:, None, -1:])
        after = after[:, 0, 1:].reshape(len(points), 2, size, size - 1)
        jacobian = ((after[:, 0] - after[:, 1]) / (2 * step)).transpose(0, 2, 1)
        return jacobian[..., :-1], jacobian[..., -1]


def best_plan(chain: Chain, state: np.ndarray, swing_up: SwingUp, rng: np.random.Generator) -> Plan:
    """The first of some optimised plans after which the poles stay up, or the one of least cost."""
    plans = []
    for _ in range(swing_up.starts):
        plan, cost = optimised(chain, state, swing_up, rng)
        if stays_up(chain, plan.states[-1]):
            return plan
        plans.append((cost, plan))
    return min(plans, key=lambda pair: pair[0])[1]


def stays_up(chain: Chain, state: np.ndarray) -> bool:
    for _ in range(HOLD):
        action = chain.held(state)
        if action is None:
            return False
        state = chain.after(state, action)
    return bool(np.abs(chain.error(state)).max() < STRAY)


SHARES = (1.0, 0.5, 0.2, 0.05, 0.01)
"""Of an improvement's step, tried in this order."""


def optimised(chain: Chain, start: np.ndarray, swing_up: SwingUp, rng: np.random.Generator) -> tuple[Plan, float]:
    """A plan from `start`, improved from random forces, and its cost."""
    knots = swing_up.force * rng.standard_normal(swing_up.steps // 20 + 2)
    actions = np.clip(np.interp(np.arange(swing_up.steps) / 20, np.arange(len(knots)), knots), -1, 1)
    no_gains = np.zeros((len(actions), len(start)))
    plan, cost = followed(chain, start, Plan(actions, no_gains, no_gains), swing_up)
    damping = 1.0
    for _ in range(swing_up.rounds):
        steps, gains = improvement(chain, plan, swing_up, damping)
        for share in SHARES:
            tried, its_cost = followed(chain, start, Plan(plan.actions + share * steps, plan.states, gains), swing_up)
            if its_cost < cost:
                break
        else:
            damping *= 5
            if damping > 1e7:
                break
            continue
        gain = cost - its_cost
        plan, cost, damping = tried, its_cost, max(damping / 3, 1e-4)
        if gain < 1e-4 * cost:
            break
    return plan, cost


def followed(chain: Chain, state: np.ndarray, plan: Plan, swing_up: SwingUp) -> tuple[Plan, float]:
    """What becomes of a plan from `state` where its gains act, and what that costs."""
    states, actions = [state], []
    for action, planned, gains in zip(plan.actions, plan.states, plan.gains, strict=False):
        actions.append(_limited(action + gains @ (states[-1] - planned)))
        states.append(chain.after(states[-1], actions[-1]))
    states, actions = np.array(states), np.array(actions)
    error = chain.error(states[-1])
    total = state_costs(states[:-1], swing_up).sum() + swing_up.action * (actions**2).sum()
    total += error @ chain.value @ error
    return Plan(actions, states, plan.gains), float(total)


def state_costs(states: np.ndarray, swing_up: SwingUp) -> np.ndarray:
    joints = states.shape[1] // 2
    place, angles = states[:, 0], np.cumsum(states[:, 1:joints], axis=1)
    beyond = np.maximum(np.abs(place) - BOUND, 0)
    costs = (1 - np.cos(angles)).sum(axis=1) + swing_up.speed * (states[:, joints:] ** 2).sum(axis=1)
    return costs + swing_up.place * place**2 + BOUND_COST * beyond**2


def cost_derivatives(states: np.ndarray, swing_up: SwingUp) -> tuple[np.ndarray, np.ndarray]:
    """Of the states' costs: gradients [T, states], and second derivatives [T, states, states] made positive."""
    joints = states.shape[1] // 2
    place, angles = states[:, 0], np.cumsum(states[:, 1:joints], axis=1)
    beyond = np.sign(place) * np.maximum(np.abs(place) - BOUND, 0)
    first = 2 * swing_up.speed * states
    first[:, 0] = 2 * (swing_up.place * place + BOUND_COST * beyond)
    first[:, 1:joints] = np.cumsum(np.sin(angles)[:, ::-1], axis=1)[:, ::-1]
    second = np.tile(2 * swing_up.speed * np.eye(2 * joints), (len(states), 1, 1))
    second[:, 0, 0] = 2 * (swing_up.place + BOUND_COST * (beyond != 0))
    summed = np.tril(np.ones((joints - 1, joints - 1)))
    second[:, 1:joints, 1:joints] = summed.T @ summed
    return first, second


def improvement(chain: Chain, plan: Plan, swing_up: SwingUp, damping: float) -> tuple[np.ndarray, np.ndarray]:
    """Changes of the actions [T] and gains [T, states], from the plan's end to its beginning."""
    a, b = chain.derivatives(plan.states[:-1], plan.actions)
    first, second = cost_derivatives(plan.states[:-1], swing_up)
    slope, curve = 2 * chain.value @ chain.error(plan.states[-1]), 2 * chain.value
    steps, gains = np.zeros(len(plan.actions)), np.zeros((len(plan.actions), a.shape[1]))
    for step in reversed(range(len(plan.actions))):
        action_slope = 2 * swing_up.action * plan.actions[step] + b[step] @ slope
        through = curve @ b[step]
        action_curve = 2 * swing_up.action + b[step] @ through
        both = a[step].T @ through
        wanted = plan.actions[step] - action_slope / (action_curve + damping)
        steps[step] = _limited(wanted) - plan.actions[step]
        if -1 < wanted < 1:
            gains[step] = -both / (action_curve + damping)
        change, gain = steps[step], gains[step]
        slope = first[step] + a[step].T @ slope + action_slope * gain + change * (both + action_curve * gain)
        curve = second[step] + a[step].T @ curve @ a[step] + np.outer(gain, both) + np.outer(both, gain)
        curve = curve + action_curve * np.outer(gain, gain)
    return steps, gains


def _limited(action: float) -> float:
    return max(-1.0, min(1.0, float(action)))
