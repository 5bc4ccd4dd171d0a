"""Splash attention, interpreted, beside blocks: values and gradients, on one device and on several; what it refuses."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from token_examples import CONFIG, batch, episode, network, padded

from generalist.agent.attention import Marks, attend_in_blocks
from generalist.agent.batch import abstract_batch
from generalist.agent.config import AgentConfig, InputSizes
from generalist.agent.generating import whole
from generalist.agent.network import Network, fitting
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.agent.splash import attend_splash
from generalist.agent.trunk_config import TrunkConfig
from generalist.tokenizers.sequence import UNLIMITED, Capacity

B, T, N, H = 4, 256, 4, 8


def given(heads: int) -> tuple[list[jax.Array], jax.Array, Marks, jax.Array]:
    """Queries, keys and values, a weight of every output, and rows of three segments with padding at their end."""
    rng = np.random.default_rng(0)
    shapes = [(B, T, N, H), (B, T, heads, H), (B, T, heads, H), (B, T, N, H)]
    *parts, weight = (jnp.asarray(rng.normal(0, 2, shape), jnp.float32) for shape in shapes)
    lengths = [(70, 100, 60), (256, 0, 0), (1, 2, 3), (128, 64, 64)]
    segment, position = np.zeros((2, B, T), np.int32)
    for row, each in enumerate(lengths):
        ends = np.cumsum(each)
        for number, (stop, length) in enumerate(zip(ends, each, strict=True), 1):
            segment[row, stop - length : stop], position[row, stop - length : stop] = number, np.arange(length)
    where = (jnp.asarray(array) for array in (segment, position, position // 3, np.ones((B, T), bool)))
    return parts, weight, Marks(*where), jnp.full((B, T), UNLIMITED, jnp.int32)


@pytest.mark.parametrize(
    ("heads", "window", "mesh"), [(4, 256, (1, 1, 1)), (4, 40, (1, 1, 1)), (2, 256, (1, 1, 1)), (4, 100, (2, 2, 2))]
)
def test_values_and_gradients_are_those_of_blocks_wherever_there_is_no_padding(heads, window, mesh):
    parts, weight, where, context = given(heads)
    real = (where.segment > 0)[..., None, None]

    def found(attend):
        def loss(*parts):
            out = jnp.where(real, attend(*parts), 0)
            return (out * weight).sum(), out

        (_, out), gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))(*parts)
        return out, *gradients

    blocks = found(lambda *parts: attend_in_blocks(*parts, where, context, window, 64))
    with use_mesh(make_mesh(*mesh)):
        splash = found(lambda *parts: attend_splash(*parts, where.segment, window, interpret=True))
    for one, other in zip(blocks, splash, strict=True):
        np.testing.assert_allclose(one, np.asarray(other), atol=2e-5)


def test_rows_that_no_kernel_takes_are_refused():
    query = jnp.zeros((1, 100, 2, 8))
    with pytest.raises(ValueError, match="multiple of 128, got 100"):
        attend_splash(query, query, query, jnp.zeros((1, 100), jnp.int32), 8)


SMALL = AgentConfig(width=16, layers=4, heads=2, head_size=8, feedforward=16, window=128, attention="splash")


@pytest.mark.parametrize(
    ("trunk", "plain"), [(TrunkConfig(), False), (TrunkConfig(local_window=8, global_every=2), True)]
)
def test_masks_that_it_does_not_know_are_refused(trunk, plain):
    sizes = InputSizes(vocabulary=32, plain_mask=plain)
    with use_mesh(make_mesh(1)):
        network = Network(replace(SMALL, trunk=trunk), sizes, rngs=nnx.Rngs(0))
        with pytest.raises(ValueError, match="splash knows causality, segments and one window"):
            nnx.eval_shape(lambda batch: network.hidden(batch), abstract_batch(Capacity(tokens=128, targets=1), 2))


def test_what_was_trained_with_a_kernel_is_scored_without():
    """On a CPU, which has none, and of rows of 20 positions, which splash would not take."""
    example = batch(padded(episode("vector", 4), 20))
    found = [whole(network("vector", replace(CONFIG, attention=each)), example) for each in ("splash", "blocked")]
    np.testing.assert_array_equal(*found)


def test_auto_is_blocks_on_a_cpu():
    assert fitting(SMALL, InputSizes(vocabulary=32, plain_mask=True), 128) == "blocked"
