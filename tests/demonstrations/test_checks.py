"""What no model can learn from is refused when it is recorded or imported, with task, episode, key and step."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from written import episode_of

from generalist.demonstrations.checks import check_episode, first_fault
from generalist.demonstrations.collect import CollectionError, collect
from generalist.demonstrations.public.convert import import_data
from generalist.demonstrations.public.reader import PublicData
from generalist.demonstrations.record import random_policy, record_episode
from generalist.envs.task import Task

STEPS = 6
SPACES = {
    "whole": spaces.Discrete(5, start=2),
    "several": spaces.MultiDiscrete([3, 4]),
    "bits": spaces.MultiBinary(3),
    "counts": spaces.Box(-4, 4, (2,), np.int32),
    "pixels": spaces.Box(0, 255, (9, 9), np.uint8),
    "number": spaces.Box(-1, 1, (2, 2), np.float32),
    "free": spaces.Box(-np.inf, np.inf, (2,), np.float64),
    "ray": spaces.Box(0, np.inf, (), np.float32),
    "word": spaces.Text(2),
}
WRONG = [
    ("whole", (), 7, r": 7 is not in Discrete\(5, start=2\)"),
    ("whole", (), 1, r": 1 is not in Discrete"),
    ("several", (1,), 4, r"\[1\]: 4 is not in MultiDiscrete"),
    ("bits", (2,), 2, r"\[2\]: 2 is not in MultiBinary"),
    ("counts", (0,), -5, r"\[0\]: -5 is not in Box"),
    ("number", (1, 0), np.nan, r"\[1, 0\]: NaN"),
    ("number", (0, 1), np.inf, r"\[0, 1\]: inf"),
    ("number", (0, 1), -np.inf, r"\[0, 1\]: -inf"),
    ("free", (1,), np.nan, r"\[1\]: NaN"),
    ("ray", (), np.nan, r": NaN"),
    ("ray", (), -np.inf, r": -inf"),
]
RIGHT = [("number", (0, 0), 1.5), ("free", (0,), np.inf), ("free", (0,), -1e30), ("ray", (), np.inf), ("whole", (), 6)]


class Sometimes(gym.Env):
    """Has one value that is given, at one step; all others are of their spaces."""

    observation_space, action_space = spaces.Dict(SPACES), spaces.Discrete(2)

    def __init__(self, key="whole", where=(), value=2, step=3, render_mode=None):
        self.changed = key, where, value, step

    def look(self):
        found = {key: np.array(space.sample()) if key != "word" else "a word" for key, space in SPACES.items()}
        key, where, value, step = self.changed
        if self.count == step:
            found[key][where] = value
        return found

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.count = 0
        return self.look(), {}

    def step(self, action):
        self.count += 1
        return self.look(), 0.0, self.count == STEPS, False, {}


def task(*changed, **more) -> Task:
    def make(render_mode=None):
        return Sometimes(*changed, **more)

    return Task(id="Some-v1", family="x", make=make, expert=None, horizon=9, score="return", has_success=False)


@pytest.mark.parametrize(("key", "where", "value", "said"), WRONG)
@pytest.mark.parametrize("step", [0, 3, STEPS])
def test_a_wrong_observation_ends_the_episode_that_is_recorded(key, where, value, said, step):
    with pytest.raises(ValueError, match=rf"^the episode of seed 5 has observation\['{key}'\]{said}.* at step {step}"):
        record_episode(Sometimes(key, where, value, step), task(), random_policy, seed=5)


@pytest.mark.parametrize(("key", "where", "value"), RIGHT)
def test_what_can_be_learned_from_is_recorded(key, where, value):
    episode = record_episode(Sometimes(key, where, value), task(), random_policy, seed=5)
    assert episode.observations[key][(3, *where)] == np.asarray(value, episode.observations[key].dtype)


def test_an_infinite_action_is_refused():
    env = Sometimes()
    env.action_space = spaces.Dict(force=SPACES["free"])
    policy = lambda env: lambda observation: {"force": np.array([1, -np.inf])}  # noqa: E731
    with pytest.raises(ValueError, match=r"action\['force'\]\[1\]: -inf at step 0"):
        record_episode(env, task(), policy, seed=5)


def test_a_collection_names_task_and_episode(tmp_path):
    with pytest.raises(CollectionError, match=r"Some-v1.*episode 0: .*observation\['free'\]\[1\]: NaN at step 4"):
        collect([task("free", (1,), np.nan, 4)], tmp_path, episodes=3, policy="random", workers=0, quiet=True)


def test_an_import_names_data_and_episode(tmp_path):
    observations = np.zeros((3, 4, 2), np.float32)
    observations[2, 1, 0] = np.nan
    space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    episodes = [episode_of("Theirs-v1", each, np.zeros(3, np.int64)) for each in observations]
    source = PublicData(
        name="rlds:theirs",
        task_id="Theirs-v1",
        observation_space=space,
        action_space=spaces.Discrete(2),
        episodes_total=3,
        read=lambda start: iter(episodes[start:]),
    )
    with pytest.raises(ValueError, match=r"^rlds:theirs, episode 2: observation\[0\]: NaN at step 1"):
        import_data(source, tmp_path, quiet=True)


def test_a_recorded_episode_is_checked_whole():
    episode = record_episode(Sometimes(), task(), random_policy, seed=1)
    check_episode(episode, Sometimes.observation_space, Sometimes.action_space)
    wrong = dataclasses.replace(episode, actions=np.array([0, 1, 0, 2, 0, 0]))
    with pytest.raises(ValueError, match=r"^action: 2 is not in Discrete\(2\) at step 3"):
        check_episode(wrong, Sometimes.observation_space, Sometimes.action_space)


def test_nothing_is_wrong_with_nothing():
    assert first_fault("observation", spaces.Box(-1, 1, (0,)), np.zeros((4, 0), np.float32)) is None
    assert first_fault("action", spaces.Dict({}), {}) is None
