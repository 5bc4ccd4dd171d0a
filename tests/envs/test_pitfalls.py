"""What goes wrong with these environments and is easily not seen: one test for each known pitfall.

Those that belong to one family are in its own test file: seeds of Meta-World and its visible goal, shapes and limits
of DM Control, JPEG in Minari, mission spaces.
"""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from generalist.configs.commands import cli
from generalist.demonstrations.record import record_episode
from generalist.envs.families import babyai, metaworld
from generalist.envs.seeds import selection_seed
from generalist.envs.table import find_task
from generalist.envs.task import UnknownTask


class Counted(gym.Wrapper):
    """Counts the steps the environment was really given."""

    steps = 0

    def step(self, action):
        self.steps += 1
        return self.env.step(action)


def test_no_dummy_step_of_an_autoreset_is_recorded():
    """In vector environments the step after a terminal one ignores its action; recording has none of it."""
    task = find_task("CliffWalking-v1")
    env = Counted(task.make())
    for number in range(3):
        episode = record_episode(env, task, task.expert, seed=selection_seed(number))
        assert len(episode) == 13
        assert episode.rewards.tolist() == [-1.0] * 13
    assert env.steps == 3 * 13


def cart_pole_vector(mode: AutoresetMode) -> SyncVectorEnv:
    return SyncVectorEnv([lambda: gym.make("CartPole-v1")], autoreset_mode=mode)


def until_terminated(env: SyncVectorEnv) -> tuple:
    env.reset(seed=0)
    while True:
        observation, reward, terminated, _, info = env.step(np.array([0]))
        if terminated[0]:
            return observation, reward, info


def test_next_step_autoreset_ignores_one_action():
    env = cart_pole_vector(AutoresetMode.NEXT_STEP)
    last, _, _ = until_terminated(env)
    observation, reward, terminated, *_ = env.step(np.array([1]))
    assert (reward[0], terminated[0]) == (0.0, False)
    assert np.abs(observation).max() < 0.05 < np.abs(last).max()


def test_same_step_autoreset_hides_the_last_observation_in_info():
    observation, reward, info = until_terminated(cart_pole_vector(AutoresetMode.SAME_STEP))
    assert reward[0] == 1.0
    assert np.abs(observation).max() < 0.05 < np.abs(info["final_obs"][0]).max()


def test_disabled_autoreset_refuses_a_step_after_the_end():
    env = cart_pole_vector(AutoresetMode.DISABLED)
    until_terminated(env)
    with pytest.raises(AssertionError):
        env.step(np.array([0]))


def test_babyai_in_processes_keeps_its_missions():
    """Shared memory refuses MiniGrid's own MissionSpace; a Text space stays blank there in Gymnasium 1.4."""
    env = AsyncVectorEnv([partial(babyai.make, "GoToObj")] * 2, shared_memory=False)
    try:
        observation, _ = env.reset(seed=[1, 2])
        assert observation["image"].shape == (2, 56, 56, 3)
        assert all(mission.startswith("go to") for mission in observation["mission"])
    finally:
        env.close()


def test_a_vector_environment_does_not_mix_spaces():
    """Hence one environment for each task, in evaluation and in collection."""
    with pytest.raises((AssertionError, RuntimeError)):
        SyncVectorEnv([find_task("CartPole-v1").make, find_task("Pendulum-v1").make])


def test_metaworld_is_truncated_at_its_limit_and_not_broken_by_it():
    """Its own step 501 is a ValueError, and its own success ends nothing."""
    env = metaworld.make("push-v3")
    env.reset(seed=0)
    for number in range(metaworld.HORIZON):
        *_, terminated, truncated, _ = env.step(np.zeros(4, np.float32))
        assert (terminated, truncated) == (False, number == metaworld.HORIZON - 1)
    env.reset(seed=1)
    env.step(np.zeros(4, np.float32))


def test_metaworlds_registry_has_no_say_in_our_tasks():
    """Its ML1-train and ML1-test share one split that is bound late; our tasks are made of the classes."""
    before = metaworld.make("reach-v3").reset(seed=7)[0]
    gym.make_vec("Meta-World/ML1-train", env_name="reach-v3", seed=3, meta_batch_size=1)
    env = metaworld.make("reach-v3")
    assert np.array_equal(env.reset(seed=7)[0], before)
    assert env.spec is None


def test_babyai_prints_nothing(capfd):
    env = babyai.make("GoToImpUnlock")
    for seed in range(5):
        env.reset(seed=seed)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("gone", "now"),
    [
        ("Taxi-v3", "Taxi-v4"),
        ("LunarLander-v2", "LunarLander-v3"),
        ("HalfCheetah-v3", "HalfCheetah-v5"),
        ("babyai/GoToObjS6-v0", "babyai/GoToObjS6"),
        ("gym:Taxi-v3", "Taxi-v4"),
        ("gym:LunarLander-v2", "LunarLander-v3"),
        ("gym:minigrid:BabyAI-GoToObjS6-v0", "BabyAI-GoToObjS6-v1"),
    ],
)
def test_an_id_that_is_gone_names_the_one_of_today(gone, now):
    with pytest.raises(UnknownTask, match=now):
        find_task(gone)


@pytest.mark.filterwarnings("ignore:.*is out of date:DeprecationWarning")
def test_an_id_that_is_registered_but_gone_is_one_line(tmp_path, capsys):
    args = ["collect", "--task", "gym:HalfCheetah-v3", "--policy", "random", "--workers", "0", "--out", str(tmp_path)]
    assert cli.main(args) == 2
    err = capsys.readouterr().err
    assert [line for line in err.splitlines() if line.startswith("error: collecting gym:HalfCheetah-v3 failed: ")]
    assert "Traceback" not in err
