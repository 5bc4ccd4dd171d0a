"""How often agent and expert choose the same action, on the states that the expert visits."""

import gymnasium as gym
import numpy as np
import pytest

from generalist.eval.agreement import _agree, action_agreement
from generalist.tokenizers.layout import Layout, LayoutOptions
from generalist.tokenizers.vocabulary import Vocabulary

VOCABULARY = Vocabulary(bins=100, discrete_size=8)


def layout(action: gym.Space) -> Layout:
    return Layout.from_spaces(gym.spaces.Box(-1, 1, (2,), np.float64), action, vocabulary=VOCABULARY)


class Scripted:
    """Answers with the actions of a list in turn, and knows a layout; played beside the expert."""

    slots = 4

    def __init__(self, actions: list[int]):
        self.layout, self.actions, self.asked = layout(gym.spaces.Discrete(2)), actions, 0
        self.told: list[int] = []

    def attach(self, slots): ...

    def reset(self, index): ...

    def act(self, observations, active):
        found = [self.actions[(self.asked + i) % len(self.actions)] for i in range(len(active))]
        self.asked += len(active)
        return [np.int64(one) for one in found]

    def correct(self, actions, active):
        self.told += [int(one) for one in actions]


@pytest.mark.parametrize(("actions", "expected"), [([1], 1.0), ([0], 0.0), ([1, 1, 0], 2 / 3)])
def test_the_share_of_steps_at_which_both_agree(corridor, actions, expected):
    """The corridor's expert always walks right."""
    policy = Scripted(actions)
    assert action_agreement(corridor, policy, [1, 2, 3]) == pytest.approx(expected, abs=0.03)
    assert policy.asked > 20
    assert policy.told == [1] * policy.asked, "its past is the expert's"


def test_continuous_values_agree_within_a_tenth_of_half_the_range():
    space = gym.spaces.Box(-2, 2, (2,), np.float32)
    expert = [np.array([0.0, 1.0], np.float32)] * 3
    agent = [np.array(values, np.float32) for values in ([0.15, 0.9], [0.0, 1.3], [-0.25, 1.0])]
    assert _agree(layout(space), expert, agent).tolist() == [True, False, False]


def test_every_part_of_a_discrete_action_must_agree():
    space = gym.spaces.MultiDiscrete([3, 4])
    expert = [np.array([1, 2])] * 3
    agent = [np.array(values) for values in ([1, 2], [1, 3], [0, 2])]
    assert _agree(layout(space), expert, agent).tolist() == [True, False, False]


def test_texts_agree_where_they_are_the_same():
    """An agent writes its ids as it likes: what it says may have more of them when it is encoded."""
    space = gym.spaces.Dict(say=gym.spaces.Text(9), to=gym.spaces.Discrete(3))
    whole = Layout.from_spaces(
        gym.spaces.Discrete(2), space, vocabulary=VOCABULARY, options=LayoutOptions(action_text_tokens=4)
    )
    expert = [{"say": "go", "to": 1}] * 3
    agent = [{"say": "go", "to": 1}, {"say": "go", "to": 2}, {"say": "go north", "to": 1}]
    assert _agree(whole, expert, agent).tolist() == [True, False, False]
