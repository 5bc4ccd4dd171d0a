"""What was said last before an image: the mean embedding of the latest text of its segment."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from generalist.agent.batch import TokenBatch
from generalist.tokenizers.sequence import Kind


def said_before(
    batch: TokenBatch, tokens: Float[Array, "B T D"], at: Int[Array, "B M"], earlier: Float[Array, "B D"]
) -> Float[Array, "B M D"]:
    """Mean embedding of the text that the latest timestep with a text shows, up to each of the positions `at`.

    Args:
        tokens: the embedding of every token.
        at: T or more for unused rows, of which any result will do.
        earlier: what was said before this batch, where nothing is said in it.
    """
    place = jnp.arange(batch.ids.shape[1])
    at = jnp.minimum(at, len(place) - 1)
    own = jnp.take_along_axis(batch.segment, at, axis=1)
    heard = (batch.kind == Kind.TEXT)[:, None] & (batch.segment[:, None] == own[..., None])
    heard = heard & (place[None, None] <= at[..., None])
    latest = jnp.where(heard, batch.timestep[:, None], -1).max(axis=-1, keepdims=True)
    chosen = heard & (batch.timestep[:, None] == latest)
    count = chosen.sum(axis=-1, keepdims=True)
    mean = jnp.einsum("BMT,BTD->BMD", chosen / jnp.maximum(count, 1), tokens)
    return jnp.where(count > 0, mean, earlier[:, None]).astype(tokens.dtype)


def said_last(batch: TokenBatch, tokens: Float[Array, "B T D"], earlier: Float[Array, "B D"]) -> Float[Array, "B D"]:
    """The same at the last position of each row that is no padding."""
    place = jnp.arange(batch.ids.shape[1])
    last = jnp.where(batch.segment > 0, place[None], 0).max(axis=1, keepdims=True)
    return said_before(batch, tokens, last, earlier)[:, 0]
