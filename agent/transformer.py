"""The trunk: pre-norm blocks of rotary attention and gated GELU feed-forward, stacked and scanned.

Gato is a pre-norm decoder with a GEGLU feed-forward (Reed et al. 2022, sec. 2.2 and app. C.1). Its published sizes fit
relative attention of the Transformer-XL kind; here positions are rotary, which saves that projection.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from generalist.agent.attention import CachedKeyValue, KeyValue, attend, rotate
from generalist.agent.config import AgentConfig
from generalist.agent.embed import merge
from generalist.agent.lora import Projection
from generalist.agent.sharding import constrain

Attend = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""`(query, key, value) -> out`, [B, T, N, H] each: knows who may see whom, and what is cached."""


def layer_norm(config: AgentConfig, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(
        config.width,
        use_bias=False,
        dtype=jnp.dtype(config.dtype),
        scale_metadata={"out_sharding": (None,)},
        rngs=rngs,
    )


def projection(
    equation: str, shape: tuple[int, ...], axes: tuple, fan_in: int, config: AgentConfig, rngs: nnx.Rngs, scale=1.0
) -> Projection:
    return Projection(
        equation,
        shape,
        kernel_init=nnx.initializers.normal(scale / fan_in**0.5),
        kernel_metadata={"out_sharding": axes},
        dtype=jnp.dtype(config.dtype),
        rngs=rngs,
    )


class Attention(nnx.Module):
    """Multi-head self-attention with rotary positions."""

    def __init__(self, config: AgentConfig, *, rngs: nnx.Rngs):
        D, N, H = config.width, config.heads, config.head_size
        self.shape = (N, H)
        # Heads and head size as one axis A: a product that sums over both copies its matrix first, on a CPU.
        self.query = projection("MD,DA->MA", (D, N * H), ("embed", "heads"), D, config, rngs)
        self.key = projection("MD,DA->MA", (D, N * H), ("embed", "heads"), D, config, rngs)
        self.value = projection("MD,DA->MA", (D, N * H), ("embed", "heads"), D, config, rngs)
        outward = (2 * config.layers) ** -0.5
        self.out = projection("MA,AD->MD", (N * H, D), ("heads", "embed"), N * H, config, rngs, outward)

    def __call__(
        self, x: Float[Array, "B T D"], position: Int[Array, "B T"], attend: Attend
    ) -> tuple[Float[Array, "B T D"], KeyValue]:
        """Output, and the keys and values of these positions."""
        B, T, _ = x.shape
        flat = merge(x)
        query, key, value = (part(flat).reshape(B, T, *self.shape) for part in (self.query, self.key, self.value))
        query, key = rotate(query, position), rotate(key, position)
        query = constrain(query, "batch", None, "heads", None)
        out = self.out(attend(query, key, value).reshape(B * T, -1))
        return out.reshape(x.shape), (key, value)


class FeedForward(nnx.Module):
    """Gated GELU (Shazeer 2020); `config.feedforward` is the width before the split, as the paper counts it."""

    def __init__(self, config: AgentConfig, *, rngs: nnx.Rngs):
        D, F = config.width, config.feedforward // 2
        self.gate = projection("MD,DF->MF", (D, F), ("embed", "feedforward"), D, config, rngs)
        self.up = projection("MD,DF->MF", (D, F), ("embed", "feedforward"), D, config, rngs)
        outward = (2 * config.layers) ** -0.5
        self.down = projection("MF,FD->MD", (F, D), ("feedforward", "embed"), F, config, rngs, outward)

    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        flat = merge(x)
        hidden = nnx.gelu(self.gate(flat)) * self.up(flat)
        return self.down(constrain(hidden, "batch", "feedforward")).reshape(x.shape)


class Block(nnx.Module):
    def __init__(self, config: AgentConfig, *, rngs: nnx.Rngs):
        self.attention_norm = layer_norm(config, rngs)
        self.attention = Attention(config, rngs=rngs)
        self.feedforward_norm = layer_norm(config, rngs)
        self.feedforward = FeedForward(config, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B T D"], position: Int[Array, "B T"], attend: Attend
    ) -> tuple[Float[Array, "B T D"], KeyValue]:
        with jax.named_scope("attention"):
            out, new = self.attention(self.attention_norm(x), position, attend)
            x = x + out
        with jax.named_scope("feedforward"):
            x = x + self.feedforward(self.feedforward_norm(x))
        return constrain(x, "batch", None, None), new


class Transformer(nnx.Module):
    """`config.layers` blocks whose parameters are stacked along a leading axis L, and a final norm."""

    def __init__(self, config: AgentConfig, *, rngs: nnx.Rngs):
        self.config = config

        @nnx.vmap(transform_metadata={nnx.PARTITION_NAME: "layers"})
        def stacked(rngs: nnx.Rngs) -> Block:
            return Block(config, rngs=rngs)

        self.blocks: Block | nnx.List[Block] = stacked(rngs.split(config.layers))
        self.norm = layer_norm(config, rngs)

    def __call__(self, x: Float[Array, "B T D"], position: Int[Array, "B T"], attend: Attend) -> Float[Array, "B T D"]:
        """All positions at once, for training."""

        def layer(block: Any, x: jax.Array) -> jax.Array:
            return block(x, position, attend)[0]

        step = jax.checkpoint(layer) if self.config.remat else layer
        x, _ = jax.lax.scan(lambda x, block: (step(block, x), None), x, self.blocks, unroll=self.config.unroll)
        return self.norm(x)

    def extend(
        self,
        x: Float[Array, "B C D"],
        position: Int[Array, "B C"],
        mask: Bool[Array, "B C S"],
        past: Sequence[CachedKeyValue],
    ) -> tuple[Float[Array, "B C D"], list[KeyValue]]:
        """New positions on top of what each layer has cached; returns each layer's keys and values of them.

        Layers are unrolled: a scan would copy the parameters of each layer before it reads them, which for one token is
        most of the work. Call it on an `unstacked` network, else the copies are made here.
        """
        new = []
        for block, cached in zip(self.layers(), past, strict=True):
            x, made = block(x, position, partial(attend, mask=mask, past=cached))
            new.append(made)
        return self.norm(x), new

    def layers(self) -> Sequence[Block]:
        """Its blocks one by one."""
        if not isinstance(self.blocks, Block):
            return self.blocks
        graphdef, state = nnx.split(self.blocks)
        parts = (jax.tree.map(lambda leaf, index=index: leaf[index], state) for index in range(self.config.layers))
        return [nnx.merge(graphdef, part) for part in parts]
