"""The control suite: the suite's own episodes behind Gymnasium's contract, its variants, and its analytic experts."""

import pickle
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from wheels import needs_dm_control

from generalist.envs.experts.dm_control_experts import linearise, two_link_angles
from generalist.envs.families import dm_control
from generalist.envs.families.dm_control import SUITE, TASKS, VARIED, SuiteEnv
from generalist.envs.families.dm_control_variants import FACTORS, draw_factors, varied_model
from generalist.envs.mujoco_models import model_spec
from generalist.envs.seeds import selection_seed

pytestmark = needs_dm_control

BY_ID = {task.id: task for task in TASKS}


def actions_for(env, count: int) -> list:
    env.action_space.seed(3)
    return [env.action_space.sample() for _ in range(count)]


def record(env, seed: int, actions: list) -> np.ndarray:
    """Every number of an episode's beginning."""
    observation, _ = env.reset(seed=seed)
    numbers = [np.ravel(value) for value in observation.values()]
    for action in actions:
        observation, reward, *_ = env.step(action)
        numbers += [np.ravel(value) for value in observation.values()] + [np.array([reward])]
    return np.concatenate(numbers)


def play(env, act, seed: int) -> tuple[float, int, bool, bool]:
    observation, _ = env.reset(seed=seed)
    action_of, total, steps, terminated, truncated = act(env), 0.0, 0, False, False
    while not (terminated or truncated):
        observation, reward, terminated, truncated, _ = env.step(action_of(observation))
        total, steps = total + reward, steps + 1
        assert steps <= 1000
    return total, steps, terminated, truncated


def test_the_rows_are_the_suites_tasks():
    dm_control.make("cartpole", "balance")
    from dm_control import suite

    assert [(domain, task) for domain, tasks in SUITE.items() for task in tasks] == list(suite.ALL_TASKS)
    assert set(VARIED) == {which for which in suite.BENCHMARKING if which[0] != "swimmer"}
    kinds = [task.id.split("/")[0] for task in TASKS]
    counts = {"dm_control": 51, "dm_control_pixels": 51, "dm_control_small": 26, "dm_control_large": 26}
    assert {kind: kinds.count(kind) for kind in counts} == counts
    assert len(BY_ID) == len(TASKS) == 154
    assert all(task.expert is not None or task.note for task in TASKS)


def test_rows_can_be_sent_to_workers():
    assert pickle.loads(pickle.dumps(TASKS)) is not None


def test_the_module_imports_without_mujoco():
    code = "import sys, generalist.envs.families.dm_control; sys.exit('mujoco' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("domain", "task"),
    [
        ("cheetah", "run"),
        ("finger", "turn_hard"),
        ("lqr", "lqr_6_2"),
        ("manipulator", "insert_peg"),
        ("point_mass", "hard"),
        ("quadruped", "escape"),
        ("reacher", "easy"),
        ("swimmer", "swimmer6"),
    ],
)
@pytest.mark.filterwarnings("ignore:.in1d. is deprecated:DeprecationWarning")  # the suite's quadruped, unwrapped
def test_an_episode_is_the_suites_own(domain, task):
    """In a used environment too: these tasks write targets, terrain or springs into their model."""
    env = SuiteEnv(domain, task)
    from dm_control import suite

    actions = actions_for(env, 8)
    record(env, 4, actions[:3])
    seen = record(env, 5, actions)
    original, numbers = suite.load(domain, task, {"random": 5}), []
    for step in [original.reset(), *(original.step(action.astype(np.float64)) for action in actions)]:
        numbers += [np.ravel(np.float32(value)) for value in step.observation.values()]
        numbers += [] if step.reward is None else [np.array([step.reward])]
    assert np.array_equal(seen, np.concatenate(numbers))


@pytest.mark.parametrize("id", ["dm_control_small/walker-run", "dm_control_large/finger-spin", "dm_control/fish-swim"])
def test_the_same_seed_is_the_same_episode(id):
    env, used = BY_ID[id].make(), BY_ID[id].make()
    actions = actions_for(env, 10)
    record(used, 7, actions[:4])
    expected = record(env, 5, actions)
    assert np.array_equal(record(used, 5, actions), expected)
    assert np.array_equal(record(env, 5, actions), expected)
    assert not np.array_equal(record(env, 6, actions), expected)


