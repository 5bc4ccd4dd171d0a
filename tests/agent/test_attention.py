import jax
import jax.numpy as jnp
import numpy as np
import pytest

from generalist.agent.attention import Marks, attend, attend_fused, attend_in_blocks, attend_once, attention_mask
from generalist.tokenizers.sequence import UNLIMITED

B, T, N, H = 2, 19, 2, 8
WINDOW = 7


def arrays(length: int, seed: int = 0) -> list[jax.Array]:
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.normal(0, 2, (B, length, N, H)), jnp.float32) for _ in range(3)]


def packed_marks() -> tuple[Marks, jax.Array]:
    """Two segments and padding; some tokens hidden from later timesteps; one row with a short context."""
    segment = np.array([[1] * 8 + [2] * 9 + [0] * 2, [3] * 19])
    position = np.array([[*range(8), *range(9), 0, 0], [*range(19)]])
    timestep, visible = position // 3, position % 3 != 2
    context = np.array([[UNLIMITED] * T, [2] * T])
    made = (jnp.asarray(array, jnp.int32) for array in (segment, position, timestep))
    return Marks(*made, visible=jnp.asarray(visible)), jnp.asarray(context, jnp.int32)


def slow(query, key, value, mask) -> np.ndarray:
    """One query at a time in float64; a query that sees nothing gives zeros."""
    query, key, value = (np.asarray(part, np.float64) for part in (query, key, value))
    out = np.zeros_like(query)
    for b, t, n in np.ndindex(query.shape[:3]):
        seen = np.flatnonzero(mask[b, t])
        if len(seen):
            scores = key[b, seen, n] @ query[b, t, n] / np.sqrt(query.shape[-1])
            weights = np.exp(scores - scores.max())
            out[b, t, n] = weights / weights.sum() @ value[b, seen, n]
    return out


@pytest.mark.parametrize("block", [1, 4, 19, 64])
def test_blocks_equal_a_slow_reference_whatever_their_size(block):
    where, context = packed_marks()
    mask = np.asarray(attention_mask(where, context, where, WINDOW))
    out = np.asarray(attend_in_blocks(*arrays(T), where, context, WINDOW, block))
    real = np.asarray(where.segment) > 0
    np.testing.assert_allclose(out[real], slow(*arrays(T), mask)[real], atol=1e-5)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("heads", [2, 1])
def test_the_fused_form_has_the_values_and_gradients_of_blocks_wherever_there_is_no_padding(heads):
    where, context = packed_marks()
    real = np.asarray(where.segment)[..., None, None] > 0
    query, key, value = arrays(T)
    key, value = key[:, :, :heads], value[:, :, :heads]
    weight = jnp.asarray(np.random.default_rng(1).normal(size=query.shape), jnp.float32)

    def found(attend):
        def loss(*parts):
            out = jnp.where(real, attend(*parts), 0)
            return (out * weight).sum(), out

        (_, out), gradients = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(query, key, value)
        return out, *gradients

    blocks = found(lambda *parts: attend_in_blocks(*parts, where, context, WINDOW, 4))
    fused = found(lambda *parts: attend_fused(*parts, where, context, WINDOW, "xla"))
    for one, other in zip(blocks, fused, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_gradients_through_blocks_equal_those_through_one_and_stay_inside_a_segment():
    where, context = packed_marks()
    weight = jnp.asarray(np.random.default_rng(1).normal(size=(B, T, N, H)), jnp.float32)

    def gradients(block: int, rows: jax.Array) -> tuple[jax.Array, ...]:
        def loss(query, key, value):
            out = attend_in_blocks(query, key, value, where, context, WINDOW, block)
            return jnp.where(rows[:, :, None, None], out * weight, 0).sum()

        return jax.grad(loss, argnums=(0, 1, 2))(*arrays(T))

    real = where.segment > 0
    for one, other in zip(gradients(4, real), gradients(T, real), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    second = where.segment == 2
    for gradient in gradients(4, second):
        assert not np.asarray(gradient)[~np.asarray(second)].any()
        assert np.asarray(gradient)[np.asarray(second)].any()


def test_cached_keys_come_before_the_new_ones():
    rng = np.random.default_rng(2)
    query, key, value = arrays(3)
    _, past_key, past_value = arrays(5, seed=3)
    mask = jnp.asarray(rng.random((B, 3, 8)) < 0.6).at[:, :, 5].set(True)
    out = attend(query, key, value, mask, (past_key.transpose(0, 2, 1, 3), past_value.transpose(0, 2, 1, 3)))
    whole = slow(query, jnp.concatenate([past_key, key], 1), jnp.concatenate([past_value, value], 1), np.asarray(mask))
    np.testing.assert_allclose(out, whole, atol=1e-5)


def test_the_softmax_is_computed_in_float32_whatever_comes_in():
    query, key, value = (part.astype(jnp.bfloat16) for part in arrays(T))
    mask = jnp.tril(jnp.ones((T, T), bool))[None].repeat(B, axis=0)
    heads_first = [part.transpose(0, 2, 1, 3) for part in (query / H**0.5, key, value)]
    out = attend_once(*heads_first, mask).transpose(0, 2, 1, 3)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(out.astype(jnp.float32), slow(query, key, value, np.asarray(mask)), atol=0.03)


def test_gradients_equal_those_that_jax_derives():
    """The backward pass is written by hand; the reference is the textbook formula, differentiated by JAX."""
    where, context = packed_marks()
    mask = attention_mask(where, context, where, WINDOW)
    seen = mask.any(axis=-1)[:, :, None, None]
    weight = jnp.asarray(np.random.default_rng(1).normal(size=(B, T, N, H)), jnp.float32)

    def textbook(query, key, value):
        scores = jnp.einsum("BTNH,BSNH->BNTS", query, key) / H**0.5
        weights = jax.nn.softmax(jnp.where(mask[:, None], scores, -1e30), axis=-1)
        return (jnp.where(seen, jnp.einsum("BNTS,BSNH->BTNH", weights, value), 0) * weight).sum()

    def blocks(query, key, value):
        return (jnp.where(seen, attend_in_blocks(query, key, value, where, context, WINDOW, 4), 0) * weight).sum()

    found = (jax.grad(function, argnums=(0, 1, 2))(*arrays(T)) for function in (blocks, textbook))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
