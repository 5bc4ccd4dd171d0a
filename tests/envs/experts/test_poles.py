"""Trajectories of the cart's poles: the derivatives that improve them, and what a plan reaches."""

import numpy as np
import pytest
from wheels import needs_dm_control

from generalist.envs.experts import poles
from generalist.envs.experts.poles import Chain, Plan, SwingUp
from generalist.envs.families.dm_control import SuiteEnv

pytestmark = needs_dm_control

SHORT = SwingUp(steps=40, rounds=10, starts=1)


@pytest.fixture(scope="module")
def env():
    env = SuiteEnv("cartpole", "two_poles")
    env.reset(seed=0)
    return env


@pytest.fixture(scope="module")
def chain(env):
    return Chain(env, SHORT)


def states(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 6)) * [1, 3, 3, 1, 2, 2]


def test_a_step_is_the_simulators(env):
    state = states(1)[0] * 0.1
    with env.physics.reset_context():
        env.physics.data.qpos[:], env.physics.data.qvel[:] = state[:3], state[3:]
    env.step(np.array([0.25], np.float32))
    data = env.physics.data
    assert np.allclose(Chain(env, SHORT).after(state, 0.25), np.r_[data.qpos, data.qvel], atol=1e-9)


def test_derivatives_predict_a_step(chain):
    point, other = 0.3 * states(2)
    a, b = chain.derivatives(point[None], np.array([0.2]))
    moved = point + 1e-4 * other
    expected = chain.after(point, 0.2) + a[0] @ (1e-4 * other) + b[0] * 1e-4
    assert np.allclose(chain.after(moved, 0.2 + 1e-4), expected, atol=1e-6)
    assert not np.allclose(chain.after(moved, 0.2), expected, atol=1e-6)


def test_gradients_are_those_of_the_costs():
    points, step = states(4), 1e-6
    first, second = poles.cost_derivatives(points, SHORT)
    for axis in range(6):
        shift = step * np.eye(6)[axis]
        slope = (poles.state_costs(points + shift, SHORT) - poles.state_costs(points - shift, SHORT)) / (2 * step)
        assert np.allclose(first[:, axis], slope, atol=1e-5)
    assert (np.linalg.eigvalsh(second) > 0).all()


def test_near_the_top_a_plan_does_what_lqr_does(chain):
    """There the problem is linear and quadratic, and a plan's end costs what LQR takes."""
    start = np.array([0.002, 0.001, -0.001, 0, 0, 0])
    plan, cost = poles.optimised(chain, start, SwingUp(steps=40, rounds=30, force=0.01), np.random.default_rng(0))
    assert plan.actions[0] == pytest.approx(chain.held(start), rel=0.02)
    assert cost == pytest.approx(start @ chain.value @ start, rel=0.02)
    assert np.allclose(plan.gains[:-1], -chain.gains, rtol=0.02, atol=0.02)


def test_improvements_lower_the_cost_within_the_limits(chain):
    start = np.array([0, np.pi, 0, 0, 0, 0])
    costs = []
    for rounds in (0, 30):
        swing_up = SwingUp(steps=40, rounds=rounds, force=1.0)
        plan, cost = poles.optimised(chain, start, swing_up, np.random.default_rng(1))
        assert np.abs(plan.actions).max() <= 1
        costs.append(cost)
    assert costs[1] < 0.9 * costs[0]


def test_lqr_keeps_up_what_is_nearly_up_and_gives_up_what_is_down(chain):
    assert poles.stays_up(chain, np.array([0.2, 0.1, -0.05, 0, 0, 0]))
    assert poles.stays_up(chain, np.array([0.2, 2 * np.pi + 0.1, -0.05, 0, 0, 0]))
    assert not poles.stays_up(chain, np.array([0, 1.0, 1.0, 0, 0, 0]))
    assert chain.held(np.array([0, np.pi, 0, 0, 0, 0])) is None


def test_a_plan_that_is_left_is_not_followed(chain):
    plan = Plan(np.array([0.5]), np.zeros((2, 6)), np.full((1, 6), 0.1))
    assert chain.tracked(plan, np.full(6, 0.1), 0) == pytest.approx(0.56)
    assert chain.tracked(plan, np.full(6, 10.0), 0) is None