@pytest.mark.parametrize("id", ["dm_control/lqr-lqr_2_1", "dm_control/cartpole-two_poles"])
def test_the_time_limit_truncates(id):
    env = BY_ID[id].make()
    idle = np.zeros(env.action_space.shape, np.float32)
    assert play(env, lambda env: lambda observation: idle, 1)[1:] == (1000, False, True)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(idle)


def test_discount_zero_terminates():
    env = SuiteEnv("lqr", "lqr_2_1")
    env.reset(seed=0)
    with env.physics.reset_context():
        env.physics.data.qpos[:] = 0
    assert env.step(np.zeros(1, np.float32))[2:4] == (True, False)


@pytest.mark.parametrize("id", ["dm_control/walker-stand", "dm_control/manipulator-bring_ball", "dm_control/fish-swim"])
def test_observations_have_dimensions_and_lie_in_their_space(id):
    env = BY_ID[id].make()
    observation, _ = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    assert all(value.ndim >= 1 for value in observation.values())
    assert env.observation_space.contains(env.step(env.action_space.sample())[0])


def test_pixels_are_the_same_episode_seen():
    state, pixels = BY_ID["dm_control/reacher-easy"].make(), BY_ID["dm_control_pixels/reacher-easy"].make("rgb_array")
    state.reset(seed=2)
    image = pixels.reset(seed=2)[0]["image"]
    assert pixels.observation_space["image"].contains(image)
    assert image.std() > 1
    after, reward, *_ = pixels.step(np.ones(2, np.float32))
    assert reward == state.step(np.ones(2, np.float32))[1]
    assert not np.array_equal(after["image"], image)
    assert pixels.render().shape == (240, 320, 3)


@pytest.mark.parametrize("scale", FACTORS)
def test_factors_lie_in_both_intervals(scale):
    factors = draw_factors(np.random.default_rng(0), scale, 2000)
    low, high = FACTORS[scale]
    inside = [(factors >= start) & (factors <= stop) for start, stop in (low, high)]
    assert (inside[0] | inside[1]).all()
    assert all(0.4 < part.mean() < 0.6 for part in inside)


@pytest.mark.parametrize("domain", ["walker", "finger", "cartpole"])
def test_drawn_parameters_lie_in_the_intervals_of_their_scale(domain):
    plain, drawn = model_spec(domain).compile(), varied_model(domain, "large", np.random.default_rng(1))
    bodies = plain.geom_bodyid
    moving = plain.body_weldid[bodies] != 0
    ratios = {
        "gear": drawn.actuator_gear[:, 0] / plain.actuator_gear[:, 0],
        "range": _ratio(drawn.jnt_range, plain.jnt_range),
        "stiffness": _ratio(drawn.jnt_stiffness, plain.jnt_stiffness),
        "damping": _ratio(drawn.dof_damping, plain.dof_damping),
        "size": _ratio(drawn.geom_size[moving, 0], plain.geom_size[moving, 0]),
    }
    for name, values in ratios.items():
        kept = np.isclose(values, 1) if (domain, name) == ("finger", "size") else np.zeros(values.shape, bool)
        inside = ((values > 0.599) & (values < 0.801)) | ((values > 1.199) & (values < 1.401))
        assert (inside | kept).all(), (name, values)
        assert kept.sum() == 2 * kept.any()
    assert np.array_equal(drawn.geom_size[~moving], plain.geom_size[~moving])
    assert not np.isclose(drawn.body_mass[1:], plain.body_mass[1:]).all()


def test_density_is_drawn_apart_from_size():
    """The reacher's finger is one sphere."""
    plain = model_spec("reacher").compile()
    ratios = []
    for seed in range(8):
        drawn = varied_model("reacher", "small", np.random.default_rng(seed))
        volume = (drawn.geom("finger").size[0] / plain.geom("finger").size[0]) ** 3
        ratios.append(drawn.body("finger").mass[0] / plain.body("finger").mass[0] / volume)
    assert all(0.899 < ratio < 0.951 or 1.049 < ratio < 1.101 for ratio in ratios)
    assert np.std(ratios) > 0.01


