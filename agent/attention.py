"""Who may attend to whom, and rotary positions.

The same mask function serves training (all positions at once) and acting (new positions against the cache), so both
see exactly the same thing.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from generalist.tokenizers.sequence import TokenBatch


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
    not `visible` (a hidden past action) is seen from its own timestep only. Padding (segment 0) sees only itself, so
    that no row of the softmax is empty.
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
) -> Float[Array, "B T N H"]:
    """Softmax attention; the softmax is computed in float32 and a fully masked row stays finite."""
    return jax.nn.dot_product_attention(query, key, value, mask=mask[:, None])
