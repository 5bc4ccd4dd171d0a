"""Demonstrations as the sources of a mixture: what the configuration says of them, their sizes, layouts as JSON."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tiny import CONFIG, TASKS, demonstrations
from token_examples import SPACES, layout, stacked, steps

from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.envs.spaces import take
from generalist.train.config import TextConfig
from generalist.train.sources import (
    input_sizes,
    layout_from_json,
    layout_to_json,
    make_text_tokenizer,
    open_mixture,
)
from generalist.train.step_tokens import token_counts


def test_sources_are_those_of_the_configuration():
    mixture = open_mixture(replace(CONFIG, seed=5), demonstrations())
    assert (mixture.names, mixture.weights) == (TASKS, (1.0, 2.0))
    for index, (source, given) in enumerate(zip(mixture.sources, CONFIG.sources, strict=True)):
        assert (source.index, source.seed, source.prompt) == (index, 5, CONFIG.prompt)
        assert source.layout.options == given.layout
        assert source.sequence_length == CONFIG.sequence_length
        assert len(source.table.lengths) == 10


def test_episodes_below_the_return_filter_are_left_out():
    returns = Demonstrations.open(dataset_folder(demonstrations(), TASKS[0])).returns
    [cart, _] = open_mixture(replace(CONFIG, return_filter=1.0), demonstrations()).sources
    assert 0 < len(cart.table.lengths) < len(returns)
    assert cart.table.lengths.min() >= returns.max()  # CartPole's return is its length
    kept = Demonstrations.open(dataset_folder(demonstrations(), TASKS[0])).lengths[returns >= returns.max()]
    assert cart.table.lengths.tolist() == kept.tolist()


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {}) for name in SPACES]
    + [("patches", {"max_text_tokens": 2}), ("vector", {"past_actions": "hidden", "separator": False})],
)
def test_counts_are_the_lengths_of_the_encoded_timesteps(name, options):
    made = layout(name, **options)
    observations, actions = (stacked(values) for values in steps(name, 6))
    lengths = []
    for step in range(6):
        at, one = np.array([step]), np.ones(1, int)
        values = take(observations, at), take(actions, at)
        lengths.append(len(made.encode(*values, timesteps=one - 1, segments=one, source=0)))
    assert token_counts(made, observations, 6).tolist() == lengths


def test_the_agent_reads_what_a_row_holds():
    mixture = open_mixture(CONFIG, demonstrations())
    sizes = input_sizes(CONFIG, list(mixture.layouts.values()))
    assert (sizes.vocabulary, sizes.sources, sizes.vector_values) == (CONFIG.vocabulary.size, 2, 4)
    assert sizes.vector_values == mixture.capacity.vector_values
    assert (sizes.patch_size, sizes.image_shape) == (0, mixture.capacity.image_shape)


def test_a_layout_comes_back_from_json_with_its_statistics():
    for source, given in zip(open_mixture(CONFIG, demonstrations()).sources, CONFIG.sources, strict=True):
        stored = json.loads(json.dumps(layout_to_json(source.layout)))
        back = layout_from_json(stored, CONFIG, given.layout)
        assert layout_to_json(back) == layout_to_json(source.layout)
        one, other = (replace(source, layout=made)[0].arrays() for made in (source.layout, back))
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_another_text_tokenizer_is_refused():
    [_, lake] = open_mixture(CONFIG, demonstrations()).sources
    stored = layout_to_json(lake.layout) | {"text": "bytes-0"}
    with pytest.raises(ValueError, match="trained with text tokenizer 'bytes-0', this one is 'bytes-1'"):
        layout_from_json(stored, CONFIG, CONFIG.sources[1].layout)
    with pytest.raises(ValueError, match=r"needs text\.model"):
        make_text_tokenizer(TextConfig(tokenizer="sentencepiece"))


def test_an_observation_longer_than_the_table_of_local_positions_is_refused():
    config = replace(CONFIG, agent=replace(CONFIG.agent, local_positions=1))
    wide = replace(config, sources=(replace(CONFIG.sources[0], layout=CONFIG.sources[1].layout),))
    with pytest.raises(ValueError, match=r"CartPole-v1 has up to 4 tokens, agent.local_positions is 1"):
        open_mixture(wide, demonstrations())
