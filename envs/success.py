"""`info["success"]` on every step, by a rule on the step's reward and termination."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym

SuccessRule = Callable[[float, bool], bool]
"""(reward, terminated) -> whether this step reached the goal"""


def positive_reward(reward: float, terminated: bool) -> bool:
    """The goal is the only thing that pays: BabyAI, FrozenLake."""
    return reward > 0


def termination(reward: float, terminated: bool) -> bool:
    """The environment terminates nowhere but at the goal: both mountain cars, CliffWalking, Taxi."""
    return terminated


class SuccessInfo(gym.Wrapper):
    """Adds `info["success"]: bool` to every step; true on the step that reached the goal (not sticky)."""

    def __init__(self, env: gym.Env, rule: SuccessRule):
        super().__init__(env)
        self._rule = rule

    def step(self, action: Any):
        observation, reward, terminated, truncated, info = self.env.step(action)
        success = bool(self._rule(float(reward), bool(terminated)))
        return observation, reward, terminated, truncated, {**info, "success": success}
