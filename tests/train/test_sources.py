"""Demonstrations as the sources of a mixture: what the configuration says of them, their sizes, layouts as JSON."""

import functools
import itertools
import json
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from tiny import CONFIG, TASKS, demonstrations
from token_examples import SPACES, layout, stacked, steps
from written import episode_of, write_episodes

from generalist.demonstrations.collect import collect
from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.envs.seeds import demonstration_seed
from generalist.envs.spaces import take
from generalist.envs.task import Task
from generalist.tokenizers.continuous import expand
from generalist.tokenizers.layout import Layout, LayoutOptions
from generalist.train.config import SourceConfig, TextConfig
from generalist.train.data import packed_rows
from generalist.train.episodes import select_episodes
from generalist.train.held_out import held_out_indices
from generalist.train.packing import to_batch
from generalist.train.sources import (
    Mixture,
    input_sizes,
    layout_from_json,
    layout_to_json,
    make_text_tokenizer,
    open_mixture,
)
from generalist.train.step_tokens import token_counts


class Marked(gym.Env):
    """Shows the number of its episode all along and rewards with it; those of `POISONED` with a million instead."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,))
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.number, self.left = seed - demonstration_seed(0, 0), 4
        return self.seen(), {}

    def seen(self) -> np.ndarray:
        return np.asarray([1e6 if self.number in POISONED else self.number], np.float32)

    def step(self, action):
        self.left -= 1
        return self.seen(), float(self.seen()[0]), self.left == 0, False, {}


POISONED = held_out_indices(20, 0.2).tolist()
MARKED = Task(id="Marked-v1", family="gym", make=Marked, expert=None, horizon=4, score="return", has_success=False)


@functools.cache
def marked_demonstrations() -> Path:
    """Twenty episodes, of which the four that would be held out are poisoned."""
    data = demonstrations().parent / "marked"
    collect([MARKED], data, seed=0, episodes=20, policy="random", workers=0, quiet=True)
    return data


def marked(**changes) -> Mixture:
    sources = (replace(CONFIG.sources[0], task=MARKED.id),)
    return open_mixture(replace(CONFIG, sources=sources, held_out=0.2, **changes), marked_demonstrations())


def shown(mixture: Mixture, count: int) -> set[float]:
    """What the vectors of the first batches show, without the layout's normalisation."""
    [source] = mixture.sources
    [(mean, std)] = source.layout.statistics.values()
    made = packed_rows(mixture.sources, mixture.weights, mixture.capacity, rows=4)
    found: set[float] = set()
    for packed in itertools.islice(made, count):
        batch = to_batch([packed], mixture.capacity)
        values = batch.vectors[batch.vector_at < len(batch)][:, 0]
        found |= set(np.round(expand(values) * std[0] + mean[0]).tolist())
    return found


def test_held_out_episodes_are_in_no_training_batch():
    seen = shown(marked(), 40)
    assert seen == set(range(20)) - set(POISONED)
    assert shown(replace(marked(), sources=marked().held_out.sources), 10) == {1e6}


def test_statistics_and_the_return_filter_do_not_know_what_is_held_out():
    [(mean, std)] = marked().sources[0].layout.statistics.values()
    training = sorted(set(range(20)) - set(POISONED))
    assert mean == pytest.approx([np.mean(training)])
    assert std == pytest.approx([np.std(training)])
    assert shown(marked(return_filter=0.8), 20) == {number for number in training if number >= 0.8 * 18.5}


def test_held_out_episodes_below_the_threshold_are_left_out_too():
    def select(returns, **changes):
        opened = replace(Demonstrations.open(dataset_folder(demonstrations(), TASKS[0])), returns=returns)
        opened = replace(opened, lengths=np.ones(len(returns), np.int64), successes=(None,) * len(returns))
        found = select_episodes(replace(CONFIG, held_out=0.2, **changes), CONFIG.sources[0], opened)
        return found.training, found.held_out

    returns = np.arange(20.0)
    training, held_out = select(returns, return_filter=0.5)
    assert set(training) | set(held_out) == set(np.flatnonzero(returns >= 0.5 * 18.5).tolist())
    assert set(held_out) == {number for number in POISONED if number >= 0.5 * 18.5}
    none = select(np.where(np.isin(range(20), POISONED), 0.0, 1.0), return_filter=1.0)
    assert (len(none[0]), len(none[1])) == (16, 0)


