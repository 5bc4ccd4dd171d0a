"""Choosing actions: legal ids alone, values inside their bins, draws that depend on seed and step alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from token_examples import CONFIG, DIRECT, VOCABULARY, batch, episode, hidden, jitted, layout, network

from generalist.agent.acting import ActionSpec, action_token, choose, make_act, probabilities
from generalist.agent.cache import empty_cache
from generalist.agent.config import DecodeConfig
from generalist.tokenizers.sequence import NO_LOCAL, Kind

START, STOP = VOCABULARY.continuous
BINS = STOP - START
EVERY = np.arange(VOCABULARY.size)
MODES = [
    DecodeConfig(continuous=continuous, discrete=discrete, temperature=temperature)
    for continuous, discrete, temperature in (
        ("mean", "mode", 1.0),
        ("mode", "sample", 1.0),
        ("sample", "sample", 5.0),
        ("mean", "sample", 100.0),
    )
]


def keys(count: int) -> jax.Array:
    return jax.random.split(jax.random.key(0), count)


@pytest.mark.parametrize("config", MODES, ids=str)
@pytest.mark.parametrize("legal", [(START, STOP), (VOCABULARY.discrete[0], VOCABULARY.discrete[0] + 3), (5, 6)])
def test_only_legal_ids_are_chosen(config, legal):
    """Whatever the logits, even where every legal id is far below the others."""
    logits = np.random.default_rng(0).normal(0, 4, (200, VOCABULARY.size)).astype(np.float32)
    logits[:100, legal[0] : legal[1]] -= 60
    continuous = legal == (START, STOP)
    first = legal[0] - 2  # a window that begins before the legal ids and ends after them, or at the end of the table
    seen = jnp.asarray(logits[:, first : legal[1] + 3])
    ids, values = choose(
        seen, jnp.asarray(first), jnp.asarray(legal), jnp.asarray(continuous), keys(200), VOCABULARY, config
    )
    assert ids.min() >= legal[0]
    assert ids.max() < legal[1]
    if continuous:
        assert np.abs(values).max() <= 1
        centres = (2 * (np.asarray(ids) - START) + 1) / BINS - 1
        assert np.abs(centres - values).max() <= 1 / BINS + 1e-6
    else:
        assert not values.any()


def test_the_mean_is_the_expectation_over_bins():
    logits = np.full((1, VOCABULARY.size), -1e9, np.float32)
    logits[0, [START, START + 3]] = np.log([0.25, 0.75])
    legal = jnp.asarray([START, STOP])
    config = DecodeConfig(continuous="mean")
    ids, values = choose(jnp.asarray(logits), jnp.asarray(0), legal, jnp.asarray(True), keys(1), VOCABULARY, config)
    centre = (2 * np.arange(BINS) + 1) / BINS - 1
    assert float(values[0]) == pytest.approx(0.25 * centre[0] + 0.75 * centre[3], abs=1e-6)
    assert int(ids[0]) == START + 2


def test_greedy_is_the_likeliest_and_samples_follow_the_distribution():
    logits = np.full((4000, VOCABULARY.size), 9.0, np.float32)
    logits[:, 2:5] = np.log([0.2, 0.5, 0.3])
    legal = jnp.asarray([2, 5])
    for discrete, temperature, expected in (
        ("mode", 1.0, [0, 1, 0]),
        ("sample", 1.0, [0.2, 0.5, 0.3]),
        ("sample", 0.5, np.square([0.2, 0.5, 0.3]) / 0.38),
    ):
        config = DecodeConfig(discrete=discrete, temperature=temperature)
        seen = jnp.asarray(logits[:, 1:9])
        ids, _ = choose(seen, jnp.asarray(1), legal, jnp.asarray(False), keys(4000), VOCABULARY, config)
        np.testing.assert_allclose(np.bincount(ids, minlength=5)[2:5] / 4000, expected, atol=0.03)


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="use mode for greedy"):
        DecodeConfig(temperature=0)


def test_an_action_token_follows_the_observation():
    example = batch(episode("tokens", 1), episode("tokens", 1, seed=1))
    new = action_token(example, jnp.array([3, 3]), jnp.array([40, 41]), jnp.asarray(1), jnp.asarray(False))
    assert new.ids.tolist() == [[40], [41]]
    assert new.position.tolist() == [[5], [5]]
    assert new.kind.tolist() == [[Kind.ACTION]] * 2
    assert new.local.tolist() == [[NO_LOCAL]] * 2
    assert not new.visible.any()
    assert new.segment.tolist() == [[1], [1]]


def act(
    name: str, order: list[int], decode: DecodeConfig, seeds: list[int], steps: list[int], explained=False, **options
) -> tuple:
    """Ids and values of one step, and the cache, the environments given in this order."""
    model, rows = network(name), layout(name, **options)
    graphdef, state = nnx.split(model)
    observed = [episode(name, 1, seed=seed, **options) for seed in range(len(order))]
    count = len(observed[0]) - rows.written_tokens
    example = jax.tree.map(lambda leaf: leaf, batch(*[observed[i] for i in order]))
    example.loss_mask[:], example.segment[:, count:] = False, 0
    visible = rows.options.past_actions == "shown"
    spec = ActionSpec.of(rows.action_ranges, rows.action_is_continuous, visible=visible, direct=rows.direct)
    ids, values, *chances, cache = make_act(graphdef, VOCABULARY, decode, explained)(
        state,
        empty_cache(CONFIG, len(order)),
        example,
        jnp.full(len(order), count - 1),
        jnp.ones(len(order), bool),
        spec,
        jnp.asarray(seeds, jnp.uint32)[jnp.asarray(order)],
        jnp.asarray(steps, jnp.int32)[jnp.asarray(order)],
    )
    return np.asarray(ids), np.asarray(values), *map(np.asarray, chances), cache


@pytest.mark.parametrize("options", [{}, DIRECT], ids=str)
@pytest.mark.parametrize("name", ["discrete", "vector"])
def test_probabilities_are_those_of_the_legal_ids_and_change_no_action(name, options):
    """The greedy id is the likeliest, and nothing lies beyond the last legal one."""
    ranges = layout(name, **options).action_ranges
    greedy = DecodeConfig(continuous="mode")
    ids, _, chances, _ = act(name, [0, 1], greedy, [0, 1], [0, 0], explained=True, **options)
    plain, _, _ = act(name, [0, 1], greedy, [0, 1], [0, 0], **options)

    assert (ids == plain).all()
    np.testing.assert_allclose(chances.sum(axis=-1), 1, atol=1e-5)
    assert (ranges[:, 0] + chances.argmax(axis=-1) == ids).all()
    for token, (start, stop) in enumerate(ranges):
        assert (chances[:, token, stop - start :] == 0).all()


def test_probabilities_begin_with_the_first_legal_id():
    logits = jnp.log(jnp.asarray([[8.0, 1, 2, 1, 8, 8]]))  # of the ids 10 to 15; legal are 11 to 13
    found = probabilities(logits, jnp.asarray(10), jnp.asarray([11, 14]))

    np.testing.assert_allclose(found, [[0.25, 0.5, 0.25, 0, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("options", [{}, DIRECT], ids=str)
@pytest.mark.parametrize("name", ["discrete", "vector"])
def test_draws_depend_on_seed_and_step_and_not_on_the_slot(name, options):
    decode = DecodeConfig(continuous="sample", discrete="sample", temperature=30.0)
    ids, values, _ = act(name, [0, 1, 2], decode, [7, 8, 9], [0, 1, 2], **options)
    swapped, other, _ = act(name, [2, 0, 1], decode, [7, 8, 9], [0, 1, 2], **options)
    assert (swapped == ids[[2, 0, 1]]).all()
    np.testing.assert_allclose(other, values[[2, 0, 1]], atol=1e-6)
    drawn = [act(name, [0, 1, 2], decode, [7 + i, 8, 9], [0, 1 + i, 2], **options)[0] for i in range(12)]
    assert len({tuple(one[0]) for one in drawn}) > 1, "another seed draws anew"
    assert len({tuple(one[1]) for one in drawn}) > 1, "another step draws anew"
    assert len({tuple(one[2]) for one in drawn}) == 1
    ranges = layout(name).action_ranges
    assert all(((one >= ranges[:, 0]) & (one < ranges[:, 1])).all() for one in drawn)


def test_the_last_action_token_is_not_yet_cached():
    rows = layout("vector")
    _, _, cache = act("vector", [0, 1], DecodeConfig(), [0, 1], [0, 0])
    cached = (np.asarray(cache.marks.segment) > 0).sum(axis=1)
    assert cached.tolist() == [len(episode("vector", 1)) - 1] * 2
    assert rows.action_tokens == 2


def test_a_direct_action_is_predicted_from_the_observation_and_only_that_is_cached():
    rows, model = layout("vector", **DIRECT), network("vector")
    ids, _, cache = act("vector", [0, 1], DecodeConfig(continuous="mode"), [0, 1], [0, 0], **DIRECT)
    observed = [episode("vector", 1, seed=seed, **DIRECT) for seed in range(2)]
    assert (np.asarray(cache.marks.segment) > 0).sum(axis=1).tolist() == [len(observed[0])] * 2
    last = hidden(model, batch(*observed))[:, -1:]
    for part, (start, stop) in enumerate(rows.action_ranges):
        logits = jitted(_answered, model, jnp.asarray(last), jnp.full((2, 1), part))[:, 0]
        assert ids[:, part].tolist() == (start + logits[:, start:stop].argmax(axis=1)).tolist()


def _answered(model, states: jax.Array, part: jax.Array) -> jax.Array:
    return model.logits(model.answer(states, part))