def _ratio(drawn: np.ndarray, plain: np.ndarray) -> np.ndarray:
    return drawn[plain != 0] / plain[plain != 0]


def test_a_variant_starts_from_the_suites_model_each_time():
    """Factors do not pile up over episodes."""
    env = BY_ID["dm_control_large/cartpole-balance"].make()
    for seed in range(6):
        env.reset(seed=seed)
        assert env.unwrapped.physics.model.actuator_gear[0, 0] != 10
        assert 5.99 < env.unwrapped.physics.model.actuator_gear[0, 0] < 14.01
    assert np.array_equal(env.unwrapped.physics.model.body_mass, _mass_after(seed=5))


def _mass_after(seed: int) -> np.ndarray:
    env = BY_ID["dm_control_large/cartpole-balance"].make()
    env.reset(seed=seed)
    return np.array(env.unwrapped.physics.model.body_mass)


LEAST = {
    "dm_control/cartpole-balance": 990,
    "dm_control/cartpole-balance_sparse": 990,
    "dm_control/cartpole-swingup": 820,
    "dm_control/cartpole-swingup_sparse": 600,
    "dm_control/cartpole-two_poles": 700,
    "dm_control/lqr-lqr_2_1": 700,
    "dm_control/lqr-lqr_6_2": 650,
    "dm_control/pendulum-swingup": 650,
    "dm_control/point_mass-easy": 800,
    "dm_control/point_mass-hard": 800,
    "dm_control/reacher-easy": 930,
    "dm_control/fish-swim": 500,
    "dm_control/quadruped-walk": 600,
    "dm_control/quadruped-run": 400,
    "dm_control/reacher-hard": 930,
    "dm_control/swimmer-swimmer6": 400,
    "dm_control/swimmer-swimmer15": 200,
    "dm_control_small/fish-swim": 500,
    "dm_control_small/cartpole-swingup": 600,
    "dm_control_large/cartpole-balance": 990,
}


@pytest.mark.parametrize("id", LEAST)
def test_the_analytic_expert_is_one(id):
    total, steps, _, truncated = play(BY_ID[id].make(), BY_ID[id].expert, selection_seed(1))
    assert steps == 1000
    assert truncated
    assert total > LEAST[id]


def test_the_planner_repeats_itself():
    task = BY_ID["dm_control_large/ball_in_cup-catch"]

    def actions(env) -> np.ndarray:
        observation, _ = env.reset(seed=9)
        act = task.expert(env)
        taken = []
        for _ in range(6):
            taken.append(act(observation))
            observation, *_ = env.step(taken[-1])
        return np.array(taken)

    env, used = task.make(), task.make()
    record(used, 3, actions_for(used, 3))
    first = actions(env)
    assert np.array_equal(actions(used), first)
    assert np.array_equal(actions(env), first)


def test_the_linearisation_predicts_the_simulator():
    env = SuiteEnv("cartpole", "balance")
    env.reset(seed=0)
    a, b = linearise(env)
    state, force = np.array([0.01, -0.02, 0.01, 0.02]), np.array([0.1])
    data = env.physics.data
    with env.physics.reset_context():
        data.qpos[:], data.qvel[:] = np.split(state, 2)
    env.step(force)
    assert np.allclose(np.concatenate([data.qpos, data.qvel]), a @ state + b @ force, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_inverse_kinematics_reach_the_target(seed):
    target = np.random.default_rng(seed).uniform(-0.15, 0.15, 2)
    for shoulder, elbow in two_link_angles(target, 0.12, 0.12):
        tip = 0.12 * np.array([np.cos(shoulder), np.sin(shoulder)])
        tip += 0.12 * np.array([np.cos(shoulder + elbow), np.sin(shoulder + elbow)])
        assert np.allclose(tip, target, atol=1e-9)
    limited = two_link_angles(np.array([0.05, 0.0]), 0.12, 0.12, elbow_limit=1.0)
    assert [abs(angles[1]) for angles in limited] == [1.0, 1.0]
