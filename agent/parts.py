"""Work on those of many things that are there, a part of them after the other."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from generalist.agent.sharding import constrain, row_shards


def in_parts(function: Callable[[Any], Any], things: Any, used: Bool[Array, "B P"], at_once: int) -> Any:
    """`function(things)` where they are used, a part after the other, and again for the gradient.

    What lies between a part and its result then stays in a processor's cache, which saves more time than computing it
    twice takes, and of its memory all but a part. The used ones of a device's rows are brought together first, and a
    part of which no device uses anything is not computed, but zeros. What else is not used may be anything.

    Args:
        function: of arrays [B', P', ...] to arrays of the same two axes, for any sizes of these.
        things: arrays [B, P, ...], a pytree.
        at_once: so many for each row are in a part.
    """
    B, P = used.shape
    shards = row_shards()

    def of_devices(x: jax.Array) -> jax.Array:
        return constrain(x.reshape(shards, -1, *x.shape[2:]), "batch", *(None,) * (x.ndim - 1))

    def taken(tree: Any, order: jax.Array) -> Any:
        return jax.tree.map(lambda x: jax.vmap(jnp.take, (0, 0, None))(x, order, 0), tree)

    asked = of_devices(used)
    order = jnp.argsort(~asked, axis=1, stable=True)
    together = taken(jax.tree.map(of_devices, things), order)
    found = _scan_parts(function, together, taken(asked, order), B // shards * at_once)
    return jax.tree.map(lambda x: x.reshape(B, P, *x.shape[2:]), taken(found, jnp.argsort(order, axis=1)))


def _scan_parts(function: Callable[[Any], Any], things: Any, used: Bool[Array, "B P"], size: int) -> Any:
    """`in_parts`, with parts of at most `size` things of each row."""
    P = used.shape[1]
    size = min(size, P)
    parts = -(-P // size)

    def split(x: jax.Array) -> jax.Array:
        padded = jnp.pad(x, ((0, 0), (0, parts * size - P), *((0, 0),) * (x.ndim - 2)))
        return padded.reshape(len(x), parts, size, *x.shape[2:]).swapaxes(0, 1)

    def joined(x: jax.Array) -> jax.Array:
        return x.swapaxes(0, 1).reshape(x.shape[1], parts * size, *x.shape[3:])[:, :P]

    pieces = jax.tree.map(split, things)
    shapes = jax.eval_shape(function, jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), pieces))

    def nothing(_: Any) -> Any:
        return jax.tree.map(lambda each: jnp.zeros(each.shape, each.dtype), shapes)

    @jax.checkpoint
    def part(given: Any, asked: jax.Array) -> Any:
        return jax.lax.cond(asked, function, nothing, given)

    asked = split(used).any(axis=(1, 2))
    return jax.tree.map(joined, jax.lax.map(lambda each: part(*each), (pieces, asked)))
