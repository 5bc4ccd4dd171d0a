from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from in_place import STEPS, in_place, rough

from generalist.demonstrations.record import (
    action_noise,
    check_noise,
    find_policy,
    legal_actions,
    random_policy,
    record_episode,
)
from generalist.envs.task import Task


class Scripted(gym.Env):
    """Ends after `length` steps as told; the observation is an array that is overwritten in place."""

    observation_space = spaces.Dict({"state": spaces.Box(-1e6, 1e6, (2,)), "text": spaces.Text(20)})

    def __init__(self, length=5, ending="terminated", action_space=None, success_at=None, reward=1.0):
        self.length, self.ending, self.success_at, self.reward = length, ending, success_at, reward
        self.action_space = action_space or spaces.Box(-1, 1, (2,))
        self.executed = []
        self._state = np.zeros(2, np.float32)

    def _observation(self):
        return {"state": self._state, "text": f"step {self._step}"}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._step, self.executed = 0, []
        self._state[:] = [seed % 1000, 0]
        return self._observation(), {}

    def step(self, action):
        self.executed.append(np.copy(action))
        self._step += 1
        self._state[1] = self._step
        over = self._step == self.length
        ends = {name: over and name in self.ending for name in ("terminated", "truncated")}
        info = {} if self.success_at is None else {"success": self._step == self.success_at}
        return self._observation(), self.reward, ends["terminated"], ends["truncated"], info


def half(env):
    return lambda observation: np.full(2, 0.5)


def task(**changes):
    given = {"id": "Scripted", "family": "gym", "make": Scripted, "expert": half, "horizon": 10, "score": "return"}
    return Task(**(given | {"has_success": False} | changes))


def test_every_observation_is_kept_though_the_environment_reuses_its_array():
    episode = record_episode(Scripted(), task(), half, seed=3)
    assert episode.observations["state"].tolist() == [[3, t] for t in range(6)]
    assert episode.observations["text"].tolist() == [f"step {t}" for t in range(6)]
    assert episode.actions.shape == (5, 2)
    assert episode.rewards.dtype == np.float32
    assert episode.metadata.episode_return == 5.0
    assert len(episode) == 5


def test_lists_that_a_policy_or_environment_changes_later_are_kept_as_they_were():
    env, given = Scripted(action_space=spaces.MultiBinary(2)), [0, 0]

    def act(observation):
        given[0] = len(env.executed) % 2
        return given

    env.observation_space, env._observation = spaces.Box(-9, 9, (1,)), lambda: given[1:]
    assert record_episode(env, task(), lambda env: act, seed=0).actions[:, 0].tolist() == [0, 1, 0, 1, 0]
    readings = [0.0]

    def observe():
        readings[0] += 1
        return readings

    env._observation = observe
    assert record_episode(env, task(), lambda env: act, seed=0).observations[:, 0].tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("ending", ["terminated", "truncated", "terminated and truncated"])
def test_terminated_and_truncated_are_kept_apart(ending):
    episode = record_episode(Scripted(ending=ending), task(), half, seed=0)
    assert episode.terminated == ("terminated" in ending)
    assert episode.truncated == ("truncated" in ending)


def test_noise_is_executed_and_the_clean_action_is_recorded():
    env = Scripted()
    episode = record_episode(env, task(), half, seed=0, noise=0.3)
    np.testing.assert_array_equal(episode.actions, np.full((5, 2), 0.5, np.float32))
    assert not np.allclose(env.executed, 0.5)
    assert np.abs(env.executed).max() <= 1
    assert episode.metadata.noise == 0.3


def test_noise_depends_on_the_seed_only():
    runs = []
    for seed in (1, 1, 2):
        env = Scripted()
        record_episode(env, task(), half, seed=seed, noise=0.3)
        runs.append(np.array(env.executed))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_without_noise_the_recorded_action_is_executed():
    env = Scripted()
    episode = record_episode(env, task(), lambda env: lambda observation: np.array([3.0, -0.25]), seed=0)
    np.testing.assert_array_equal(episode.actions, np.tile(np.float32([1.0, -0.25]), (5, 1)))
    np.testing.assert_array_equal(env.executed, episode.actions)


