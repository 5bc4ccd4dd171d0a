"""What every position of a sequence attends to, for people to look at; training and acting never keep it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from generalist.agent.attention import MASKED, attention_mask, marks
from generalist.agent.network import Network
from generalist.agent.transformer import Window
from generalist.tokenizers.sequence import TokenBatch


def attention_weights(network: Network, batch: TokenBatch) -> Float[Array, "L B N T T"]:
    """Of each layer and head, how much each position (of the first T) attends to each (of the second), in float32.

    The weights of a position sum to 1; those of padding are 0, as are those of what may not be seen.
    """
    where, kept = marks(batch), []

    def attend(query: jax.Array, key: jax.Array, value: jax.Array, window: Window) -> jax.Array:
        mask = attention_mask(where, batch.context, where, window)[:, None]
        key, value = (jnp.repeat(each, query.shape[2] // each.shape[2], axis=2) for each in (key, value))
        scaled = query * query.shape[-1] ** -0.5
        scores = jnp.einsum("BTNH,BSNH->BNTS", scaled, key, preferred_element_type=jnp.float32)
        weights = jnp.where(mask, jax.nn.softmax(jnp.where(mask, scores, MASKED), axis=-1), 0)
        kept.append(weights)
        return jnp.einsum("BNTS,BSNH->BTNH", weights.astype(value.dtype), value)

    x, trunk = network.embed(batch), network.transformer
    for block, kind in zip(trunk.layers(), trunk.kinds(), strict=True):
        x, _ = block(x, batch.position, attend, kind)
    return jnp.stack(kept)
