"""What every position of a sequence attends to, for people to look at; training and acting never keep it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from generalist.agent.attention import MASKED, attention_mask, marks
from generalist.agent.network import Network
from generalist.tokenizers.sequence import TokenBatch


def attention_weights(network: Network, batch: TokenBatch) -> Float[Array, "L B N T T"]:
    """Of each layer and head, how much each position (of the first T) attends to each (of the second), in float32.

    The weights of a position sum to 1; those of padding are 0, as are those of what may not be seen.
    """
    where, kept = marks(batch), []
    mask = attention_mask(where, batch.context, where, network.config.window)[:, None]

    def attend(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
        scaled = query * query.shape[-1] ** -0.5
        scores = jnp.einsum("BTNH,BSNH->BNTS", scaled, key, preferred_element_type=jnp.float32)
        weights = jnp.where(mask, jax.nn.softmax(jnp.where(mask, scores, MASKED), axis=-1), 0)
        kept.append(weights)
        return jnp.einsum("BNTS,BSNH->BTNH", weights.astype(value.dtype), value)

    x = network.embed(batch)
    for block in network.transformer.layers():
        x, _ = block(x, batch.position, attend)
    return jnp.stack(kept)
