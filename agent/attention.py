"""Who may attend to whom.

The same mask function serves training (all positions at once) and acting (new positions against the cache), so both
see exactly the same thing.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from generalist.tokenizers.sequence import TokenBatch

KeyValue = tuple[Float[Array, "B T N H"], Float[Array, "B T N H"]]
CachedKeyValue = tuple[Float[Array, "B N W H"], Float[Array, "B N W H"]]
"""Heads first, as products want them: turning a cache around at every token would cost more than reading it."""

HEADS_FIRST = (0, 2, 1, 3)
"""[B, T, N, H] as [B, N, T, H], and back."""

MASKED = -1e30
"""Score of what may not be chosen. Not minus infinity, so that a row that sees nothing has a finite softmax."""


LANES = 128
"""Numbers that a TPU works on at once; rows for `generalist.agent.splash` are a multiple of it."""


class Marks(NamedTuple):
    """What the mask needs to know of each position, shape [B, T] each; see `TokenSequence`."""

    segment: jax.Array
    position: jax.Array
    timestep: jax.Array
    visible: jax.Array


def marks(batch: TokenBatch) -> Marks:
    return Marks(batch.segment, batch.position, batch.timestep, batch.visible)


def attention_mask(
    queries: Marks, context: Int[Array, "B T"], keys: Marks, window: int | Int[Array, ""]
) -> Bool[Array, "B T S"]:
    """True where a query may attend to a key.

    Causal, inside one segment, at most `window - 1` tokens back and fewer than `context` timesteps back. A key that is
    not `visible` (a hidden past action) is seen from its own timestep only. Padding (segment 0) sees and is seen by
    nothing.
    """

    def pair(query, key):
        return query[:, :, None], key[:, None, :]

    query_segment, key_segment = pair(queries.segment, keys.segment)
    query_position, key_position = pair(queries.position, keys.position)
    query_timestep, key_timestep = pair(queries.timestep, keys.timestep)
    distance = query_position - key_position
    age = query_timestep - key_timestep
    return (
        (query_segment == key_segment)
        & (key_segment > 0)
        & (distance >= 0)
        & (distance < window)
        & (age < context[:, :, None])
        & (keys.visible[:, None, :] | (age == 0))
    )


def grouped(
    query: Float[Array, "B N T H"], mask: Bool[Array, "B T S"], heads: int
) -> tuple[Float[Array, "B K M H"], Bool[Array, "B M S"]]:
    """Queries of N heads for K `heads` of keys: those that share one stand one after the other, M = N T / K."""
    B, N, T, H = query.shape
    if heads == N:
        return query, mask
    return query.reshape(B, heads, N // heads * T, H), jnp.tile(mask, (1, N // heads, 1))


def attend(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B T K H"],
    value: Float[Array, "B T K H"],
    mask: Bool[Array, "B T S"],
    past: CachedKeyValue,
) -> Float[Array, "B T N H"]:
    """Softmax attention of new positions over the cached ones, which come first in the mask's S, and each other.

    N heads of queries share K heads of keys and values.

    The softmax is computed in float32, and a row that sees nothing stays finite. Cached positions are read where they
    lie and never copied.
    """
    turned = query.transpose(HEADS_FIRST) * query.shape[-1] ** -0.5
    shape = turned.shape
    query, mask = grouped(turned, mask, key.shape[2])
    parts = [past, (key.transpose(HEADS_FIRST), value.transpose(HEADS_FIRST))]
    scores = [jnp.einsum("BNTH,BNSH->BNTS", query, k, preferred_element_type=jnp.float32) for k, _ in parts]
    scores = jnp.where(mask[:, None], jnp.concatenate(scores, axis=-1), MASKED)
    weights = jnp.exp(scores - scores.max(axis=-1, keepdims=True))
    total = weights.sum(axis=-1, keepdims=True)
    split = jnp.split(weights.astype(value.dtype), [past[0].shape[2]], axis=-1)
    old, new = (
        jnp.einsum("BNTS,BNSH->BNTH", part, v, preferred_element_type=jnp.float32)
        for part, (_, v) in zip(split, parts, strict=True)
    )
    return ((old + new) / total).astype(value.dtype).reshape(shape).transpose(HEADS_FIRST)


@jax.custom_vjp
def attend_once(
    query: Float[Array, "B N T H"],
    key: Float[Array, "B N S H"],
    value: Float[Array, "B N S H"],
    mask: Bool[Array, "B T S"],
) -> Float[Array, "B N T H"]:
    """Softmax attention of a block of scaled queries; the gradient computes the weights again from their sums.

    Kept for it are one number per query and the output, not the weights (Dao et al. 2022, without their kernel). The
    softmax is computed in float32, and a row that sees nothing stays finite and has no gradient.
    """
    return _forward(query, key, value, mask)[0]


def _forward(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array) -> tuple[jax.Array, tuple]:
    scores = jnp.einsum("BNTH,BNSH->BNTS", query, key, preferred_element_type=jnp.float32)
    scores = jnp.where(mask[:, None], scores, MASKED)
    highest = scores.max(axis=-1, keepdims=True)
    weights = jnp.exp(scores - highest)
    total = weights.sum(axis=-1, keepdims=True)
    out = jnp.einsum("BNTS,BNSH->BNTH", weights.astype(value.dtype), value, preferred_element_type=jnp.float32)
    out = (out / total).astype(value.dtype)
    return out, (query, key, value, mask, out, (highest + jnp.log(total))[..., 0])


def _backward(kept: tuple, gradient: Float[Array, "B N T H"]) -> tuple[jax.Array, jax.Array, jax.Array, None]:
    """Scores lie keys first, [S, T]: then two of the last three products need no turning on a CPU, not one."""
    query, key, value, mask, out, log_sum = kept
    scores = jnp.einsum("BNSH,BNTH->BNST", key, query, preferred_element_type=jnp.float32)
    weights = jnp.where(mask.swapaxes(1, 2)[:, None], jnp.exp(scores - log_sum[:, :, None]), 0)
    inward = jnp.einsum("BNSH,BNTH->BNST", value, gradient, preferred_element_type=jnp.float32)
    shared = (gradient.astype(jnp.float32) * out.astype(jnp.float32)).sum(axis=-1)
    of_scores = (weights * (inward - shared[:, :, None])).astype(query.dtype)
    of_query = jnp.einsum("BNSH,BNST->BNHT", key, of_scores).swapaxes(2, 3)
    of_key = jnp.einsum("BNST,BNTH->BNSH", of_scores, query)
    of_value = jnp.einsum("BNST,BNTH->BNSH", weights.astype(query.dtype), gradient)
    return of_query, of_key, of_value, None


attend_once.defvjp(_forward, _backward)


def attend_fused(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B T K H"],
    value: Float[Array, "B T K H"],
    where: Marks,
    context: Int[Array, "B T"],
    window: int | Int[Array, ""],
    implementation: Literal["cudnn", "xla"] = "cudnn",
) -> Float[Array, "B T N H"]:
    """`attend_in_blocks` by cuDNN's kernel, which never writes scores to the memory of a GPU.

    It is told the whole mask, and besides that it is causal, so that it leaves out what lies above the diagonal.
    Padding, of which nothing is asked, has other values. "xla" is the same call without the kernel, for tests.
    """
    mask = attention_mask(where, context, where, window)[:, None]
    return jax.nn.dot_product_attention(query, key, value, mask=mask, is_causal=True, implementation=implementation)


def attend_in_blocks(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B T K H"],
    value: Float[Array, "B T K H"],
    where: Marks,
    context: Int[Array, "B T"],
    window: int | Int[Array, ""],
    block: int,
) -> Float[Array, "B T N H"]:
    """Attention of a whole row, `block` queries at a time, each over the keys up to its own end.

    N heads of queries share K heads of keys and values.

    Half of the products of a long row are never computed, and neither the mask nor the weights of the row ever exist
    whole, forwards or backwards.
    """
    T = query.shape[1]
    query = query.transpose(HEADS_FIRST) * query.shape[-1] ** -0.5
    key, value = key.transpose(HEADS_FIRST), value.transpose(HEADS_FIRST)
    out = []
    for start in range(0, T, block):
        stop = min(start + block, T)
        queries, keys = (Marks(*(mark[:, cut] for mark in where)) for cut in (slice(start, stop), slice(stop)))
        mask = attention_mask(queries, context[:, start:stop], keys, window)
        part = query[:, :, start:stop]
        own, mask = grouped(part, mask, key.shape[1])
        out.append(attend_once(own, key[:, :, :stop], value[:, :, :stop], mask).reshape(part.shape))
    return jnp.concatenate(out, axis=2).transpose(HEADS_FIRST)
