"""Expected padding on sizes that can be worked out by hand."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from generalist.tokenizers.layout import Layout, LayoutOptions
from generalist.train.config import PromptConfig, SourceConfig, TrainConfig
from generalist.train.data import row_capacity
from generalist.train.padding import imagined_source, most_text, padding_share, step_sizes
from generalist.train.windows import Window

CONFIG = TrainConfig(sources=(SourceConfig(task="any"),), sequence_length=100, prompt=PromptConfig(fraction=0.0))
TEXT = gym.spaces.Dict(mission=gym.spaces.Text(50), place=gym.spaces.Discrete(4))


def layout(values: int, **options) -> Layout:
    space = gym.spaces.Box(-1, 1, (values,), np.float32)
    return Layout.from_spaces(space, gym.spaces.Discrete(3), options=LayoutOptions(**options))


def share(made: Layout, horizon: int, *, rows: int = 4, config: TrainConfig = CONFIG) -> float:
    source = imagined_source(config, 0, made, [made.max_tokens], horizon)
    capacity = row_capacity([source])
    return padding_share([source], [1.0], capacity, rows=rows)


def test_whole_timesteps_leave_the_rest_of_a_row():
    assert share(layout(28), horizon=1000) == pytest.approx(0.1)  # three timesteps of 28 + 2


def test_short_episodes_are_packed():
    assert share(layout(8), horizon=3) == pytest.approx(0.1)  # three episodes of three timesteps of 10


def test_a_timestep_of_the_length_of_the_row_leaves_nothing():
    assert share(layout(98), horizon=5) == 0


def test_targets_limit_what_a_row_takes():
    source = imagined_source(CONFIG, 0, layout(8), [10], 1)
    capacity = replace(row_capacity([source]), targets=4)
    assert padding_share([source], [1.0], capacity, rows=2) == pytest.approx(0.6)


def test_sources_count_by_their_weights():
    """Of one kind, two examples fill a row; three of the other leave a tenth of it."""
    sources = [imagined_source(CONFIG, index, layout(values), [values + 2], 1) for index, values in enumerate((48, 28))]
    capacity = row_capacity(sources)
    assert padding_share(sources, [1.0, 1e-9], capacity, rows=4) == 0
    assert padding_share(sources, [1e-9, 1.0], capacity, rows=4) == pytest.approx(0.1)


def test_text_counts_at_the_length_that_was_seen():
    made = Layout.from_spaces(TEXT, gym.spaces.Discrete(3))
    assert most_text(made) == 50
    source = imagined_source(CONFIG, 0, made, [13, 23], 2)
    window = Window(np.arange(4), np.array([0, 1, 0, 1]), np.array([1, 1, 2, 2]))
    assert step_sizes(source, window)[:, :2].tolist() == [[13, 1 + 9], [13, 1 + 9], [23, 1 + 19], [23, 1 + 19]]


def test_direct_actions_are_answers_and_no_tokens():
    options = LayoutOptions(past_actions="hidden", actions="direct", chunk=2)
    made = Layout.from_spaces(TEXT, gym.spaces.MultiDiscrete([3, 3]), options=options)
    assert most_text(made) == 50
    source = imagined_source(CONFIG, 0, made, [12], 2)
    window = Window(np.arange(1), np.zeros(1, int), np.ones(1, int))
    assert step_sizes(source, window).tolist() == [[12, 9, 0, 0, 0, 4]]
    assert row_capacity([source]).answers == 100 // 12 * 4


def test_answers_limit_what_a_row_takes():
    options = {"past_actions": "hidden", "actions": "direct"}
    source = imagined_source(CONFIG, 0, layout(8, **options), [9], 1)
    assert padding_share([source], [1.0], row_capacity([source]), rows=2) == pytest.approx(0.01)
    capacity = replace(row_capacity([source]), answers=4)
    assert padding_share([source], [1.0], capacity, rows=2) == pytest.approx(1 - 0.36)
