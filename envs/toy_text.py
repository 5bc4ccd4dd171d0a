"""Toy text: Gymnasium's finite environments, solved by value iteration on the transition table `env.P`.

Observations and actions are integers. The expert is a table, computed once per process and environment.
"""

from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.headless import prepare_pygame
from generalist.envs.success import SuccessInfo, SuccessRule
from generalist.envs.task import ActionFunction

DISCOUNT = 0.9999
"""Undiscounted but for ties: of two ways to the same return the shorter one is better."""


def make(id: str, horizon: int, success: SuccessRule, render_mode: str | None = None) -> gym.Env:
    """The environment of a Gymnasium id, truncated after `horizon` steps; `render_mode` needs pygame."""
    if render_mode is not None:
        prepare_pygame()
    env = gym.make(id, render_mode=render_mode, max_episode_steps=horizon, disable_env_checker=True)
    return SuccessInfo(env, success)


def table_expert(env: gym.Env) -> ActionFunction:
    """The optimal policy of the environment's own transition table."""
    assert env.spec is not None
    policy = _optimal_policy(env.spec.id)
    return lambda observation: int(policy[observation])


@cache
def _optimal_policy(id: str) -> np.ndarray:
    base: Any = gym.make(id, disable_env_checker=True).unwrapped
    return value_iteration(base.P)


def value_iteration(transitions: dict, discount: float = DISCOUNT, tolerance: float = 1e-10) -> np.ndarray:
    """The greedy policy, int64[states], of `transitions[state][action] = [(probability, next, reward, done), ...]`.

    Ties go to the first action. Ends when no value changes by more than `tolerance`.
    """
    probability, following, reward, goes_on = _as_arrays(transitions)
    values = np.zeros(len(transitions))
    while True:
        outcomes = reward + discount * goes_on * values[following]
        returns = np.einsum("sao,sao->sa", probability, outcomes)
        change = np.abs(returns.max(axis=1) - values).max()
        values = returns.max(axis=1)
        if change < tolerance:
            # Rounding must not break ties: values equal to 1e-8 are equal.
            return np.argmax(np.round(returns, 8), axis=1)


def _as_arrays(transitions: dict) -> tuple[np.ndarray, ...]:
    """[states, actions, outcomes] arrays of probability, next state, reward and 1 - done, padded by probability 0."""
    states, actions = len(transitions), len(transitions[0])
    most = max(len(outcomes) for row in transitions.values() for outcomes in row.values())
    probability, reward, goes_on = (np.zeros((states, actions, most)) for _ in range(3))
    following = np.zeros((states, actions, most), np.int64)
    for state, row in transitions.items():
        for action, outcomes in row.items():
            for index, (chance, after, gain, done) in enumerate(outcomes):
                place = state, action, index
                probability[place], following[place] = chance, after
                reward[place], goes_on[place] = gain, not done
    return probability, following, reward, goes_on
