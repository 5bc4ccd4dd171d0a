"""Key/value cache of fixed window, one ring of `window` tokens per environment.

New positions attend to the cached ones and to each other under the mask that training uses; then they take the place of
the oldest. Past the window, layer n of a cached key has itself seen tokens that are gone by now (Transformer-XL memory,
sec. 2.6), exactly as in a full forward pass over the whole episode with attention limited to `window` tokens. Positions
count on without bound: rotary attention sees only differences.
"""

from dataclasses import replace
from functools import cache as cache_of

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int

from generalist.agent.attention import Marks, attention_mask, marks
from generalist.agent.config import AgentConfig
from generalist.agent.network import Network
from generalist.agent.said import said_last
from generalist.tokenizers.sequence import TokenBatch


@struct.dataclass
class Cache:
    """Keys and values [B, N, W, H] of each layer, the marks [B, W] of the cached positions, and what was said last.

    Segment 0 is an empty place. `said` [B, D] is what images are read by (`AgentConfig.image_text`), else [B, 0].
    """

    keys: tuple[jax.Array, ...]
    values: tuple[jax.Array, ...]
    marks: Marks
    said: jax.Array


def empty_cache(config: AgentConfig, rows: int, window: int | None = None) -> Cache:
    """A cache of `rows` environments with nothing in it; `window` tokens, `config.window` by default."""
    window = window or config.window
    shape, dtype = (rows, config.key_heads, window, config.head_size), jnp.dtype(config.dtype)
    # An array each: the cache is donated, and one buffer cannot be donated twice.
    segment, position, timestep = (jnp.zeros((rows, window), jnp.int32) for _ in range(3))
    empty = Marks(segment, position, timestep, visible=jnp.zeros((rows, window), bool))
    keys, values = (tuple(jnp.zeros(shape, dtype) for _ in range(config.layers)) for _ in range(2))
    return Cache(keys, values, empty, said=jnp.zeros((rows, config.width if config.image_text else 0), dtype))


def clear(cache: Cache, rows: Int[Array, " B"]) -> Cache:
    """Forget everything of the environments where `rows` is True."""
    segment = jnp.where(rows[:, None], 0, cache.marks.segment)
    said = jnp.where(rows[:, None], 0, cache.said)
    return replace(cache, marks=cache.marks._replace(segment=segment), said=said)


def forget_from(cache: Cache, first: Int[Array, " B"]) -> Cache:
    """Forget the positions from `first` on of each environment."""
    segment = jnp.where(cache.marks.position >= first[:, None], 0, cache.marks.segment)
    return replace(cache, marks=cache.marks._replace(segment=segment))


def extend(network: Network, cache: Cache, batch: TokenBatch) -> tuple[Float[Array, "B C D"], Cache]:
    """Hidden states of C new positions per environment, and the cache with them in it.

    Padding positions (segment 0) may stand anywhere in `batch`; they are not cached. C must not exceed the window.
    """
    window = cache.marks.segment.shape[1]
    if batch.ids.shape[1] > window:
        raise ValueError(f"{batch.ids.shape[1]} new tokens do not fit a cache of {window}; make the window larger")
    new = marks(batch)
    both = jax.tree.map(lambda old, fresh: jnp.concatenate([old, fresh], axis=1), cache.marks, new)

    @cache_of
    def mask(back: int) -> jax.Array:
        return attention_mask(new, batch.context, both, min(window, back))

    past = list(zip(cache.keys, cache.values, strict=True))
    x = network.embed(batch, said=cache.said)
    hidden, made = network.transformer.extend(x, batch.position, mask, past)
    slot = jnp.where(new.segment > 0, new.position % window, window)
    row = jnp.arange(slot.shape[0])[:, None]

    def write(old: jax.Array, fresh: jax.Array) -> jax.Array:
        return old.at[row, slot].set(fresh, mode="drop")

    def write_heads(old: jax.Array, fresh: jax.Array) -> jax.Array:
        return old.at[row, :, slot].set(fresh, mode="drop")

    return hidden, Cache(
        keys=tuple(write_heads(old, fresh) for old, (fresh, _) in zip(cache.keys, made, strict=True)),
        values=tuple(write_heads(old, fresh) for old, (_, fresh) in zip(cache.values, made, strict=True)),
        marks=jax.tree.map(write, cache.marks, new),
        said=said_last(batch, network.tokens(batch.ids), cache.said) if network.config.image_text else cache.said,
    )
