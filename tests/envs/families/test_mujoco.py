import os
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest

from generalist.demonstrations.record import record_episode
from generalist.envs.families import mujoco
from generalist.envs.seeds import selection_seed


def test_the_linearisation_predicts_the_simulator():
    """Up to where the origin itself drifts: the model's pole is tilted by a hair."""
    env = mujoco.make_inverted_pendulum()
    a, b = mujoco.linearise(env, states=4, actions=1)
    base = env.unwrapped

    def after(state, force):
        base.reset()
        base.set_state(state[:2], state[2:])
        base.do_simulation(force, base.frame_skip)
        return np.concatenate([base.data.qpos, base.data.qvel])

    state, force = np.array([0.01, -0.02, 0.03, 0.01]), np.array([0.05])
    change = after(state, force) - after(np.zeros(4), np.zeros(1))
    assert np.allclose(a @ state + b @ force, change, atol=5e-5)


def test_the_pendulum_survives_the_noise_of_its_demonstrations():
    env = mujoco.make_inverted_pendulum()
    rng = np.random.default_rng(0)
    observation, _ = env.reset(seed=0)
    act = mujoco.inverted_pendulum_expert(env)
    for _ in range(300):
        noisy = np.clip(act(observation) + 0.3 * 3 * rng.normal(size=1), -3, 3).astype(np.float32)
        observation, _, terminated, _, _ = env.step(noisy)
        assert not terminated


@pytest.mark.parametrize("seed", range(5))
def test_inverse_kinematics_reach_the_target(seed):
    """Both solutions put the fingertip of a forward-kinematics arm on the target."""
    target = np.random.default_rng(seed).uniform(-0.13, 0.13, 2)
    for shoulder, elbow in mujoco._reacher_angles(target):
        upper, fore = mujoco.LINKS
        tip = upper * np.array([np.cos(shoulder), np.sin(shoulder)])
        tip += fore * np.array([np.cos(shoulder + elbow), np.sin(shoulder + elbow)])
        assert np.allclose(tip, target, atol=1e-9)


def test_the_reacher_stands_on_its_target_at_the_end():
    env = mujoco.make_reacher()
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        act, over = mujoco.reacher_expert(env), False
        while not over:
            observation, _, terminated, truncated, _ = env.step(act(observation))
            over = terminated or truncated
        assert np.linalg.norm(observation[8:10]) < 0.02


DIGESTS = """
import hashlib
import numpy as np
from generalist.envs.table import find_task

def digest(id):
    env = find_task(id).make()
    env.reset(seed=7)
    env.action_space.seed(7)
    steps = [env.step(env.action_space.sample())[:2] for _ in range(10)]
    leaves = [leaf for x, reward in steps for leaf in (*(x.values() if isinstance(x, dict) else [x]), reward)]
    return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest()

digests = [digest(id) for id in ("Reacher-v5", "babyai/GoToLocalS5N2", "metaworld/push-v3")]
"""


def test_states_need_no_gl_and_the_same_seed_is_the_same_episode_in_another_process():
    """Another process, another hash seed, no display and no MUJOCO_GL: equal episodes, no OpenGL loaded."""
    program = DIGESTS + "import sys\nprint(digests, any(name.startswith('OpenGL') for name in sys.modules))"
    env = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "MUJOCO_GL")}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    here: dict = {}
    exec(DIGESTS, here)
    assert done.stdout.strip() == f"{here['digests']} False", done.stderr


def test_the_rows_are_gymnasiums_eleven_with_its_time_limits():
    limits = {task.id: task.horizon for task in mujoco.TASKS}
    newest = {
        id: spec.max_episode_steps
        for id, spec in gym.registry.items()
        if str(spec.entry_point).startswith("gymnasium.envs.mujoco") and id.endswith("-v5")
    }
    assert limits == newest
    assert len(limits) == 11


def test_the_double_pendulum_survives_the_noise_of_its_demonstrations():
    task = next(task for task in mujoco.TASKS if task.id == "InvertedDoublePendulum-v5")
    episode = record_episode(task.make(), task, task.expert, seed=selection_seed(0), noise=task.noise)
    assert len(episode.rewards) == 1000
    assert episode.metadata.episode_return > 9300


def test_the_planner_repeats_itself_and_beats_idling():
    task = next(task for task in mujoco.TASKS if task.id == "HalfCheetah-v5")
    env = task.make()

    def play(act) -> list[float]:
        env.action_space.seed(0)
        return [float(env.step(act(None))[1]) for _ in range(30)]

    env.reset(seed=4)
    first = play(task.expert(env))
    env.reset(seed=4)
    assert play(task.expert(env)) == first
    env.reset(seed=4)
    assert sum(first) > sum(play(lambda observation: env.action_space.sample())) + 5
