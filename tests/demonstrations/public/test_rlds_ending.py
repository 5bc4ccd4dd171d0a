import re

import numpy as np
import pytest

from generalist.demonstrations.public.rlds_ending import Sampled, decide


def episode(actions, rewards=None, discounts=None, last=True, terminal=False, discrete=False):
    columns = [None if each is None else np.asarray(each, np.float64) for each in (rewards, discounts)]
    return Sampled(
        actions=np.asarray(actions, np.float64).reshape(len(actions), -1),
        discrete=discrete,
        rewards=columns[0],
        discounts=columns[1],
        last=last,
        terminal=terminal,
    )


MOVES = [[0.3, -1], [0.2, 0.1], [-0.4, 0.7]]
STOP = [0.0, 0.0]


@pytest.mark.parametrize(
    ("sample", "taken", "why"),
    [
        ([episode(MOVES)], True, "1 of 1 sampled episodes end with a non-zero action"),
        ([episode([*MOVES, STOP], rewards=[0, 0, 0, 0])] * 3, False, "all 3 .* end with a zero action and no reward"),
        ([episode([*MOVES, STOP])], False, "as 0 of their 3 other steps do"),
        ([episode([*MOVES, [np.nan, np.nan]], rewards=[0, 0, 0, np.nan])], False, "a zero action and no reward"),
        ([episode([*MOVES, STOP], rewards=[0, 0, 0, 1])], True, "1 of 1 sampled episodes end with a reward"),
        ([episode([*MOVES, STOP]), episode(MOVES)], True, "1 of 2 sampled episodes end with a non-zero action"),
        ([episode([*MOVES, STOP], last=False)], True, "end without is_last"),
        ([episode([*MOVES, STOP], last=None)], False, "a zero action"),
        ([episode([STOP] * 4)], True, "as other steps do"),
        ([episode([STOP])], True, "no episode of two steps"),
        ([], True, "no episode of two steps"),
    ],
)
def test_what_ends_an_episode_decides(sample, taken, why):
    found = decide(sample)
    assert found.taken is taken
    assert re.search(why, found.why)


def test_an_action_that_is_repeated_is_a_dummy_only_where_that_is_rare():
    rng = np.random.default_rng(0)
    moving = rng.normal(size=(30, 2))
    assert not decide([episode([*moving, moving[-1]])] * 2).taken
    held = np.repeat(moving, 3, axis=0)
    assert decide([episode(held)] * 2).taken
    assert decide([episode([[0.5, 0.1]] * 2)]).taken  # two steps say nothing


def test_zero_is_an_action_of_a_game_unless_rewards_discounts_or_many_steps_say_otherwise():
    few = [2, 1, 3, 0]
    assert decide([episode(few, discrete=True)]).taken
    assert not decide([episode(few, rewards=[1, 1, 1, 0], discrete=True)]).taken
    assert decide([episode(few, rewards=[0, 1, 0, 0], discrete=True)]).taken
    assert not decide([episode([1, 2, 3] * 8 + [0], discrete=True)]).taken
    assert decide([episode([1, 0, 3] * 8 + [0], discrete=True)]).taken


def test_discounts_tell_where_actions_and_rewards_do_not():
    def closing(discounts, terminal):
        return decide([episode([0, 1, 0, 0], [0, 0, 0, 0], discounts, terminal=terminal, discrete=True)])

    assert not closing([1, 1, 1, 0], terminal=False).taken
    assert not closing([1, 1, 0, 0], terminal=True).taken
    assert closing([1, 1, 1, 0], terminal=True).taken  # the discount of the step that was taken into the end
    assert closing([1, 1, 1, 1], terminal=True).taken
    assert closing([0, 0, 0, 0], terminal=True).taken  # never filled in
