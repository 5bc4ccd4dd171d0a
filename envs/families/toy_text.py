"""Toy text: Gymnasium's finite environments, solved by value iteration on the transition table `env.P`.

Observations and actions are integers, in Blackjack three of them. The expert is a table, computed once per process and
environment; Blackjack, which has no table of transitions, is played by basic strategy.
"""

from functools import cache, partial
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.headless import prepare_pygame
from generalist.envs.success import SuccessInfo, SuccessRule, positive_reward, termination
from generalist.envs.task import ActionFunction, Task

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


def make_blackjack(render_mode: str | None = None) -> gym.Env:
    """Blackjack-v1 with rules of its registration. A hand ends by itself; the limit is beyond the longest."""
    if render_mode is not None:
        prepare_pygame()
    limits: dict[str, Any] = {"max_episode_steps": BLACKJACK_LIMIT, "disable_env_checker": True}
    return gym.make("Blackjack-v1", render_mode=render_mode, **limits)


BLACKJACK_LIMIT = 22
"""Steps: every card but an ace that counts as eleven adds at least one."""


def basic_strategy(env: gym.Env) -> ActionFunction:
    """Hit (1) or stick (0) as is best against an infinite deck: Thorp 1962, without doubling and splitting.

    Observation: own sum, dealer's card (1 is an ace), whether an ace counts as eleven.
    """

    def act(observation: tuple[int, int, int]) -> int:
        total, dealer, usable_ace = (int(value) for value in observation)
        if usable_ace:
            return int(total < 18 or (total == 18 and dealer in (1, 9, 10)))
        if 2 <= dealer <= 6:
            return int(total < (13 if dealer < 4 else 12))
        return int(total < 17)

    return act


_ROW: dict[str, Any] = {
    "family": "toy_text",
    "expert": table_expert,
    "score": "return",
    "has_success": True,
    "extra": "classic",
    "provenance": "Gymnasium; value iteration on the environment's transition table",
}
_LUCK = "The lake is slippery: the optimal policy itself falls in."

TASKS = (
    # Fewer demonstrations miss start states, and there is no acting well in a state that was never shown.
    Task(id="Taxi-v4", make=partial(make, "Taxi-v4", 200, termination), horizon=200, episodes=3000, **_ROW),
    Task(
        id="FrozenLake8x8-v1",
        make=partial(make, "FrozenLake8x8-v1", 200, positive_reward),
        horizon=200,
        episodes=200,
        note=_LUCK,
        **_ROW,
    ),
    Task(
        id="CliffWalking-v1", make=partial(make, "CliffWalking-v1", 200, termination), horizon=200, episodes=50, **_ROW
    ),
    Task(
        id="FrozenLake-v1",
        make=partial(make, "FrozenLake-v1", 100, positive_reward),
        horizon=100,
        episodes=200,
        note=_LUCK,
        **_ROW,
    ),
    Task(
        id="CliffWalkingSlippery-v1",
        make=partial(make, "CliffWalkingSlippery-v1", 500, termination),
        horizon=500,
        **_ROW,
    ),
    Task(
        id="Blackjack-v1",
        make=make_blackjack,
        horizon=BLACKJACK_LIMIT,
        episodes=1000,
        **_ROW
        | dict[str, Any](
            expert=basic_strategy, has_success=False, provenance="Gymnasium; basic strategy against an infinite deck"
        ),
    ),
)
