import gymnasium as gym
import pytest

from generalist.envs.success import SuccessInfo, positive_reward, termination


class Scripted(gym.Env):
    """Steps through given (reward, terminated, truncated)."""

    observation_space = action_space = gym.spaces.Discrete(2)

    def __init__(self, script):
        self.script = iter(script)

    def step(self, action):
        return 0, *next(self.script), {"kept": 1}


SCRIPT = [(0.0, False, False), (1.0, False, False), (-1.0, True, False), (0.0, False, True)]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [(positive_reward, [False, True, False, False]), (termination, [False, False, True, False])],
)
def test_success_follows_the_rule_step_by_step(rule, expected):
    env = SuccessInfo(Scripted(SCRIPT), rule)
    infos = [env.step(0)[4] for _ in SCRIPT]
    assert [info["success"] for info in infos] == expected
    assert all(info["kept"] == 1 for info in infos)


def test_rewards_and_flags_pass_through():
    env = SuccessInfo(Scripted(SCRIPT), termination)
    assert [env.step(0)[1:4] for _ in SCRIPT] == SCRIPT