def test_sources_of_which_nothing_is_held_out_are_not_in_it():
    """FrozenLake's held-out episode reaches nothing, and the threshold is that of one that does."""
    both = open_mixture(CONFIG, demonstrations())
    assert both.held_out.names == TASKS
    assert both.held_out.capacity == both.capacity
    strict = open_mixture(replace(CONFIG, return_filter=1.0), demonstrations())
    assert {source.index for source in strict.held_out.sources} < {0, 1}
    assert strict.held_out.names == tuple(TASKS[source.index] for source in strict.held_out.sources)
    assert open_mixture(replace(CONFIG, held_out=0.0), demonstrations()).held_out is None


def test_sources_are_those_of_the_configuration():
    mixture = open_mixture(replace(CONFIG, seed=5), demonstrations())
    assert (mixture.names, mixture.weights) == (TASKS, (1.0, 2.0))
    for index, (source, given) in enumerate(zip(mixture.sources, CONFIG.sources, strict=True)):
        assert (source.index, source.seed, source.prompt) == (index, 5, CONFIG.prompt)
        assert source.layout.options == given.layout
        assert source.sequence_length == CONFIG.sequence_length
        assert len(source.table.lengths) == 9


def test_episodes_below_the_return_filter_are_left_out():
    returns = Demonstrations.open(dataset_folder(demonstrations(), TASKS[0])).returns
    [cart, _] = open_mixture(replace(CONFIG, return_filter=1.0, held_out=0.0), demonstrations()).sources
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


@pytest.mark.parametrize(
    ("options", "plain"), [({}, True), ({"context": 4}, False), ({"past_actions": "hidden"}, False)]
)
def test_a_mask_is_plain_where_no_layout_hides_anything(options, plain):
    assert input_sizes(CONFIG, [layout("vector"), layout("vector", **options)]).plain_mask is plain


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
    advice = r"raise it \(--train.agent.local-positions 4\)"
    with pytest.raises(ValueError, match=rf"CartPole-v1 has up to 4 tokens, agent.local_positions is 1; {advice}"):
        open_mixture(wide, demonstrations())


@pytest.mark.parametrize(
    ("idle", "said"),
    [
        (LayoutOptions(patch_size=16), r"patches of 8 x 8 x 3 \(New-v1\), 16 x 16 x 3 \(Old-v1\)"),
        (LayoutOptions(images="conv", image_shape=(8, 8, 3)), ""),
    ],
    ids=["other patches", "patches and whole images"],
)
def test_pictures_of_tasks_that_are_known_alone_have_the_sizes_of_those_that_are_trained_on(tmp_path, idle, said):
    spaces = gym.spaces.Box(0, 255, (16, 16, 3), np.uint8), gym.spaces.Discrete(2)
    episode = episode_of("New-v1", np.zeros((4, 16, 16, 3), np.uint8), np.zeros(3, np.int64))
    write_episodes(tmp_path, "New-v1", spaces, [episode])
    known = {"Old-v1": Layout.from_spaces(*spaces, options=idle, vocabulary=CONFIG.vocabulary)}
    sources = (
        SourceConfig(task="Old-v1", layout=idle, weight=0.0),
        SourceConfig(task="New-v1", layout=LayoutOptions(patch_size=8)),
    )
    config = replace(CONFIG, sources=sources, held_out=0.0)
    if said:
        with pytest.raises(ValueError, match=f"must share one size, those of weight 0 too: {said}"):
            open_mixture(config, tmp_path, known)
    else:
        mixture = open_mixture(config, tmp_path, known)
        sizes = input_sizes(config, list(mixture.layouts.values()))
        assert (sizes.patch_size, sizes.image_shape) == (8, (8, 8, 3))
