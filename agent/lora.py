"""Low-rank adaptation (LoRA, Hu et al. 2021): the trunk's matrices stay; a product of two thin ones is added to each.

`generalist.agent.config.TRUNK` names the matrices; `generalist.train.trainable` says which parameters are then trained.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from generalist.agent.config import TRUNK


class Projection(nnx.Einsum):
    """A matrix product, to which one of low rank may be added; its kernel has the same name with and without."""

    def __init__(self, equation: str, shape: tuple[int, ...], bias: tuple[int, ...] | None = None, **settings: Any):
        super().__init__(equation, shape, bias, **settings)
        self.lora: LowRank | None = nnx.data(None)

    def __call__(self, x: Float[Array, "M I"]) -> Float[Array, "M O"]:  # pyright: ignore[reportIncompatibleMethodOverride]
        out = super().__call__(x)
        return out if self.lora is None else out + self.lora(x.astype(out.dtype))


class LowRank(nnx.Module):
    """`(alpha / rank) (x A) B` (Hu et al. 2021, sec. 4.1): A [I, r] is random and B [r, O] zero, so nothing at birth.

    In a stacked trunk both have a leading axis L, as the kernel has. They are split over a mesh as the kernel's
    dimensions are; the rank is not.
    """

    def __init__(self, kernel: nnx.Param, rank: int, alpha: float, *, rngs: nnx.Rngs):
        *stack, inputs, outputs = kernel.get_value().shape
        *layers, inward, outward = kernel.get_metadata()["out_sharding"]
        a = jax.random.normal(rngs.params(), (*stack, inputs, rank), jnp.float32) * inputs**-0.5
        self.a = nnx.LoRAParam(a, out_sharding=(*layers, inward, None))
        self.b = nnx.LoRAParam(jnp.zeros((*stack, rank, outputs)), out_sharding=(*layers, None, outward))
        self.scale = alpha / rank

    def __call__(self, x: Float[Array, "M I"]) -> Float[Array, "M O"]:
        a, b = self.a[...].astype(x.dtype), self.b[...].astype(x.dtype)
        return (x @ a) @ b * self.scale

    def product(self) -> Float[Array, "*L I O"]:
        """What is added to the kernel."""
        return jnp.matmul(self.a[...], self.b[...], precision="highest") * self.scale  # the same on every device


def projections(network: Any, matrices: Iterable[str]) -> Iterator[Projection]:
    """These matrices of the trunk, in the order of `TRUNK`; of each layer where they are not stacked."""
    wanted, blocks = set(matrices), network.transformer.blocks
    for block in blocks if isinstance(blocks, nnx.List) else [blocks]:
        for module, names in TRUNK.items():
            yield from (getattr(getattr(block, module), name) for name in names if name in wanted)


def add_lora(network: Any, matrices: Iterable[str], rank: int, alpha: float, *, rngs: nnx.Rngs) -> None:
    """Give matrices of a network's trunk their low-rank part; what the network computes does not change by it.

    Raises:
        ValueError: the rank is not below both dimensions of a matrix, which would cost more than the matrix itself.
    """
    for found in projections(network, matrices):
        smaller = min(found.kernel.get_value().shape[-2:])
        if rank >= smaller:
            raise ValueError(
                f"LoRA of rank {rank} on a matrix of {' x '.join(map(str, found.kernel_shape))} is no smaller than the "
                f"matrix: choose a rank below {smaller}, or train everything (trainable.how full)"
            )
        found.lora = LowRank(found.kernel, rank, alpha, rngs=rngs)


def merged(network: Any) -> Any:
    """The same network without LoRA: each product is added to its matrix. `network` itself is not changed.

    It computes the same within float rounding, and as fast as before there was any LoRA.
    """
    copied = nnx.clone(network)
    for found in projections(copied, (name for names in TRUNK.values() for name in names)):
        if found.lora is not None:
            found.kernel[...] = found.kernel[...] + found.lora.product()
            found.lora = None
    return copied
