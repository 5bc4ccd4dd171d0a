"""Causality and isolation by gradient, padding, packing, scanning, hidden actions and limited context."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.extend.core import jaxprs_in_params
from token_examples import CONFIG, DIRECT, SPACES, batch, episode, hidden, jitted, network, padded

from generalist.agent.cache import empty_cache, extend
from generalist.agent.config import AgentConfig, InputSizes
from generalist.agent.embed import PATCHES_AT_ONCE, ImageEmbed, convolution, convolve, interval_index, look_up
from generalist.agent.network import Network, logits_of, parameter_count, place, products, scored, unstacked
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.tokenizers.sequence import FEATURES, TOKEN_FIELDS, Kind, TokenBatch, TokenSequence


def influence(model: Network, example: TokenBatch, position: int) -> np.ndarray:
    """How much the final hidden state at `position` depends on the embedding of every position, [T]."""
    return np.asarray(jitted(_influence, model, example, position))


def _influence(model: Network, example: TokenBatch, position: jax.Array) -> jax.Array:
    def output(embedded):
        return jnp.square(jnp.take(model.trunk(embedded, example)[0], position, axis=0)).sum()

    return jnp.abs(jax.grad(output)(model.embed(example))[0]).sum(axis=-1)


def logits(model: Network, example: TokenBatch) -> np.ndarray:
    return np.asarray(jitted(_logits, model, example))


def _logits(model: Network, example: TokenBatch) -> jax.Array:
    return model(example)


@pytest.mark.parametrize("name", SPACES)
def test_a_position_depends_on_all_before_it_and_none_after(name):
    example = batch(episode(name, 3))
    found = influence(network(name), example, 5)
    assert (found[:6] > 0).all()
    assert (found[6:] == 0).all()


def test_hidden_actions_are_seen_in_their_own_timestep_only():
    example = batch(episode("vector", 3, past_actions="hidden"))
    found = influence(network("vector"), example, len(example.ids[0]) - 1)
    action, last = example.kind[0] == Kind.ACTION, example.timestep[0] == 2
    assert action.any()
    assert (found[action & ~last] == 0).all()
    assert (found[~action] > 0).all()
    assert (found[action & last] > 0).all()


@pytest.mark.parametrize("context", [1, 2])
def test_context_limits_attention_in_timesteps(context):
    config = AgentConfig(**{**vars(CONFIG), "layers": 1})
    example = batch(episode("tokens", 4, context=context))
    found = influence(network("tokens", config), example, len(example.ids[0]) - 1)
    assert ((found > 0) == (example.timestep[0] > 3 - context)).all()


def test_the_window_limits_attention_in_tokens():
    config = AgentConfig(**{**vars(CONFIG), "layers": 1, "window": 4})
    example = batch(episode("tokens", 4))
    found = influence(network("tokens", config), example, 9)
    assert np.flatnonzero(found).tolist() == [6, 7, 8, 9]


def joined(first: TokenSequence, second: TokenSequence) -> TokenSequence:
    """Two examples in one row, the second as segment 2."""
    arrays = {}
    for name, value in first.arrays().items():
        other = getattr(second, name)
        moved = other + len(first) if name.endswith("_at") else other + (name == "segment")
        arrays[name] = np.concatenate([value, moved]).astype(value.dtype)
    return TokenSequence(**arrays)


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in SPACES), ("patches", DIRECT)], ids=str)
def test_packed_equals_alone_and_padding_changes_nothing(name, options):
    model = network(name)
    first, second = (episode(name, 1 + number, seed=number, source=number - 1, **options) for number in (1, 2))
    row = joined(first, second)
    features = {at: len(getattr(row, at)) + 1 for at in FEATURES}
    rows = [padded(sequence, len(row) + 5, features) for sequence in (first, second, row)]
    one, two, both = hidden(model, batch(*rows))
    np.testing.assert_allclose(one[: len(first)], hidden(model, batch(first))[0], atol=5e-5)
    np.testing.assert_allclose(both[: len(first)], one[: len(first)], atol=5e-5)
    np.testing.assert_allclose(both[len(first) : len(row)], two[: len(second)], atol=5e-5)
    assert np.isfinite(both).all()


@pytest.mark.parametrize("name", ["tokens", "patches"])
def test_scanned_layers_equal_unrolled_ones_and_rematerialised_ones(name):
    example = batch(episode(name, 2))
    expected = logits(network(name), example)
    for change in ({"unroll": 2}, {"remat": True}, {"remat": True, "remat_keeps": "products"}):
        changed = network(name, AgentConfig(**{**vars(CONFIG), **change}))
        np.testing.assert_allclose(logits(changed, example), expected, atol=1e-5)


def test_a_network_with_an_array_per_layer_is_the_same_network_and_leaves_the_first_as_it_was():
    model, example = network("patches"), batch(episode("patches", 2))
    leaves = len(jax.tree.leaves(nnx.state(model)))
    alone = unstacked(model)
    assert parameter_count(alone) == parameter_count(model)
    assert len(jax.tree.leaves(nnx.state(model.transformer))) < len(jax.tree.leaves(nnx.state(alone.transformer)))
    assert len(jax.tree.leaves(nnx.state(model))) == leaves

    def read(model: Network) -> np.ndarray:
        return np.asarray(extend(model, empty_cache(CONFIG, 1), example)[0])

    np.testing.assert_allclose(read(alone), hidden(model, example), atol=5e-5)
    np.testing.assert_allclose(read(model), hidden(model, example), atol=5e-5)


def test_a_network_that_is_used_up_is_in_memory_once():
    kept = network("patches")
    graphdef, state = nnx.split(kept)
    model = nnx.merge(graphdef, jax.tree.map(jnp.copy, state))
    mine = jax.tree.leaves(nnx.state(model.transformer.blocks))
    alone = unstacked(model, consume=True)
    assert all(leaf.is_deleted() for leaf in mine)
    for ours, theirs in zip(
        jax.tree.leaves(nnx.state(alone)), jax.tree.leaves(nnx.state(unstacked(kept))), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(nnx.state(kept)))


def test_against_a_slow_reference():
    """One head at a time, one query at a time, in NumPy and float64."""
    model = network("tokens", AgentConfig(**{**vars(CONFIG), "layers": 1}))
    example = batch(episode("tokens", 2))
    block = nnx.state(model.transformer.blocks)
    weights = jax.tree.map(lambda leaf: np.asarray(leaf[0], np.float64), nnx.to_pure_dict(block))
    x = np.asarray(model.embed(example)[0], np.float64)
    normed = norm(x, weights["attention_norm"]["scale"])
    attention = weights["attention"]
    out = np.zeros_like(x)
    for head in range(2):
        own = slice(16 * head, 16 * head + 16)
        query, key, value = (normed @ attention[part]["kernel"][:, own] for part in ("query", "key", "value"))
        for t in range(len(x)):
            scores = [turn(query[t], t) @ turn(key[s], s) / np.sqrt(16) for s in range(t + 1)]
            share = np.exp(scores - np.max(scores)) / np.exp(scores - np.max(scores)).sum()
            out[t] += (share @ value[: t + 1]) @ attention["out"]["kernel"][own]
    x = x + out
    normed = norm(x, weights["feedforward_norm"]["scale"])
    forward = weights["feedforward"]
    gate = normed @ forward["gate"]["kernel"]
    gelu = 0.5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)))
    x = x + (gelu * (normed @ forward["up"]["kernel"])) @ forward["down"]["kernel"]
    x = norm(x, np.asarray(model.transformer.norm.scale[...], np.float64))
    np.testing.assert_allclose(hidden(model, example)[0], x, atol=1e-4)


def norm(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * scale


def turn(vector: np.ndarray, position: int) -> np.ndarray:
    half = len(vector) // 2
    angle = position * 10_000.0 ** (-np.arange(half) / half)
    turned = (vector[:half] + 1j * vector[half:]) * np.exp(1j * angle)
    return np.concatenate([turned.real, turned.imag])


def test_patch_positions_are_the_rounded_mean_in_evaluation_and_uniform_in_training():
    interval = jnp.asarray([[[32, 64], [51, 77], [5, 5]]])
    assert interval_index(interval, None).tolist() == [[48, 64, 5]]
    drawn = np.asarray(jax.vmap(lambda key: interval_index(interval, key)[0])(jax.random.split(jax.random.key(0), 500)))
    assert drawn.min(axis=0).tolist() == [32, 51, 5]
    assert drawn.max(axis=0).tolist() == [64, 77, 5]


def test_the_source_embedding_tells_tasks_apart_and_an_unknown_task_has_none():
    model = network("vector", AgentConfig(**{**vars(CONFIG), "source_embedding": True}))
    examples = [batch(episode("vector", 1, source=source)) for source in (0, 1, -1)]
    first, second, unknown = (logits(model, example) for example in examples)
    assert np.abs(first - second).max() > 1e-3
    without = nnx.clone(model)
    without.source.rows[...] = jnp.zeros_like(model.source.rows[...])
    np.testing.assert_allclose(logits(without, examples[0]), unknown, atol=1e-6)


def test_the_gate_of_a_task_scales_what_its_vector_makes():
    model = network("vector", AgentConfig(**{**vars(CONFIG), "source_embedding": True, "vector_gate": True}))
    vectors = jnp.asarray(np.random.default_rng(0).normal(size=(1, 2, model.sizes.vector_values)), jnp.float32)
    source, used = jnp.ones((1, 2, CONFIG.width)), jnp.ones((1, 2), bool)
    gate, out, before = model.vector.gate, model.vector.out, model.vector(vectors, source, used)
    gate.kernel[...], gate.bias[...] = jnp.zeros_like(gate.kernel[...]), jnp.full_like(gate.bias[...], -1)
    np.testing.assert_allclose(model.vector(vectors, source, used), jnp.zeros_like(before) + out.bias[...][None, None])
    np.testing.assert_raises(AssertionError, np.testing.assert_allclose, before, model.vector(vectors, None, used))


def test_every_field_of_the_format_is_a_leaf_of_the_batch():
    example = batch(episode("tokens", 1))
    assert len(jax.tree.leaves(example)) == len(TOKEN_FIELDS) + sum(1 + len(arrays) for arrays in FEATURES.values())


@pytest.mark.parametrize("edge", [2, 7])
def test_a_convolution_as_products_is_the_convolution(edge):
    with use_mesh(make_mesh(1)):
        layer = convolution(3, 5, 3, 1, CONFIG, nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (2, edge, edge + 1, 3))
    weight = jax.random.normal(jax.random.key(2), (2, edge, edge + 1, 5))
    graphdef, state = nnx.split(layer)

    def gradients(function):
        return jax.grad(lambda state, x: (function(nnx.merge(graphdef, state), x) * weight).sum(), (0, 1))(state, x)

    np.testing.assert_allclose(convolve(layer, x), layer(x), atol=1e-5)
    for ours, theirs in zip(*(jax.tree.leaves(gradients(f)) for f in (convolve, lambda m, x: m(x))), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("devices", [1, 2])
def test_an_image_is_convolved_whatever_else_is_in_its_row(devices):
    with use_mesh(make_mesh(devices)):
        layer = ImageEmbed(CONFIG, InputSizes(vocabulary=8, image_shape=(16, 24, 3)), rngs=nnx.Rngs(0))
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 2 * PATCHES_AT_ONCE, 16, 24, 3)), jnp.uint8)
    used = jnp.arange(images.shape[1])[None] < jnp.asarray([[3], [PATCHES_AT_ONCE + 1]])
    graphdef, state = nnx.split(layer)

    def gradients(embed):
        def loss(state):
            found = embed(nnx.merge(graphdef, state))
            return jnp.sin(jnp.where(used[..., None], found, 0)).sum(), found

        (_, found), rest = jax.jit(jax.value_and_grad(loss, has_aux=True))(state)
        return np.where(used[..., None], found, 0), rest

    def plainly(layer):
        x = images.reshape(-1, *images.shape[2:]) / 127.5 - 1
        x = nnx.gelu(layer.conv(nnx.gelu(layer.stem(x))))
        return layer.out(x.reshape(len(x), -1)).reshape(*images.shape[:2], -1)

    with use_mesh(make_mesh(devices)):
        ours, plain = gradients(lambda layer: layer(images, used)), gradients(plainly)
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-3)


def test_features_take_the_places_they_are_given_and_the_gradient_goes_with_them():
    x, rows = jnp.zeros((2, 5, 1)), jnp.asarray([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [6.0]]])
    at = jnp.asarray([[3, 0, 5], [4, 5, 5]])  # 5 is beyond the row: unused, as often as it likes
    weight = jnp.asarray([[[1.0], [2.0], [3.0], [4.0], [5.0]], [[6.0], [7.0], [8.0], [9.0], [10.0]]])
    assert place(x, rows, at)[..., 0].tolist() == [[2, 0, 0, 1, 0], [0, 0, 0, 0, 4]]
    under, of_rows = jax.grad(lambda x, rows: (place(x, rows, at) * weight).sum(), (0, 1))(x, rows)
    assert of_rows[..., 0].tolist() == [[4, 1, 0], [10, 0, 0]]
    assert under[..., 0].tolist() == [[0, 2, 3, 0, 5], [6, 7, 8, 9, 0]]


def test_rows_beyond_the_ids_are_never_likely_and_have_no_gradient():
    rng = np.random.default_rng(0)
    rows, hidden = (jnp.asarray(rng.normal(size=size), jnp.float32) for size in ((128, 8), (2, 3, 8)))

    def spread(rows, logits):
        return (jax.nn.log_softmax(logits(rows)) ** 2)[..., :100].sum()

    cut, kept = lambda rows: logits_of(rows, hidden, 0, 100), lambda rows: scored(rows, hidden, 100)
    np.testing.assert_allclose(kept(rows)[..., :100], cut(rows), rtol=1e-6)
    assert (jax.nn.softmax(kept(rows))[..., 100:] == 0).all()
    mine, other = (jax.grad(spread)(rows, logits) for logits in (kept, cut))
    np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-4)
    assert (mine[100:] == 0).all()


def test_products_in_bfloat16_have_gradients_near_those_in_float32():
    """And are multiplied in bfloat16 both times: of the transposes none reads float32."""
    rng = np.random.default_rng(1)
    flat, rows = (jnp.asarray(rng.normal(size=size), jnp.float32) for size in ((6, 16), (40, 16)))
    low = flat.astype(jnp.bfloat16)

    def loss(flat, rows):
        return (products(flat, rows) ** 2).sum()

    expected, found = jax.grad(loss, (0, 1))(flat, rows), jax.grad(loss, (0, 1))(low, rows)
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine.astype(jnp.float32), other, atol=0.03 * float(jnp.abs(other).max()))
    jaxpr = jax.make_jaxpr(jax.grad(loss, (0, 1)))(low, rows)
    read = {
        str(each.aval.dtype) for eqn in equations(jaxpr.jaxpr) if "dot" in eqn.primitive.name for each in eqn.invars
    }
    assert read == {"bfloat16"}


def equations(jaxpr):
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jaxprs_in_params(eqn.params):
            yield from equations(inner)


def test_a_shared_table_sums_gradients_in_float32():
    """One row, looked up 4,096 times with a gradient of 1 each: in bfloat16 256 + 1 is 256."""
    rows, index = jnp.ones((3, 2), jnp.float32), jnp.ones(4096, jnp.int32)
    found = jax.grad(lambda rows: look_up(rows, index, jnp.bfloat16).astype(jnp.float32).sum())(rows)
    assert look_up(rows, index, jnp.bfloat16).dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, [[0, 0], [4096, 4096], [0, 0]])
