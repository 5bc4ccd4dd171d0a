"""Cached decoding equals the full forward pass, for every modality, within and beyond the window."""

import itertools

import jax
import numpy as np
import pytest
from token_examples import ANSWERS, CONFIG, DIRECT, SPACES, batch, episode, hidden, jitted, network, padded

from generalist.agent.cache import Cache, clear, empty_cache, extend
from generalist.agent.config import AgentConfig
from generalist.agent.network import Network
from generalist.tokenizers.sequence import FEATURES, TOKEN_FIELDS, TokenBatch

COLUMNS = 6
"""New positions per call; fewer are padded to this, so that one function is compiled."""


def piece(example: TokenBatch, start: int, stop: int, pad: int = 0, columns: int = COLUMNS) -> TokenBatch:
    """Positions [start, stop) of a batch, with their features, `pad` places of padding before them and more after."""
    arrays = example.arrays()
    after = columns - pad - (stop - start)
    cut = {name: np.pad(arrays[name][:, start:stop], ((0, 0), (pad, after))) for name in TOKEN_FIELDS}
    for at, names in FEATURES.items():
        kept = (arrays[at] >= start) & (arrays[at] < stop)
        cut[at] = np.where(kept, arrays[at] - start + pad, columns)
        cut |= {name: arrays[name] for name in names}
    return TokenBatch(**cut)


def step(model: Network, cache: Cache, new: TokenBatch) -> tuple[jax.Array, Cache]:
    return extend(model, cache, new)


def in_pieces(model: Network, cache: Cache, example: TokenBatch, sizes: tuple[int, ...]) -> np.ndarray:
    """Hidden states of the first row of `example`, read in pieces of these sizes, over and over."""
    found, start, count = [], 0, int((example.segment[0] > 0).sum())
    for size in itertools.cycle(sizes):
        stop = min(start + size, count)
        out, cache = jitted(step, model, cache, piece(example, start, stop))
        found.append(np.asarray(out[0, : stop - start]))
        start = stop
        if start == count:
            break
    return np.concatenate(found)


@pytest.mark.parametrize("window", [64, 8])
@pytest.mark.parametrize("name", SPACES)
def test_cached_equals_full(name, window):
    """Positions come in pieces of changing size, as observations and single action tokens do to a policy."""
    config = AgentConfig(**{**vars(CONFIG), "window": window})
    model = network(name, config)
    for options in ({}, {"past_actions": "hidden"}, DIRECT):
        sequence = episode(name, 5, **options)
        count = len(sequence)
        assert (count > window) == (window == 8)
        assert count < 48
        example = batch(padded(sequence, 48, {"answer_at": 5 * ANSWERS}))
        full = hidden(model, example)[0, :count]
        found = in_pieces(model, empty_cache(config, 1), example, (COLUMNS, 1, 1, 3))
        np.testing.assert_allclose(found, full, atol=3e-5)


def test_the_window_matters():
    """What the small window hides changes the result: otherwise the test above would show nothing."""
    example = batch(padded(episode("tokens", 4), 48))
    large, small = (
        hidden(network("tokens", AgentConfig(**{**vars(CONFIG), "window": window})), example)[0] for window in (64, 8)
    )
    np.testing.assert_allclose(small[:8], large[:8], atol=1e-5)
    assert np.abs(small[8:20] - large[8:20]).max(axis=1).min() > 1e-3


def test_a_small_cache_is_exact_where_the_context_is_short():
    model = network("vector")
    sequence = episode("vector", 6, context=2)
    example = batch(sequence)
    found = in_pieces(model, empty_cache(CONFIG, 1, window=8), example, (1, 3))
    np.testing.assert_allclose(found, hidden(model, example)[0], atol=2e-5)


def test_padding_is_not_cached():
    model = network("tokens")
    example = batch(padded(episode("tokens", 2), 48))
    plain, shifted = empty_cache(CONFIG, 1), empty_cache(CONFIG, 1)
    for start in range(0, 10, 5):
        first, plain = jitted(step, model, plain, piece(example, start, start + 3))
        second, shifted = jitted(step, model, shifted, piece(example, start, start + 3, pad=3))
        np.testing.assert_allclose(second[:, 3:], first[:, :3], atol=1e-5)
    assert int((shifted.marks.segment > 0).sum()) == 6


def test_a_cleared_environment_starts_anew_and_the_others_go_on():
    model = network("tokens")
    two = batch(episode("tokens", 2, seed=1), episode("tokens", 2, seed=2))
    early, late = piece(two, 0, 5), piece(two, 5, 10)
    _, cache = jitted(step, model, empty_cache(CONFIG, 2), early)
    kept, _ = jitted(step, model, cache, late)
    fresh, _ = jitted(step, model, clear(cache, np.array([True, False])), late)
    alone, _ = jitted(step, model, empty_cache(CONFIG, 2), late)
    np.testing.assert_allclose(fresh[0, :5], alone[0, :5], atol=1e-5)
    np.testing.assert_allclose(fresh[1, :5], kept[1, :5], atol=1e-5)
    assert np.abs(fresh[0, :5] - kept[0, :5]).max() > 1e-3


def test_too_many_new_tokens_are_refused():
    with pytest.raises(ValueError, match="do not fit a cache of 4"):
        extend(network("tokens"), empty_cache(CONFIG, 1, window=4), batch(episode("tokens", 2)))
