"""Images are read by what was said last before them, in training and when acting."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from generalist.agent.cache import clear, empty_cache, extend
from generalist.agent.config import AgentConfig, InputSizes
from generalist.agent.network import Network
from generalist.agent.said import said_before, said_last
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.tokenizers.sequence import UNLIMITED, Capacity, Kind, TokenBatch, empty, stack

CONFIG = AgentConfig(
    width=16, layers=2, heads=2, head_size=8, feedforward=32, window=16, image_channels=4, image_text=True
)
SIZES = InputSizes(vocabulary=32, image_shape=(8, 8, 3))
TEXT, IMAGE, NONE = Kind.TEXT, Kind.IMAGE, Kind.PAD
ROW = [
    *[(1, 0, TEXT, 3), (1, 0, TEXT, 4), (1, 0, IMAGE, 1), (1, 1, IMAGE, 1), (1, 2, TEXT, 5), (1, 2, IMAGE, 1)],
    *[(2, 0, IMAGE, 1), (2, 1, TEXT, 6), (2, 1, IMAGE, 1), (0, 0, NONE, 0)],
]
"""Segment, timestep, kind and id of every position."""


@cache
def network() -> Network:
    with use_mesh(make_mesh(1)):
        return Network(CONFIG, SIZES, rngs=nnx.Rngs(0))


def batch(rows=ROW, first: int = 0) -> TokenBatch:
    """One row; positions count from `first` on, and every picture is another."""
    T, at = len(rows), [place for place, row in enumerate(rows) if row[2] == IMAGE]
    made = empty(Capacity(tokens=T, targets=1, images=max(1, len(at)), image_shape=SIZES.image_shape))
    for place, (segment, timestep, kind, token) in enumerate(rows):
        made.segment[place], made.timestep[place], made.kind[place], made.ids[place] = segment, timestep, kind, token
    made.position[:] = np.arange(first, first + T)
    made.context[:], made.visible[:] = UNLIMITED, True
    for number, place in enumerate(at):
        made.image_at[number] = place
        made.images[number] = np.random.default_rng(first + place).integers(0, 256, SIZES.image_shape)
    return stack([made])


def test_it_is_the_latest_text_of_the_same_segment():
    example, tokens = batch(), jax.random.normal(jax.random.key(0), (1, len(ROW), 16))
    earlier = jnp.full((1, 16), 7.0)
    found = said_before(example, tokens, example.image_at, earlier)[0]
    both = (tokens[0, 0] + tokens[0, 1]) / 2
    for one, expected in zip(found, (both, both, tokens[0, 4], earlier[0], tokens[0, 7]), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-5)
    np.testing.assert_allclose(said_last(example, tokens, earlier)[0], tokens[0, 7], rtol=1e-5)
    np.testing.assert_allclose(said_last(batch(ROW[3:4]), tokens[:, :1], earlier)[0], earlier[0])


def test_other_words_give_another_image_and_are_learned_from_it():
    rows = list(ROW)
    rows[1] = (1, 0, TEXT, 9)
    before, after = (np.asarray(network().embed(batch(given))[0]) for given in (ROW, rows))
    changed = np.abs(before - after).max(axis=1) > 1e-6
    assert changed.tolist() == [False, True, True, True, *[False] * 6]

    def of_images(network):
        return jnp.square(network.embed(batch())[0, 5]).sum()

    gradient = nnx.grad(of_images)(network())["tokens"]["rows"].get_value()
    assert np.flatnonzero(np.abs(gradient).max(axis=1) > 1e-9).tolist() == [5]


def test_acting_equals_training():
    """Read at once, or a timestep at a time, where what was said is remembered until something else is."""
    whole = np.asarray(network().hidden(batch(ROW[:6]))[0])
    pieces, cache = [ROW[:3], ROW[3:4], ROW[4:6]], empty_cache(CONFIG, 1)
    first, found = 0, []
    for piece in pieces:
        example = batch(piece, first)
        hidden, cache = extend(network(), cache, example)
        found.append(np.asarray(hidden[0]))
        first += len(piece)
    np.testing.assert_allclose(np.concatenate(found), whole, atol=1e-5)


def test_a_new_episode_has_heard_nothing():
    _, cache = extend(network(), empty_cache(CONFIG, 1), batch(ROW[:3]))
    assert np.abs(cache.said).max() > 0
    assert np.abs(clear(cache, jnp.ones(1, bool)).said).max() == 0
    assert np.abs(clear(cache, jnp.zeros(1, bool)).said).max() > 0
