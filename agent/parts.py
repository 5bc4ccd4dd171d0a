"""Work on those of many things that are there, a part of them after the other."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool

from generalist.agent.sharding import one_device, platform, spec

ELSEWHERE = 16
"""An accelerator has no cache that a part could stay in, and is slow to begin one."""


def in_parts(
    function: Callable[[Any, Any], Any], modules: Any, things: Any, used: Bool[Array, "B P"], at_once: int
) -> Any:
    """`function(modules, things)` where they are used, a part after the other, and again for the gradient.

    What lies between a part and its result then stays in a processor's cache, which saves more time than computing it
    twice takes, and of its memory all but a part. Each device works on its own rows: it brings those that are used
    together and leaves out the parts of which none is, whose results are zeros. What else is not used may be anything.
    The devices wait for each other once, where the gradients of the parameters are summed.

    Args:
        function: of modules and arrays [B', P', ...] to arrays of the same two axes, for any sizes of these.
        modules: those whose parameters the function reads, a pytree; it may close over none.
        things: arrays [B, P, ...], a pytree.
        at_once: so many for each row are in a part on a CPU, `ELSEWHERE` times as many on others.
    """
    at_once *= 1 if platform() == "cpu" else ELSEWHERE
    if one_device():
        return _on_a_device(lambda given: function(modules, given), things, used, at_once)
    graphdef, state = nnx.split(modules)

    def of_device(state: Any, things: Any, used: jax.Array) -> Any:
        own = nnx.merge(graphdef, state)
        return _on_a_device(lambda given: function(own, given), things, used, at_once)

    rows = spec("batch")
    # Over all axes of the mesh: were `tensor` left to the compiler, devices would wait for each other inside a part.
    apart = jax.shard_map(of_device, in_specs=(PartitionSpec(), rows, rows), out_specs=rows, check_vma=False)
    return apart(state, things, used)


def _on_a_device(function: Callable[[Any], Any], things: Any, used: Bool[Array, "B P"], at_once: int) -> Any:
    """`in_parts`, of the rows of one device."""
    B, P = used.shape

    def joined(x: jax.Array) -> jax.Array:
        return x.reshape(1, B * P, *x.shape[2:])

    def taken(tree: Any, order: jax.Array) -> Any:
        return jax.tree.map(lambda x: jnp.take(x, order, axis=1), tree)

    order = jnp.argsort(~joined(used)[0], stable=True)
    together = taken(jax.tree.map(joined, things), order)
    found = _scan_parts(function, together, taken(joined(used), order), min(B * at_once, B * P))
    return jax.tree.map(lambda x: x.reshape(B, P, *x.shape[2:]), taken(found, jnp.argsort(order)))


def _scan_parts(function: Callable[[Any], Any], things: Any, used: Bool[Array, "B P"], size: int) -> Any:
    """`in_parts`, with parts of `size` things of each row."""
    P = used.shape[1]
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
