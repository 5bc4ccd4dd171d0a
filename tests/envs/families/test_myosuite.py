"""MyoSuite by envpool: one start whatever the seed, success as MyoSuite counts it, horizons."""

from importlib.util import find_spec
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from generalist.envs.families import myosuite
from generalist.envs.families.myosuite import Solved

installed = pytest.mark.skipif(find_spec("envpool") is None, reason="needs the extra envpool")


def play(env, seed: int, steps: int = 30) -> list:
    rows = [env.reset(seed=seed)[0]]
    for action in np.random.default_rng(1).uniform(-1, 1, (steps, *env.action_space.shape)):
        observation, reward, *_ = env.step(action)
        rows.append(np.append(observation, reward))
    return rows


@installed
@pytest.mark.parametrize("id", ["motorFingerReachFixed-v0", "myoFingerPoseFixed-v0", "myoElbowPose1D6MFixed-v0"])
def test_an_episode_is_the_same_for_every_seed(id):
    env, used = myosuite.make(id), myosuite.make(id)
    play(used, 1)
    first = play(env, 4)
    for other in (play(used, 4), play(env, 5)):
        assert all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert env.observation_space.contains(first[0])


@installed
def test_an_episode_is_cut_at_its_horizon():
    env = myosuite.make("motorFingerReachFixed-v0")
    env.reset(seed=0)
    ends = [env.step(np.zeros(5))[2:4] for _ in range(200)]
    assert ends[-1] == (False, True)
    assert set(ends[:-1]) == {(False, False)}


@installed
def test_a_body_that_falls_is_terminated():
    env = myosuite.make("myoLegWalk-v0")
    env.reset(seed=0)
    for _ in range(900):
        *_, terminated, truncated, info = env.step(-np.ones(env.action_space.shape))
        if terminated or truncated:
            break
    assert (terminated, truncated) == (True, False)
    assert info["success"] is False


@installed
@pytest.mark.parametrize("noise", [0.0, myosuite.NOISE])
@pytest.mark.parametrize("id", myosuite.EXPERTS)
def test_an_expert_solves_its_task_also_with_noise(id, noise):
    env, rng = myosuite.make(id), np.random.default_rng(0)
    observation, _ = env.reset(seed=0)
    act, over, reached, solved = myosuite.EXPERTS[id](env), False, 0, 0
    while not over:
        action = act(observation)
        assert env.action_space.contains(action)
        given = np.clip(action + noise * rng.normal(size=action.shape), -1, 1)
        observation, _, terminated, truncated, info = env.step(given)
        over = terminated or truncated
        reached, solved = reached + info["success"], solved + info["solved"]
    assert reached == 1
    assert solved > 30


class Script(gym.Env):
    """Solved on the steps that a list says."""

    observation_space = action_space = gym.spaces.Discrete(2)

    def __init__(self, solved: list[float]):
        self.solved = solved

    def reset(self, **given: Any):
        self.at = -1
        return 0, {}

    def step(self, action: Any):
        self.at += 1
        return 0, 0.0, False, False, {"solved": self.solved[self.at]}


def test_success_is_the_sixth_solved_step_of_an_episode():
    env = Solved(Script([1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0]))
    for _ in range(2):
        env.reset()
        reached = [env.step(0)[4]["success"] for _ in range(9)]
        assert [number for number, success in enumerate(reached) if success] == [7]
        assert all(type(success) is bool for success in reached)


@installed
def test_a_frame_is_drawn():
    env = myosuite.make("myoFingerReachFixed-v0", render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    env.close()
    assert frame.shape == (240, 240, 3)
    assert frame.std() > 5