def test_random_policy_is_a_function_of_the_seed():
    env = Scripted()
    actions = [record_episode(env, task(), random_policy, seed=seed).actions for seed in (1, 2, 1)]
    np.testing.assert_array_equal(actions[0], actions[2])
    assert not np.array_equal(actions[0], actions[1])


@pytest.mark.parametrize(("at", "expected"), [(3, True), (99, False)])
def test_success_is_any_step_that_reached_the_goal(at, expected):
    with_success = task(has_success=True)
    assert record_episode(Scripted(success_at=at), with_success, half, seed=0).metadata.success is expected
    assert record_episode(Scripted(), task(), half, seed=0).metadata.success is None


@pytest.mark.parametrize(
    ("env", "changes", "policy", "message"),
    [
        (Scripted(length=11), {}, half, "longer than the task's horizon, 10 steps"),
        (Scripted(), {"has_success": True}, half, "has no 'success'"),
        (Scripted(reward=np.nan), {}, half, "reward that is not finite"),
        (Scripted(), {}, lambda env: lambda observation: [np.nan, 0], "without NaN"),
        (Scripted(), {}, lambda env: lambda observation: [0.0], "the policy gave the action"),
        (
            Scripted(action_space=spaces.Discrete(3)),
            {},
            lambda env: lambda observation: 3,
            "the policy gave the action 3",
        ),
    ],
)
def test_broken_contracts_are_errors(env, changes, policy, message):
    with pytest.raises(ValueError, match=message):
        record_episode(env, task(**changes), policy, seed=0)


def test_an_observation_outside_its_space_is_named():
    env = Scripted()
    env.observation_space = spaces.Dict({"state": spaces.Box(-1, 1, (3,)), "text": spaces.Text(20)})
    with pytest.raises(ValueError, match=r"observation\['state'\]: values have shape \(2,\), the space has \(3,\)"):
        record_episode(env, task(), half, seed=0)


ACTION_SPACES = st.sampled_from(
    [
        spaces.Box(-3, 1, (2,)),
        spaces.Box(0, 200, (3,), np.uint8),
        spaces.Discrete(4, start=-2),
        spaces.MultiDiscrete([2, 3, 4], start=[1, 2, 3]),
        spaces.MultiBinary(5),
        spaces.Dict({"arm": spaces.Box(-1, 1, (2, 2)), "hand": spaces.Tuple([spaces.Discrete(3)])}),
    ]
)


@settings(max_examples=60)
@given(ACTION_SPACES, st.floats(0, 1), st.integers(0, 1000))
def test_noisy_actions_stay_in_the_space(space, noise, seed):
    space.seed(seed)
    action = legal_actions(space)(space.sample())
    assert space.contains(action_noise(space, noise, np.random.default_rng(seed))(action))


def test_actions_as_policies_give_them_become_those_of_the_space():
    box = legal_actions(spaces.Box(np.array([-1, 0], np.float32), np.array([1, np.inf], np.float32)))
    clipped = box([-np.inf, np.inf])  # infinities of both signs are not NaN
    assert clipped.dtype == np.float32
    assert clipped.tolist() == [-1, np.inf]
    integer = legal_actions(spaces.Discrete(3, start=5))
    assert [integer(given) for given in (5, np.int64(6), np.array(7))] == [5, 6, 7]
    assert type(integer(np.int64(6))) is int
    nested = legal_actions(spaces.Dict({"arm": spaces.Box(-1, 1, (1,)), "bits": spaces.MultiBinary(2)}))
    found = nested({"bits": [1, 0], "arm": [9.0]})
    assert (found["arm"].tolist(), found["bits"].dtype, found["bits"].tolist()) == ([1.0], np.int8, [1, 0])


