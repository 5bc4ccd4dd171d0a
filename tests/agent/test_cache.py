"""Cached decoding equals the full forward pass, for every modality, within and beyond the window."""

import jax
import numpy as np
import pytest
from token_examples import CONFIG, SPACES, batch, episode, network

from generalist.agent.cache import clear, empty_cache, extend
from generalist.agent.config import AgentConfig
from generalist.tokenizers.sequence import TOKEN_FIELDS, TokenBatch

FEATURES = {"patch_at": ("patches", "patch_rows", "patch_cols"), "vector_at": ("vectors",), "image_at": ("images",)}


def piece(example: TokenBatch, start: int, stop: int, pad: int = 0) -> TokenBatch:
    """Positions [start, stop) of a batch of one, with their features, and padding before them."""
    arrays = example.arrays()
    cut = {name: np.pad(arrays[name][:, start:stop], ((0, 0), (pad, 0))) for name in TOKEN_FIELDS}
    for at, names in FEATURES.items():
        kept = (arrays[at][0] >= start) & (arrays[at][0] < stop)
        cut[at] = arrays[at][:, kept] - start + pad
        cut |= {name: arrays[name][:, kept] for name in names}
    return TokenBatch(**cut)


@pytest.mark.parametrize("window", [64, 13])
@pytest.mark.parametrize("past_actions", ["shown", "hidden"])
@pytest.mark.parametrize("name", SPACES)
def test_cached_equals_full(name, past_actions, window):
    """Timestep by timestep, the first in one piece and later ones token by token, as a policy would."""
    config = AgentConfig(**{**vars(CONFIG), "window": window})
    model = network(name, config)
    example = batch(episode(name, 4, past_actions=past_actions))
    full = model.hidden(example)[0]
    cache, found = empty_cache(config, 1), []
    for timestep in range(4):
        positions = np.flatnonzero(example.timestep[0] == timestep)
        cuts = [(positions[0], positions[-1] + 1)] if timestep == 0 else [(p, p + 1) for p in positions]
        for start, stop in cuts:
            hidden, cache = extend(model, cache, piece(example, start, stop))
            found.append(hidden[0])
    assert window > 13 or len(full) > window or name in ("vector",)
    np.testing.assert_allclose(np.concatenate(found), full, atol=2e-5)


def test_a_small_cache_is_exact_where_the_context_is_short():
    model = network("vector")
    example = batch(episode("vector", 6, context=2))
    full = model.hidden(example)[0]
    cache, found = empty_cache(CONFIG, 1, window=8), []
    for position in range(len(full)):
        hidden, cache = extend(model, cache, piece(example, position, position + 1))
        found.append(hidden[0])
    np.testing.assert_allclose(np.concatenate(found), full, atol=2e-5)


def test_padding_is_not_cached():
    model = network("tokens")
    example = batch(episode("tokens", 2))
    plain, padded = empty_cache(CONFIG, 1), empty_cache(CONFIG, 1)
    for timestep in range(2):
        positions = np.flatnonzero(example.timestep[0] == timestep)
        first, plain = extend(model, plain, piece(example, positions[0], positions[-1] + 1))
        second, padded = extend(model, padded, piece(example, positions[0], positions[-1] + 1, pad=3))
    np.testing.assert_allclose(second[:, 3:], first, atol=1e-5)
    assert int((padded.marks.segment > 0).sum()) == len(example.ids[0])


def test_a_cleared_environment_starts_anew_and_the_others_go_on():
    model = network("tokens")
    two = batch(episode("tokens", 2, seed=1), episode("tokens", 2, seed=2))
    half = len(two.ids[0]) // 2

    def part(start, stop):
        return jax.tree.map(lambda leaf: leaf[:, start:stop] if leaf.shape[1] else leaf, two)

    _, cache = extend(model, empty_cache(CONFIG, 2), part(0, half))
    kept, _ = extend(model, cache, part(half, 2 * half))
    fresh, _ = extend(model, clear(cache, np.array([True, False])), part(half, 2 * half))
    alone, _ = extend(model, empty_cache(CONFIG, 2), part(half, 2 * half))
    np.testing.assert_allclose(fresh[0], alone[0], atol=1e-5)
    np.testing.assert_allclose(fresh[1], kept[1], atol=1e-5)
    assert np.abs(fresh[0] - kept[0]).max() > 1e-3


def test_too_many_new_tokens_are_refused():
    with pytest.raises(ValueError, match="do not fit a cache of 4"):
        extend(network("tokens"), empty_cache(CONFIG, 1, window=4), batch(episode("tokens", 2)))
