"""Which episodes of a data set a job learns from."""

from dataclasses import replace

import numpy as np
import pytest
from tiny import CONFIG, demonstrations

from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.train.episodes import select_episodes

SOURCE = CONFIG.sources[0]
ALL = replace(CONFIG, held_out=0.0)


def data(returns, successes=None) -> Demonstrations:
    """A data set with these returns."""
    opened = Demonstrations.open(dataset_folder(demonstrations(), SOURCE.task))
    count = len(returns)
    found = tuple(successes) if successes is not None else (None,) * count
    return replace(opened, returns=np.asarray(returns, float), lengths=np.ones(count, np.int64), successes=found)


def chosen(config=ALL, opened=None, **source) -> list[int]:
    return select_episodes(config, replace(SOURCE, **source), opened or data(range(20))).training.tolist()


def test_all_the_first_or_drawn_ones():
    assert chosen() == list(range(20))
    assert chosen(episodes=4) == [0, 1, 2, 3]
    drawn = chosen(episodes=4, episodes_seed=1)
    assert drawn == sorted(drawn) != [0, 1, 2, 3]
    assert drawn == chosen(episodes=4, episodes_seed=1) != chosen(episodes=4, episodes_seed=2)
    assert set(drawn) < set(chosen(episodes=9, episodes_seed=1))  # more of the same draw


def test_failures_are_left_out_before_episodes_are_counted():
    reached = data(range(6), [False, True, True, False, True, True])
    assert chosen(opened=reached, successes=True) == [1, 2, 4, 5]
    assert chosen(opened=reached, successes=True, episodes=3) == [1, 2, 4]
    assert chosen(opened=reached, episodes=3) == [0, 1, 2]
    assert chosen(opened=data(range(6)), successes=True) == list(range(6))  # a task without a goal


def test_what_is_held_out_is_of_those_that_are_there():
    found = select_episodes(replace(ALL, held_out=0.25), replace(SOURCE, episodes=8, episodes_seed=3), data(range(20)))
    assert len(found.held_out) == 2
    both = np.sort(np.concatenate([found.training, found.held_out]))
    assert both.tolist() == chosen(episodes=8, episodes_seed=3)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"episodes": 21},
            r"CartPole-v1: too few episodes: 21 asked for, .* has 20; collect more \(generalist",
        ),
        ({"episodes": 4, "successes": True}, r"4 asked for, .* has 3 that reached the goal, of 20;"),
    ],
    ids=["in all", "that reached the goal"],
)
def test_too_few_are_refused_with_both_numbers(asked, message):
    with pytest.raises(ValueError, match=message):
        chosen(opened=data(range(20), [True] * 3 + [False] * 17), **asked)


def test_none_that_reached_the_goal():
    with pytest.raises(ValueError, match=r"1 asked for, .* has 0 that reached the goal, of 3"):
        chosen(opened=data(range(3), [False] * 3), successes=True)


def test_of_a_task_without_a_goal_nothing_is_said_of_one():
    with pytest.raises(ValueError, match=r"5 asked for, .* has 4; collect more"):
        chosen(opened=data(range(4)), successes=True, episodes=5)