@pytest.mark.parametrize(
    ("space", "action"),
    [
        (spaces.Discrete(3, start=5), 4),
        (spaces.Discrete(3, start=5), 8),
        (spaces.Discrete(3), 1.0),
        (spaces.Discrete(3), [1]),
        (spaces.MultiBinary(2), [1, 2]),
        (spaces.Tuple([spaces.Box(-1, 1, (2,))]), [[0.0, np.nan]]),
        (spaces.Text(2), "abc"),
    ],
)
def test_an_action_outside_its_space_is_refused(space, action):
    with pytest.raises(ValueError, match="the policy gave the action"):
        legal_actions(space)(action)


def test_size_of_the_noise():
    rng = np.random.default_rng(0)
    wide = spaces.Box(-100, 300, (2000,))
    assert np.std(action_noise(wide, 0.1, rng)(np.full(2000, 100.0))) == pytest.approx(20, rel=0.1)
    coin = action_noise(spaces.Discrete(2), 0.5, rng)
    assert np.mean([coin(0) for _ in range(4000)]) == pytest.approx(0.25, abs=0.03)
    bits = action_noise(spaces.MultiBinary(4000), 0.5, rng)
    assert np.mean(bits(np.zeros(4000, np.int8))) == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(
    ("space", "noise", "message"),
    [
        (spaces.Box(-1, 1, (1,)), -0.1, "at least 0"),
        (spaces.Tuple([spaces.Box(-np.inf, 1, (1,))]), 0.1, r"unbounded"),
        (spaces.Discrete(2), 1.5, "is a probability"),
        (spaces.Text(3), 0.1, "no noise for text"),
    ],
)
def test_noise_without_a_meaning_is_refused(space, noise, message):
    with pytest.raises(ValueError, match=message):
        check_noise(space, noise)
    check_noise(space, 0.0)


def test_policies_by_name():
    assert find_policy(task(), None) == ("expert", half)
    assert find_policy(task(), "random") == ("random", random_policy)
    Path("policies_for_record.py").write_text("def go(env):\n    return lambda observation: [0.1, 0.2]\nNUMBER = 3\n")
    name, factory = find_policy(task(), "policies_for_record:go")
    assert name == "policies_for_record:go"
    assert factory(None)(None) == [0.1, 0.2]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("nocolon", "must be 'random' or 'module:function', or a learned expert's file"),
        ("nowhere.npz", "cannot read the actor nowhere.npz"),
        ("no_such_module_here:f", "ModuleNotFoundError"),
        ("json:no_such_function", "AttributeError"),
        ("math:pi", "is not a function"),
    ],
)
def test_policies_that_cannot_be_found(policy, message):
    with pytest.raises(ValueError, match=message):
        find_policy(task(), policy)


def test_a_task_without_an_expert_says_what_to_give():
    with pytest.raises(ValueError, match="has no expert: give a policy"):
        find_policy(task(expert=None), None)


def test_the_name_of_a_function_is_the_same_in_every_process():
    assert find_policy(task(), half)[0].endswith(":half")
    assert find_policy(task(), partial(half, speed=3))[0].endswith(":half() {'speed': 3}")


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_what_is_handed_out_may_be_changed(noise):
    """By the environment, which also changes what it gave, and by the policy."""
    walk = in_place()
    episode = record_episode(walk.make(), walk, rough, seed=3, noise=noise)
    np.testing.assert_array_equal(episode.observations["state"], [[3, step] for step in range(STEPS + 1)])
    np.testing.assert_array_equal(episode.actions["arm"], np.tile(np.float32([0.5, 0.25]), (STEPS, 1)))
    np.testing.assert_array_equal(episode.actions["grip"], np.tile([2, 1], (STEPS, 1)))
    if not noise:
        assert episode.rewards.tolist() == [5.5] * STEPS
    assert episode.metadata.success


class Reused:
    """An array of another library that is changed in place: NumPy can read it."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


def test_arrays_of_other_libraries_are_kept_as_they_were():
    env = Scripted(length=3)
    own = Reused([0.0, 0.0])

    def look():
        own.values[1] = float(env._step)
        return {"state": own, "text": "x"}

    env._observation = look
    episode = record_episode(env, task(), half, seed=1)
    assert episode.observations["state"][:, 1].tolist() == [0, 1, 2, 3]
