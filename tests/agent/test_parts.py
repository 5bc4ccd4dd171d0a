"""Work in parts is the work as a whole on all that is used, and its gradient; parts that nobody uses are left out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from token_examples import CONFIG

from generalist.agent.config import AgentConfig, InputSizes
from generalist.agent.embed import PATCHES_AT_ONCE, PatchEmbed, VectorEmbed, residual_block
from generalist.agent.parts import in_parts
from generalist.agent.sharding import make_mesh, use_mesh

RNG = np.random.default_rng(0)
B, P = 4, 11
USED = np.arange(P)[None] % 4 < np.array([[1], [3], [0], [2]])
WEIGHT = RNG.normal(size=3).astype(np.float32)


def computed(used: np.ndarray, at_once: int, devices: int) -> np.ndarray:
    """Those that are used, and those that fill the last part of each device."""
    of_device = used.reshape(devices, -1)
    size = min(len(used) // devices * at_once, of_device.shape[1])
    found = np.zeros_like(of_device)
    for device, there in enumerate(of_device):
        count = -(-there.sum() // size) * size
        found[device, [*np.flatnonzero(there), *np.flatnonzero(~there)][:count]] = True
    return found.reshape(used.shape)


def worked(weight, things):
    """Arrays of three types from a pair, of which one is a pair too; nothing may stand for one of them."""
    x, (number, nothing) = things
    assert nothing is None
    assert x.shape[:2] == number.shape
    return {"sum": jnp.einsum("BPk,k->BP", jnp.sin(x), weight), "even": number % 2 == 0, "wide": x * number[..., None]}


def with_gradients(apply, used):
    """What `apply(worked, weight, x)` makes, and the gradient of a sum over what is used by weight and x."""

    def loss(weight, x):
        found = apply(weight, x)
        there = {
            name: jnp.where(used if values.ndim == 2 else used[..., None], values, 0) for name, values in found.items()
        }
        return jnp.square(there["sum"]).sum() + jnp.sin(there["wide"]).sum(), found

    def both(weight, x):
        (_, found), gradients = jax.value_and_grad(loss, (0, 1), has_aux=True)(weight, x)
        return found, gradients

    return jax.jit(both)


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("at_once", [1, 2, 50])
def test_parts_are_the_whole_where_things_are_used(at_once, devices):
    """What is not computed may be anything, NaN too, and gives zeros."""
    there = computed(USED, at_once, devices)
    assert USED.sum() <= there.sum() <= USED.size
    x, number = RNG.normal(size=(B, P, 3)).astype(np.float32), RNG.integers(1, 9, (B, P)).astype(np.int32)
    poisoned = np.where(there[..., None], x, np.nan)
    with use_mesh(make_mesh(devices)):

        def parts(weight, x):
            weight = nnx.Param(weight)
            return in_parts(
                lambda own, given: worked(own[...], given), weight, (x, (jnp.asarray(number), None)), USED, at_once
            )

        found, gradients = with_gradients(parts, USED)(WEIGHT, poisoned)
    expected, wanted = with_gradients(lambda weight, x: worked(weight, (x, (number, None))), USED)(WEIGHT, x)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert (found[name].dtype, found[name].shape) == (values.dtype, values.shape)
        np.testing.assert_allclose(found[name][there], values[there], rtol=1e-5, err_msg=name)
        assert not np.asarray(found[name])[~there].any(), name
    for mine, other in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_part_of_which_nothing_is_used_is_not_computed(share):
    used, calls = np.arange(20).reshape(2, 10) % 10 < 10 * share, []

    def counted(_, x):
        jax.debug.callback(lambda: calls.append(0))
        return x + 1

    found = jax.jit(lambda x: in_parts(counted, (), x, used, 2))(jnp.zeros((2, 10)))
    jax.effects_barrier()
    assert found.tolist() == used.astype(float).tolist()
    assert len(calls) == 5 * share


def embedder(name: str, things: int):
    """A layer, what it does to things in parts and to all of them, and the things."""
    rngs, sizes = nnx.Rngs(0), InputSizes(vocabulary=8, patch_size=4, vector_values=5)
    x = jax.random.normal(jax.random.key(1), (2, things, 4 * 4 * 3 if name == "patches" else 5))
    if name == "patches":
        x = jnp.clip(127.5 + 50 * x, 0, 255)  # not whole numbers, which have no gradient
        return PatchEmbed(CONFIG, sizes, rngs=rngs), lambda layer, x: residual_block(layer.block, x), partly, x
    config = AgentConfig(**{**vars(CONFIG), "source_embedding": True, "vector_gate": True})
    source = jax.random.normal(jax.random.key(2), (2, things, config.width))
    layer = VectorEmbed(config, sizes, rngs=rngs)
    return layer, lambda layer, x: layer.embed(x, source), lambda layer, x, used: layer(x, source, used), x


def partly(layer, x, used):
    return in_parts(residual_block, layer.block, x, used, PATCHES_AT_ONCE)


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("name", ["patches", "vectors"])
@pytest.mark.parametrize("things", [PATCHES_AT_ONCE, 3 * PATCHES_AT_ONCE + 3])
def test_embedders_in_parts_have_their_gradients(things, name, devices):
    with use_mesh(make_mesh(devices)):
        layer, whole, parts, x = embedder(name, things)
    used = jnp.arange(things)[None] < jnp.asarray([[3], [PATCHES_AT_ONCE + 1]])
    graphdef, state = nnx.split(layer)

    def gradients(embed):
        def loss(state, x):
            found = embed(nnx.merge(graphdef, state), x)
            return (jnp.arange(things)[None, :, None] * jnp.sin(jnp.where(used[..., None], found, 0))).sum(), found

        (_, found), rest = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(state, x)
        return np.where(used[..., None], found, 0), rest

    with use_mesh(make_mesh(devices)):
        ours = gradients(lambda layer, x: parts(layer, x, used))
        plain = gradients(whole)
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-3)
