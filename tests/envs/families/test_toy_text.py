import gymnasium as gym
import numpy as np
import pytest

from generalist.envs.families import toy_text
from generalist.envs.table import find_task


def test_value_iteration_solves_a_chain_by_hand():
    """Three states in a row, right pays 1 at the end, left pays 0.5 at once: right is worth waiting for."""
    transitions = {
        0: {0: [(1.0, 2, 0.5, True)], 1: [(1.0, 1, 0.0, False)]},
        1: {0: [(1.0, 0, 0.0, False)], 1: [(0.8, 2, 1.0, True), (0.2, 0, 0.0, False)]},
        2: {0: [(1.0, 2, 0.0, True)], 1: [(1.0, 2, 0.0, True)]},
    }
    assert toy_text.value_iteration(transitions).tolist() == [1, 1, 0]
    assert toy_text.value_iteration(transitions, discount=0.4).tolist() == [0, 1, 0]


def test_the_policy_is_optimal_against_exact_evaluation():
    """On the 4x4 lake: the policy's exact value is at least every one-step deviation's."""
    table = gym.make("FrozenLake-v1").unwrapped.P
    policy = toy_text.value_iteration(table)
    states = len(table)
    follow, gain = np.zeros((states, states)), np.zeros(states)
    for state in range(states):
        for chance, after, reward, done in table[state][policy[state]]:
            gain[state] += chance * reward
            follow[state, after] += chance * (not done)
    value = np.linalg.solve(np.eye(states) - toy_text.DISCOUNT * follow, gain)
    for state in range(states):
        for outcomes in table[state].values():
            other = sum(c * (r + toy_text.DISCOUNT * value[s] * (not done)) for c, s, r, done in outcomes)
            assert other <= value[state] + 1e-6


@pytest.mark.parametrize(("id", "reward"), [("Taxi-v4", 20), ("CliffWalking-v1", -1), ("FrozenLake8x8-v1", 1)])
def test_success_is_the_step_that_reaches_the_goal(id, reward):
    task = find_task(id)
    env = task.make()
    for seed in range(20):
        observation, _ = env.reset(seed=seed)
        act, over = task.expert(env), False
        while not over:
            observation, gain, terminated, truncated, info = env.step(act(observation))
            over = terminated or truncated
            assert info["success"] == (terminated and gain == reward)
        if info["success"]:
            return
    pytest.fail("no success in 20 episodes")


def test_basic_strategy_loses_little():
    """A few percent of a bet without doubling and splitting; random play loses two fifths."""
    task = find_task("Blackjack-v1")
    env = task.make()
    total = 0.0
    for seed in range(3000):
        observation, _ = env.reset(seed=seed)
        act, over = task.expert(env), False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(act(observation))
            over = terminated or truncated
        total += reward
    assert -0.12 < total / 3000 < 0.03


@pytest.mark.parametrize(
    ("hand", "action"),
    [
        ((16, 10, 0), 1),
        ((17, 10, 0), 0),
        ((12, 2, 0), 1),
        ((12, 4, 0), 0),
        ((13, 2, 0), 0),
        ((18, 9, 1), 1),
        ((18, 7, 1), 0),
        ((17, 6, 1), 1),
        ((19, 10, 1), 0),
    ],
)
def test_hands_of_the_strategys_table(hand, action):
    assert toy_text.basic_strategy(None)(hand) == action
