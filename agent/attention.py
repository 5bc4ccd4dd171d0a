"""Who may attend to whom, and rotary positions.

The same mask function serves training (all positions at once) and acting (new positions against the cache), so both
see exactly the same thing.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from generalist.tokenizers.sequence import TokenBatch

KeyValue = tuple[Float[Array, "B T N H"], Float[Array, "B T N H"]]
CachedKeyValue = tuple[Float[Array, "B N W H"], Float[Array, "B N W H"]]
"""Heads first, as products want them: turning a cache around at every token would cost more than reading it."""

MASKED = -1e30
"""Score of a key that may not be seen. Not minus infinity, so that a row that sees nothing has a finite softmax."""


class Marks(NamedTuple):
    """What the mask needs to know of each position, shape [B, T] each; see `TokenSequence`."""

    segment: jax.Array
    position: jax.Array
    timestep: jax.Array
    visible: jax.Array


def marks(batch: TokenBatch) -> Marks:
    return Marks(batch.segment, batch.position, batch.timestep, batch.visible)


def attention_mask(queries: Marks, context: Int[Array, "B T"], keys: Marks, window: int) -> Bool[Array, "B T S"]:
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


def rotate(x: Float[Array, "B T N H"], position: Int[Array, "B T"]) -> Float[Array, "B T N H"]:
    """Rotary position embedding (Su et al. 2021): each pair of features turns with the position.

    Only differences of positions matter, so positions may grow without bound while acting.
    """
    half = x.shape[-1] // 2
    frequency = 10_000.0 ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = position[:, :, None, None].astype(jnp.float32) * frequency[None, None, None, :]
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    first, second = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
    turned = jnp.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1)
    return turned.astype(x.dtype)


def attend(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B S N H"],
    value: Float[Array, "B S N H"],
    mask: Bool[Array, "B T S"],
    past: CachedKeyValue | None = None,
) -> Float[Array, "B T N H"]:
    """Softmax attention; the softmax is computed in float32, and a row that sees nothing stays finite.

    With `past`, S counts the cached positions too, first; they are read where they lie and never copied.
    """
    heads_first = (0, 2, 1, 3)
    query = query.transpose(heads_first) * query.shape[-1] ** -0.5
    parts = [] if past is None else [past]
    parts.append((key.transpose(heads_first), value.transpose(heads_first)))
    scores = [jnp.einsum("BNTH,BNSH->BNTS", query, k, preferred_element_type=jnp.float32) for k, _ in parts]
    scores = jnp.where(mask[:, None], jnp.concatenate(scores, axis=-1) if len(parts) > 1 else scores[0], MASKED)
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
    total = weights.sum(axis=-1, keepdims=True)
    weights = jnp.split(weights.astype(value.dtype), [parts[0][0].shape[2]] if len(parts) > 1 else [], axis=-1)
    products = [
        jnp.einsum("BNTS,BNSH->BNTH", part, v, preferred_element_type=jnp.float32)
        for part, (_, v) in zip(weights, parts, strict=True)
    ]
    return (sum(products[1:], products[0]) / total).astype(value.dtype).transpose(heads_first)


def attend_in_blocks(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B T N H"],
    value: Float[Array, "B T N H"],
    where: Marks,
    context: Int[Array, "B T"],
    window: int,
    block: int,
) -> Float[Array, "B T N H"]:
    """Attention of a whole row, `block` queries at a time, each over the keys up to its own end.

    Half of the products of a long row are never computed, the mask of the row never exists whole, and the backward pass
    computes the weights of a block again instead of keeping them (Dao et al. 2022, without their kernel).
    """
    T = query.shape[1]

    @jax.checkpoint
    def one(query: jax.Array, key: jax.Array, value: jax.Array, queries: Marks, context: jax.Array, keys: Marks):
        return attend(query, key, value, attention_mask(queries, context, keys, window))

    def cut(tree: Any, start: int, stop: int) -> Any:
        return jax.tree.map(lambda leaf: leaf[:, start:stop], tree)

    out = []
    for start in range(0, T, block):
        stop = min(start + block, T)
        seen = cut((key, value, where), 0, stop)
        out.append(one(cut(query, start, stop), *seen[:2], *cut((where, context), start, stop), seen[2]))
    return jnp.concatenate(out, axis=1)
