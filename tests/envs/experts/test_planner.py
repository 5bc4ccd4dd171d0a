"""The planner: its model is the environment's, its rewards are the environment's, and it solves something."""

from functools import partial

import numpy as np
import pytest
from wheels import needs_dm_control

from generalist.envs.experts import mujoco_costs, planner, planner_costs
from generalist.envs.experts.dm_control_experts import suite_simulation
from generalist.envs.experts.planner import Search, Sensor, Simulation, Simulator
from generalist.envs.families.dm_control import SuiteEnv
from generalist.envs.families.mujoco import gymnasium_simulation, make

CART = """<mujoco><worldbody><body name="cart"><joint name="x" type="slide" axis="1 0 0"/><geom size=".1"/></body>
</worldbody><actuator><motor joint="x" gear="5" ctrlrange="-1 1"/></actuator></mujoco>"""


def cart(seed: int = 0) -> Simulation:
    import mujoco

    spec = mujoco.MjSpec.from_string(CART)
    model = mujoco.MjModel.from_xml_string(CART)
    one = np.ones(1)
    return Simulation(model=model, data=mujoco.MjData(model), spec=spec, substeps=4, low=-one, high=one, seed=seed)


def drive(simulation: Simulation, steps: int) -> list[float]:
    """Positions of a cart that is to come to 0.2 m."""
    import mujoco

    def reward(rollouts):
        return -np.abs(rollouts.qpos[..., 0] - 0.2) - 0.02 * np.abs(rollouts.qvel[..., 0])

    act = planner.plan_actions(simulation, reward, Search(steps=30, knots=5, samples=20, every=2), ())
    positions = []
    for _ in range(steps):
        simulation.data.ctrl[:] = act(None)
        mujoco.mj_step(simulation.model, simulation.data, simulation.substeps)
        positions.append(float(simulation.data.qpos[0]))
    return positions


def test_a_cart_comes_to_its_target_and_stays():
    positions = drive(cart(), 250)
    assert np.abs(np.array(positions[-50:]) - 0.2).max() < 0.02


def test_the_plan_is_a_function_of_the_seed():
    assert drive(cart(1), 10) == drive(cart(1), 10) != drive(cart(2), 10)


def test_an_executed_plan_goes_on_where_it_was():
    """Without noise a ramp stays the ramp, across two renewals of the plan."""
    act = planner._Planner(
        cart(), lambda rollouts: rollouts.qpos[..., 0], Search(steps=9, knots=3, samples=1, noise=0, every=2), ()
    )
    act._knots = np.array([[0.0], [0.4], [0.8]])
    assert np.allclose([act.action()[0] for _ in range(5)], [0, 0.1, 0.2, 0.3, 0.4])


def test_interpolation_is_linear_and_constant_outside():
    weights = planner.interpolation(np.array([0.0, 1.0, 5.0, 9.0]), np.array([0.0, 4.0, 8.0]))
    assert np.allclose(weights @ [0.0, 4.0, 0.0], [0, 1, 3, 0])


def test_weights_prefer_the_best_and_ignore_what_diverged():
    weights = planner.sample_weights(np.array([1.0, 2.0, np.nan, -np.inf]), 0.1)
    assert weights.sum() == pytest.approx(1)
    assert list(weights[2:]) == [0, 0]
    assert weights[1] > 0.99
    assert np.allclose(planner.sample_weights(np.zeros(4), 0.1), 0.25)
    with pytest.raises(ValueError, match="not finite"):
        planner.sample_weights(np.full(3, np.nan), 0.1)


def test_the_planning_model_has_the_live_numbers_and_more_sensors():
    simulation = cart()
    simulation.model.body_mass[1] = 7.0
    model = planner.planning_model(simulation, (Sensor("place", "FRAMEPOS", "BODY", "cart"),))
    assert model.body_mass[1] == 7.0
    assert model.nsensordata == 3


def test_a_coarse_step_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="must divide"):
        Simulator(cart(), coarse=3)


WALKER_SPEEDS = {"stand": 0, "walk": 1, "run": 8}
SUITE_REWARDS = [
    *(("walker", task, partial(planner_costs.walker, speed=speed)) for task, speed in WALKER_SPEEDS.items()),
    ("fish", "upright", planner_costs.fish_upright),
]


@needs_dm_control
@pytest.mark.parametrize(("domain", "task", "reward"), SUITE_REWARDS, ids=lambda value: str(value)[:12])
def test_the_simulated_steps_are_the_suites(domain, task, reward):
    """State and reward after each step; sensors lag by one step of the simulator, hence the tolerance."""
    env = SuiteEnv(domain, task)
    env.reset(seed=3)
    actions = np.random.default_rng(0).uniform(-1, 1, (8, *env.action_space.shape)).astype(np.float32)
    rollouts = Simulator(suite_simulation(env), planner_costs.SENSORS.get(domain, ())).run(actions[None])
    rewards = reward(rollouts)[0]
    for step, action in enumerate(actions):
        _, real, *_ = env.step(action)
        assert np.allclose(rollouts.qpos[0, step], env.physics.data.qpos, atol=1e-6)
        assert rewards[step] == pytest.approx(real, abs=0.03)


@pytest.mark.parametrize(
    ("id", "reward", "atol"),
    [
        ("Swimmer-v5", mujoco_costs.swimmer, 1e-5),
        ("Ant-v5", mujoco_costs.ant, 0.05),
        ("Pusher-v5", mujoco_costs.pusher, 1e-5),
    ],
)
def test_the_simulated_steps_are_gymnasiums(id, reward, atol):
    env = make(id)
    env.reset(seed=3)
    high = env.action_space.high
    actions = np.random.default_rng(0).uniform(-high, high, (6, *high.shape)).astype(np.float32)
    sensors = mujoco_costs.PUSHER_SENSORS if id == "Pusher-v5" else ()
    rewards = reward(Simulator(gymnasium_simulation(env), sensors).run(actions[None]))[0]
    for step, action in enumerate(actions):
        _, real, *_ = env.step(action)
        assert step == 0 or rewards[step] == pytest.approx(real, abs=atol)


def test_a_plan_that_falls_is_worth_less_from_there_on():
    healthy = np.array([[True, True, False, True]])
    assert mujoco_costs.until_fall(np.ones((1, 4)), healthy).tolist() == [[1, 1, mujoco_costs.FALL, mujoco_costs.FALL]]
