"""`TokenBatch` as a JAX pytree, and abstract batches for shapes without data."""

from dataclasses import fields

import jax

from generalist.tokenizers.sequence import Capacity, TokenBatch, shapes

jax.tree_util.register_dataclass(TokenBatch, [field.name for field in fields(TokenBatch)], [])


def abstract_batch(capacity: Capacity, rows: int) -> TokenBatch:
    """A batch of `rows` sequences as `jax.ShapeDtypeStruct`s."""
    return TokenBatch(
        **{name: jax.ShapeDtypeStruct((rows, *shape), dtype) for name, (shape, dtype) in shapes(capacity).items()}
    )
