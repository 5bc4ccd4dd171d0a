import sys

import gymnasium as gym
import numpy as np
import pytest

from generalist.envs.gym_task import DEFAULT_HORIZON, distributions
from generalist.envs.table import find_task
from generalist.envs.task import UnknownTask


class Endless(gym.Env):
    """Never ends, knows no render mode."""

    observation_space = gym.spaces.Dict({"a": gym.spaces.Box(-1, 1, (2,)), "b": gym.spaces.Discrete(3)})
    action_space = gym.spaces.MultiDiscrete([2, 3])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._observe(), {}

    def step(self, action):
        return self._observe(), 1.0, False, False, {}

    def _observe(self):
        return {"a": self.np_random.uniform(-1, 1, 2).astype(np.float32), "b": 0}


@pytest.fixture
def endless():
    gym.register("Endless-v0", Endless)
    yield
    del gym.registry["Endless-v0"]


def length(env) -> tuple[int, bool, bool]:
    env.reset(seed=0)
    steps = 0
    while True:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        steps += 1
        if terminated or truncated:
            return steps, terminated, truncated


def test_a_registered_id_needs_no_row():
    task = find_task("gym:MountainCar-v0")
    assert (task.id, task.family, task.horizon, task.score) == ("gym:MountainCar-v0", "gym", 200, "return")
    assert task.expert is None
    assert task.random_reference is None
    assert length(task.make()) == (200, False, True)


def test_without_a_limit_episodes_are_truncated_at_the_default(endless):
    task = find_task("gym:Endless-v0")
    assert task.horizon == DEFAULT_HORIZON
    assert length(task.make()) == (DEFAULT_HORIZON, False, True)


def test_a_module_registers_its_ids_when_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "some_package_of_envs.py").write_text(
        "import gymnasium as gym\n"
        "gym.register('FromAPackage-v3', 'gymnasium.envs.classic_control:CartPoleEnv', max_episode_steps=7)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    task = find_task("gym:some_package_of_envs:FromAPackage-v3")
    assert task.horizon == 7
    env = task.make()
    assert length(env)[0] <= 7
    assert "some_package_of_envs" in sys.modules
    del gym.registry["FromAPackage-v3"]


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("gym:CartPol-v1", "CartPole-v1"),
        ("gym:CartPole-v99", "CartPole-v1"),
        ("gym:Taxi-v3", "Taxi-v4"),
        ("gym:no_such_package_at_all:Env-v0", "no_such_package_at_all"),
        ("gym:nowhere/Env-v0", "not imported|nearest"),
        ("gym:", "unknown task"),
        ("gym:a b c", "unknown task"),
    ],
)
def test_an_unknown_id_is_one_clear_error(id, message):
    with pytest.raises(UnknownTask, match=message):
        find_task(id)


def test_a_frame_is_rendered():
    env = find_task("gym:CartPole-v1").make(render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().ndim == 3
    env.close()


def test_the_packages_of_an_environment_are_named(endless):
    assert distributions("gym:CartPole-v1") == ("gymnasium",)
    assert distributions("gym:minigrid:MiniGrid-Empty-5x5-v0") == ("minigrid",)
    assert distributions("gym:Endless-v0") == ()


def test_a_module_is_found_in_the_working_folder(tmp_path):
    """As the one of --policy is; the tests' working folder is `tmp_path`."""
    code = "import gymnasium as gym\ngym.register('Here/Own-v0', entry_point=lambda: None, max_episode_steps=7)\n"
    (tmp_path / "module_of_here.py").write_text(code)
    assert find_task("gym:module_of_here:Here/Own-v0").horizon == 7


def test_a_module_that_cannot_be_imported_is_named_whatever_it_raises(tmp_path):
    (tmp_path / "module_that_fails.py").write_text("raise RuntimeError('no display')")
    with pytest.raises(UnknownTask, match="cannot import its module 'module_that_fails': RuntimeError: no display"):
        find_task("gym:module_that_fails:X-v0")
