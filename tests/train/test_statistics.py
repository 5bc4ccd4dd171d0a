"""Means and spreads that tasks share, and what a new one takes."""

from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from generalist.tokenizers.layout import Layout
from generalist.tokenizers.options import LayoutOptions
from generalist.train.statistics import inherited, of_bounds, plain_layout, pooled, relatives, shared

SPACE = LayoutOptions(continuous="vector", statistics="space", separator=False, past_actions="hidden")
OWN = replace(SPACE, statistics="task")


def layout(values=3, mean=0.0, std=1.0, options=SPACE, path="observation", bounds=(-np.inf, np.inf)) -> Layout:
    box = spaces.Box(*bounds, (values,), np.float32)
    observation = box if path == "observation" else spaces.Dict({path.partition("/")[2]: box})
    statistics = {} if mean is None else {path: ([mean] * values, [std] * values)}
    return Layout.from_spaces(observation, spaces.Discrete(2), options=options, statistics=statistics)


def test_a_mixture_of_two_sources_has_the_moments_of_their_data():
    rng = np.random.default_rng(0)
    one, other = rng.normal([1, -2], [3, 0.5], (1000, 2)), rng.normal([4, 0], [1, 2], (1000, 2))
    mean, std = pooled([(part.mean(axis=0).tolist(), part.std(axis=0).tolist()) for part in (one, other)])
    both = np.concatenate([one, other])
    np.testing.assert_allclose(mean, both.mean(axis=0))
    np.testing.assert_allclose(std, both.std(axis=0))


def test_equal_moments_are_kept_to_the_last_bit():
    moments = ([0.1, 1e9 + 0.7], [0.3, 1e-9])
    assert pooled([moments] * 7) is moments


def test_sources_share_with_their_own_family_and_shape_where_their_options_say_so():
    found = shared(
        {
            "metaworld/push-v3": layout(mean=0.0, std=1.0),
            "metaworld/reach-v3": layout(mean=2.0, std=1.0),
            "metaworld/door-open-v3": layout(mean=9.0, options=OWN),
            "metaworld/soccer-v3": layout(values=4, mean=7.0),
            "CartPole-v1": layout(mean=5.0),
            "metaworld/hammer-v3": layout(mean=6.0, path="observation/arm"),
        }
    )
    common = ([1.0] * 3, [2**0.5] * 3)
    assert found["metaworld/push-v3"].statistics["observation"] == common
    assert found["metaworld/reach-v3"].statistics["observation"] == common
    means = {task: next(iter(each.statistics.values()))[0][0] for task, each in found.items()}
    assert means == {
        "metaworld/push-v3": 1.0,
        "metaworld/reach-v3": 1.0,
        "metaworld/door-open-v3": 9.0,
        "metaworld/soccer-v3": 7.0,
        "CartPole-v1": 5.0,
        "metaworld/hammer-v3": 6.0,
    }


KNOWN = {
    "metaworld/push-v3": layout(mean=1.0, std=2.0),
    "metaworld/reach-v3": layout(mean=1.0, std=2.0),
    "CartPole-v1": layout(mean=8.0, std=3.0),
    "Acrobot-v1": layout(values=6, mean=5.0, std=4.0),
    "mine/arm": layout(path="observation/arm", mean=4.0),
}


@pytest.mark.parametrize(
    ("new", "family", "near"),
    [
        (layout(), "metaworld", ["metaworld/push-v3", "metaworld/reach-v3"]),
        (layout(), None, ["metaworld/push-v3", "metaworld/reach-v3", "CartPole-v1"]),
        (layout(values=6), "metaworld", ["Acrobot-v1"]),
        (layout(values=9), "classic_control", ["CartPole-v1", "Acrobot-v1"]),
        (layout(values=9), "atari", list(KNOWN)),
    ],
    ids=["kin and alike", "alike", "alike before kin", "kin", "all"],
)
def test_the_nearest_tasks_are_found_by_these_rules_in_turn(new, family, near):
    assert relatives(new, family, KNOWN) == near


def test_a_new_task_takes_what_its_relatives_share_and_its_own_are_forgotten():
    new = inherited(layout(mean=50.0, std=9.0), "metaworld/door-lock-v3", "metaworld", KNOWN)
    assert new.statistics["observation"] == ([1.0] * 3, [2.0] * 3)
    alone = inherited(layout(mean=50.0, std=9.0), "door", "unheard-of", {"mine/arm": KNOWN["mine/arm"]})
    assert alone.statistics["observation"] == ([50.0] * 3, [9.0] * 3)


def test_a_trained_task_keeps_its_own():
    other = KNOWN | {"metaworld/push-v3": layout(mean=3.0, std=7.0)}
    assert inherited(layout(), "metaworld/push-v3", "metaworld", other).statistics["observation"] == (
        [3.0] * 3,
        [7.0] * 3,
    )


def test_a_longer_array_takes_theirs_for_the_values_it_begins_with():
    new = inherited(layout(values=5, mean=50.0, std=9.0), "metaworld/wide", "metaworld", KNOWN)
    assert new.statistics["observation"] == ([1.0] * 3 + [50.0] * 2, [2.0] * 3 + [9.0] * 2)


@pytest.mark.parametrize(
    ("values", "task", "family"),
    [(2, "metaworld/narrow", "metaworld"), (5, "atari/pong", "atari"), (5, "outside", None)],
    ids=["shorter", "another family's", "no family"],
)
def test_what_is_like_no_trained_array_keeps_its_own(values, task, family):
    new = inherited(layout(values=values, mean=50.0, std=9.0), task, family, KNOWN)
    assert new.statistics["observation"] == ([50.0] * values, [9.0] * values)


def test_of_several_that_an_array_begins_with_the_longest_that_fits_counts():
    known = {f"metaworld/{values}": layout(values=values, mean=float(values)) for values in (2, 4, 9)}
    new = inherited(layout(values=6, mean=50.0), "metaworld/new", "metaworld", known)
    assert new.statistics["observation"][0] == [4.0] * 4 + [50.0] * 2


TOKENS = LayoutOptions(continuous="tokens")
PLACES = Layout.from_spaces(spaces.Discrete(9), spaces.Discrete(4), options=TOKENS)


@pytest.mark.parametrize("first", [True, False])
def test_a_new_task_is_shown_as_the_nearest_whichever_was_trained_first(first):
    """A task of places alone has the same arrays, none, as anything shown as tokens has vectors."""
    known = {"FrozenLake8x8-v1": PLACES, "CartPole-v1": layout(values=4)}
    known = known if first else dict(reversed(known.items()))
    arm = layout(values=6).observation_space
    assert plain_layout(arm, spaces.Discrete(2), "classic_control", known).options == SPACE
    alike = known | {"mine/arm": replace(layout(values=6), options=replace(TOKENS, max_text_tokens=9))}
    assert plain_layout(arm, spaces.Discrete(2), None, alike).options.max_text_tokens == 9


def test_without_relatives_or_data_bounds_say_how_large_values_are():
    bounded = of_bounds(layout(mean=None, bounds=(-1.0, 3.0)))
    mean, std = bounded.statistics["observation"]
    assert mean == [1.0] * 3
    np.testing.assert_allclose(std, 4 / 12**0.5)
    assert of_bounds(layout(mean=None)).statistics["observation"] == ([0.0] * 3, [1.0] * 3)
    assert of_bounds(layout(mean=6.0)).statistics["observation"] == ([6.0] * 3, [1.0] * 3)
