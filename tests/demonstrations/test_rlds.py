import subprocess
import sys
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import tensorflow_datasets as tfds
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from generalist.demonstrations.episode import Episode, EpisodeMetadata
from generalist.demonstrations.rlds import Record, encode_episode, rlds_features, stack_leaf
from generalist.envs.spaces import build_value, space_leaves, value_at

LEAVES = st.sampled_from(
    [
        spaces.Box(-np.inf, np.inf, (3,)),
        spaces.Box(-1, 1, (), np.float64),
        spaces.Box(0, 255, (4, 4, 3), np.uint8),
        spaces.Box(0, 1, (0, 2)),
        spaces.Box(0, 2**64 - 1, (2,), np.uint64),
        spaces.Box(0, 1, (2,), np.bool_),
        spaces.Discrete(7, start=-3),
        spaces.MultiDiscrete([[2, 3], [4, 5]]),
        spaces.MultiBinary([2, 2]),
        spaces.Text(8, min_length=0, charset="aé\0/ 漢"),
    ]
)
KEYS = st.sampled_from(["a", "b", "walker/arm", "50%", "", "é"])
SPACES = st.recursive(
    LEAVES,
    lambda children: st.one_of(
        st.dictionaries(KEYS, children, max_size=3).map(spaces.Dict), st.lists(children, max_size=3).map(spaces.Tuple)
    ),
    max_leaves=4,
)


def stacked(space: gym.Space, count: int):
    samples = [space.sample() for _ in range(count)]
    leaves = [stack_leaf(leaf, [value_at(s, path) for s in samples]) for path, leaf in space_leaves(space)]
    return build_value(space, iter(leaves))


def sample_episode(observation_space, action_space, length, seed=0, *, terminated=True, success=None) -> Episode:
    observation_space.seed(seed)
    action_space.seed(seed)
    rewards = np.random.default_rng(seed).normal(size=length).astype(np.float32)
    metadata = EpisodeMetadata(
        task_id="some/Task-v1", seed=seed, episode_return=0.1 + seed, success=success, expert="expert", noise=0.3
    )
    return Episode(
        observations=stacked(observation_space, length + 1),
        actions=stacked(action_space, length),
        rewards=rewards,
        terminated=terminated,
        truncated=not terminated,
        metadata=metadata,
    )


def assert_same(space, one, other):
    for path, _ in space_leaves(space):
        a, b = value_at(one, path), value_at(other, path)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@settings(max_examples=40)
@given(SPACES, SPACES, st.integers(1, 4), st.booleans(), st.sampled_from([None, True, False]))
def test_an_episode_comes_back_as_it_was(observation_space, action_space, length, terminated, success):
    episode = sample_episode(observation_space, action_space, length, terminated=terminated, success=success)
    again = Record(encode_episode(episode, observation_space, action_space)).episode(observation_space, action_space)
    assert_same(observation_space, episode.observations, again.observations)
    assert_same(action_space, episode.actions, again.actions)
    np.testing.assert_array_equal(episode.rewards, again.rewards)
    assert (again.terminated, again.truncated) == (terminated, not terminated)
    assert again.metadata == episode.metadata


def test_arrays_with_gaps_are_written_as_their_values():
    box, coin = spaces.Box(-9, 9, (2,)), spaces.Discrete(2)
    episode = sample_episode(box, coin, 3)
    with_gaps = np.repeat(episode.observations, 2, axis=1)[:, ::2]
    record = Record(encode_episode(replace(episode, observations=with_gaps), box, coin))
    np.testing.assert_array_equal(record.leaf("observation", (), box, 4), episode.observations)


@settings(max_examples=25)
@given(SPACES, SPACES, st.integers(1, 3))
def test_tfds_decodes_the_same_values_step_by_step(observation_space, action_space, length):
    episode = sample_episode(observation_space, action_space, length)
    features = rlds_features(observation_space, action_space)
    decoded = features.deserialize_example_np(encode_episode(episode, observation_space, action_space))
    steps = list(decoded["steps"])
    assert len(steps) == length + 1
    for part, space, values in (
        ("observation", observation_space, episode.observations),
        ("action", action_space, episode.actions),
    ):
        for path, _ in space_leaves(space):
            for step, expected in zip(steps, value_at(values, path), strict=part == "observation"):
                found = step[part]
                for key in path:
                    found = found[str(key).replace("%", "%25").replace("/", "%2F")]
                found = found.decode() if isinstance(expected, str) else found
                np.testing.assert_array_equal(found, expected)


def test_our_bytes_are_what_tfds_itself_would_write():
    observation_space, action_space = (
        spaces.Dict({"image": spaces.Box(0, 255, (2, 2, 3), np.uint8)}),
        spaces.Discrete(3),
    )
    episode = sample_episode(observation_space, action_space, 3)
    data = encode_episode(episode, observation_space, action_space)
    features = rlds_features(observation_space, action_space)
    decoded = features.deserialize_example_np(data)
    decoded["steps"] = list(decoded["steps"])
    serializer = tfds.core.example_serializer.ExampleSerializer(features.get_serialized_info())
    theirs = serializer.get_tf_example(features.encode_example(decoded))
    assert theirs == type(theirs).FromString(data)


@pytest.mark.parametrize("terminated", [True, False])
def test_flags_rewards_and_discounts_follow_rlds(terminated):
    spaces_ = spaces.Discrete(2), spaces.Discrete(3, start=5)
    episode = sample_episode(*spaces_, 3, terminated=terminated)
    steps = list(rlds_features(*spaces_).deserialize_example_np(encode_episode(episode, *spaces_))["steps"])
    assert [bool(s["is_first"]) for s in steps] == [True, False, False, False]
    assert [bool(s["is_last"]) for s in steps] == [False, False, False, True]
    assert [bool(s["is_terminal"]) for s in steps] == [False, False, False, terminated]
    assert [float(s["discount"]) for s in steps] == [1, 1, 0 if terminated else 1, 0]
    assert [float(s["reward"]) for s in steps] == [*episode.rewards.tolist(), 0]
    assert int(steps[-1]["action"]) == 0


def test_garbage_and_missing_fields_are_refused():
    with pytest.raises(ValueError, match=r"not a tf\.train\.Example"):
        Record(b"\xff\xff\xff garbage")
    with pytest.raises(ValueError, match="no field 'steps/reward'"):
        len(Record(b""))
    coin = spaces.Discrete(2)
    record = Record(encode_episode(sample_episode(coin, coin, 2), coin, coin))
    with pytest.raises(ValueError, match="has 3 rows, need 9"):
        record.leaf("action", (), coin, 9)


@pytest.mark.parametrize(
    ("space", "rows", "message"),
    [
        (spaces.Box(0, 1, (2,)), [np.zeros(3)], r"shape \(3,\), the space has \(2,\)"),
        (spaces.Box(0, 255, (1,), np.uint8), [np.array([300])], "do not fit the space's uint8"),
        (spaces.Discrete(3), [1.5], "do not fit the space's int64"),
        (spaces.Text(3), [3], "holds str, got int"),
    ],
)
def test_values_that_the_space_cannot_hold_are_refused(space, rows, message):
    with pytest.raises(ValueError, match=message):
        stack_leaf(space, rows)


def test_neither_tensorflow_nor_jax_is_imported():
    code = """
import sys, generalist.demonstrations.collect
from gymnasium import spaces
from generalist.demonstrations.rlds import rlds_features
rlds_features(spaces.Discrete(2), spaces.Text(3))
assert not {'tensorflow', 'jax', 'torch'} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
