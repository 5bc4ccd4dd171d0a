"""LoRA: nothing at birth, the formula of the paper, and the same as matrices that it was merged into."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from token_examples import CONFIG, batch, episode, hidden, jitted, network, padded

from generalist.agent.cache import Cache, empty_cache, extend
from generalist.agent.config import TRUNK
from generalist.agent.lora import LowRank, Projection, add_lora, merged, projections
from generalist.agent.network import Network, unstacked
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.tokenizers.sequence import TOKEN_FIELDS, TokenBatch

MATRICES = tuple(name for names in TRUNK.values() for name in names)
RANK, ALPHA = 4, 6.0


def with_lora(matrices: tuple[str, ...] = MATRICES, *, drawn: bool = True) -> Network:
    """The small network with LoRA; its second matrices too are drawn, else zero as at birth."""
    model = nnx.clone(network("tokens"))
    with use_mesh(make_mesh(1)):
        add_lora(model, matrices, RANK, ALPHA, rngs=nnx.Rngs(1))
    rng = np.random.default_rng(0)
    for found in projections(model, matrices if drawn else ()):
        b = found.lora.b
        b[...] = jnp.asarray(rng.normal(0, 0.1, b[...].shape), jnp.float32)
    return model


@functools.cache
def example():
    return batch(padded(episode("tokens", 4), 48))


def cached(model: Network) -> np.ndarray:
    """Hidden states read in pieces of six positions, as a policy reads."""
    arrays, cache, found = example().arrays(), empty_cache(CONFIG, 1), []
    for start in range(0, 48, 6):
        piece = TokenBatch(**arrays | {name: arrays[name][:, start : start + 6] for name in TOKEN_FIELDS})
        out, cache = jitted(step, unstacked(model), cache, piece)
        found.append(np.asarray(out[0]))
    return np.concatenate(found)[: int((example().segment[0] > 0).sum())]


def step(model: Network, cache: Cache, new: TokenBatch) -> tuple[jax.Array, Cache]:
    return extend(model, cache, new)


def test_at_birth_it_changes_nothing_to_the_bit():
    born = with_lora(drawn=False)
    np.testing.assert_array_equal(hidden(born, example()), hidden(network("tokens"), example()))
    np.testing.assert_array_equal(cached(born), cached(network("tokens")))
    assert all(found.lora is not None and found.lora.a[...].std() > 0.1 for found in projections(born, MATRICES))


@pytest.mark.parametrize("matrices", [MATRICES, ("query", "down")], ids=str)
def test_merged_equals_unmerged_in_training_and_in_cached_acting(matrices):
    model = with_lora(matrices)
    out, before = hidden(model, example()), hidden(network("tokens"), example())
    whole = merged(model)
    assert np.abs(out - before).max() > 0.1  # it does something
    np.testing.assert_allclose(hidden(whole, example()), out, rtol=2e-4, atol=2e-4)
    count = int((example().segment[0] > 0).sum())
    np.testing.assert_allclose(cached(model), out[0, :count], rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(cached(whole), cached(model), rtol=2e-4, atol=2e-4)
    assert not jax.tree.leaves(nnx.state(whole, nnx.LoRAParam))
    assert jax.tree.structure(nnx.state(whole)) == jax.tree.structure(nnx.state(network("tokens")))
    np.testing.assert_array_equal(hidden(model, example()), out)  # `merged` left it as it was


def test_it_is_the_formula_of_the_paper():
    """W x + (alpha / r) B A x, matrices transposed as rows of x are on the left."""
    with use_mesh(make_mesh(1)):
        found = Projection("MD,DA->MA", (6, 5), kernel_metadata={"out_sharding": (None, None)}, rngs=nnx.Rngs(0))
        found.lora = LowRank(found.kernel, 2, 8.0, rngs=nnx.Rngs(1))
    rng = np.random.default_rng(0)
    x, a, b = (rng.normal(size=shape).astype(np.float32) for shape in ((3, 6), (6, 2), (2, 5)))
    found.lora.a[...], found.lora.b[...] = jnp.asarray(a), jnp.asarray(b)
    expected = x @ np.asarray(found.kernel[...]) + 8.0 / 2 * (x @ a @ b)
    np.testing.assert_allclose(found(jnp.asarray(x)), expected, rtol=1e-5, atol=1e-5)


def test_it_stands_on_the_named_matrices_alone_and_its_size_is_that_of_the_paper():
    model = with_lora(("value", "up"))
    paths = {"/".join(map(str, path[2:])) for path, _ in nnx.to_flat_state(nnx.state(model, nnx.LoRAParam))}
    assert paths == {f"{part}/lora/{each}" for part in ("attention/value", "feedforward/up") for each in "ab"}
    D, A, F, layers = CONFIG.width, CONFIG.heads * CONFIG.head_size, CONFIG.feedforward // 2, CONFIG.layers
    count = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.LoRAParam)))
    assert count == layers * RANK * ((D + A) + (D + F))


def test_a_rank_that_saves_nothing_is_refused():
    with pytest.raises(ValueError, match=r"LoRA of rank 32 on a matrix of 32 x 32 .* choose a rank below 32"):
        add_lora(nnx.clone(network("tokens")), ("query",), 32, 1.0, rngs=nnx.Rngs(0))


def test_merging_multiplies_in_full_precision_on_every_device():
    """Accelerators round the inputs of a float32 product to far fewer bits unless they are told not to."""
    low = next(projections(with_lora(), MATRICES)).lora
    assert low is not None
    assert "HIGHEST" in str(jax.make_jaxpr(lambda: low.product())())
