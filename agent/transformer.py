"""The trunk: pre-norm blocks of rotary attention and gated GELU feed-forward, stacked and scanned.

Gato is a pre-norm decoder with a GEGLU feed-forward (Reed et al. 2022, sec. 2.2 and app. C.1). Its published sizes fit
relative attention of the Transformer-XL kind; here positions are rotary, which saves that projection. What public
language models have otherwise is `generalist.agent.trunk_config.TrunkConfig`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from generalist.agent.attention import CachedKeyValue, KeyValue, attend
from generalist.agent.config import AgentConfig
from generalist.agent.embed import merge
from generalist.agent.lora import Projection
from generalist.agent.rotary import layer_rates, rotate
from generalist.agent.sharding import constrain

Window = int | Int[Array, ""]
Attend = Callable[[jax.Array, jax.Array, jax.Array, Window], jax.Array]
"""`(query [B, T, N, H], key [B, T, K, H], value, window) -> out [B, T, N, H]`: knows who may see whom, and what is
cached; the window is how many tokens this layer looks back."""

ACTIVATIONS = {"gelu_tanh": nnx.gelu, "gelu": partial(nnx.gelu, approximate=False), "silu": nnx.silu}


KEPT = {"input": None, "products": jax.checkpoint_policies.dots_with_no_batch_dims_saveable}
"""By `AgentConfig.remat_keeps`. Products of a block's matrices have no batch dimension, those of attention have."""


class Kind(NamedTuple):
    """What tells a layer from others: how many tokens it looks back, and its rotations (None: Gato's)."""

    window: Window
    rates: Any


class RMSNorm(nnx.Module):
    """`x / sqrt(mean(x^2) + eps) * (offset + scale)` over the last axis, in float32 (Zhang & Sennrich 2019)."""

    def __init__(self, size: int, offset: float, eps: float, dtype: Any):
        self.offset, self.eps, self.dtype = offset, eps, dtype
        self.scale = nnx.Param(jnp.full((size,), 1.0 - offset), out_sharding=(None,))

    def __call__(self, x: Float[Array, "*shape F"]) -> Float[Array, "*shape F"]:
        wide = x.astype(jnp.float32)
        wide = wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + self.eps)
        scale = (self.offset + self.scale[...]).reshape((1,) * (x.ndim - 1) + (-1,))
        return (wide * scale).astype(self.dtype)


def norm(config: AgentConfig, rngs: nnx.Rngs, size: int = 0) -> nnx.LayerNorm | RMSNorm:
    """Of the residual stream, or of another size."""
    trunk = config.trunk
    if trunk.norm == "rms":
        return RMSNorm(size or config.width, trunk.norm_offset, trunk.norm_eps, jnp.dtype(config.dtype))
    return nnx.LayerNorm(
        size or config.width,
        epsilon=trunk.norm_eps,
        use_bias=trunk.norm_bias,
        dtype=jnp.dtype(config.dtype),
        scale_metadata={"out_sharding": (None,)},
        bias_metadata={"out_sharding": (None,)},
        rngs=rngs,
    )


def projection(
    equation: str,
    shape: tuple[int, ...],
    axes: tuple,
    fan_in: int,
    config: AgentConfig,
    rngs: nnx.Rngs,
    scale: float = 1.0,
    bias: bool = False,
) -> Projection:
    return Projection(
        equation,
        shape,
        (shape[-1],) if bias else None,
        kernel_init=nnx.initializers.normal(scale / fan_in**0.5),
        kernel_metadata={"out_sharding": axes},
        bias_metadata={"out_sharding": axes[-1:]},
        dtype=jnp.dtype(config.dtype),
        rngs=rngs,
    )


class Attention(nnx.Module):
    """Multi-head self-attention; heads of queries may share heads of keys and values."""

    def __init__(self, config: AgentConfig, *, rngs: nnx.Rngs):
        D, N, H, trunk = config.width, config.heads, config.head_size, config.trunk
        K = config.key_heads
        self.heads, self.scale = (N, K, H), trunk.attention_scale
        # Heads and head size as one axis A: a product that sums over both copies its matrix first, on a CPU.
        inward = (("embed", "heads"), D, config, rngs)
        self.query = projection("MD,DA->MA", (D, N * H), *inward, bias=trunk.attention_bias)
        self.key = projection("MD,DA->MA", (D, K * H), *inward, bias=trunk.attention_bias)
        self.value = projection("MD,DA->MA", (D, K * H), *inward, bias=trunk.attention_bias)
        outward = (2 * config.layers) ** -0.5
        self.out = projection(
            "MA,AD->MD", (N * H, D), ("heads", "embed"), N * H, config, rngs, outward, bias=trunk.out_bias
        )
        self.query_norm = norm(config, rngs, H) if trunk.query_key_norm else None
        self.key_norm = norm(config, rngs, H) if trunk.query_key_norm else None

    def __call__(
        self, x: Float[Array, "B T D"], position: Int[Array, "B T"], attend: Attend, kind: Kind
    ) -> tuple[Float[Array, "B T D"], KeyValue]:
        """Output, and the keys and values of these positions."""
        (B, T, _), (N, K, H) = x.shape, self.heads
        flat = merge(x)
        query = self.query(flat).reshape(B, T, N, H)
        key, value = (part(flat).reshape(B, T, K, H) for part in (self.key, self.value))
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        query, key = rotate(query, position, kind.rates), rotate(key, position, kind.rates)
        if self.scale:
            query = query * (self.scale * H**0.5)
        query = constrain(query, "batch", None, "heads", None)
        out = self.out(attend(query, key, value, kind.window).reshape(B * T, -1))
        return out.reshape(x.shape), (key, value)


class FeedForward(nnx.Module):
    """Gated GELU (Shazeer 2020), or as `config.trunk` says; `config.feedforward` is the width before the split."""

    def __init__(self, config: AgentConfig, *, rngs: nnx.Rngs):
        D, F, bias = config.width, config.feedforward // 2, config.trunk.feedforward_bias
        self.act = config.trunk.activation
        self.gate = (
            projection("MD,DF->MF", (D, F), ("embed", "feedforward"), D, config, rngs, bias=bias)
            if config.trunk.gated
            else None
        )
        self.up = projection("MD,DF->MF", (D, F), ("embed", "feedforward"), D, config, rngs, bias=bias)
        outward = (2 * config.layers) ** -0.5
        self.down = projection("MF,FD->MD", (F, D), ("feedforward", "embed"), F, config, rngs, outward, bias=bias)

    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        flat, activation = merge(x), ACTIVATIONS[self.act]
        up = self.up(flat)
        hidden = activation(up) if self.gate is None else activation(self.gate(flat)) * up
        return self.down(constrain(hidden, "batch", "feedforward")).reshape(x.shape)


class Block(nnx.Module):
    def __init__(self, config: AgentConfig, *, rngs: nnx.Rngs):
        self.parallel = config.trunk.parallel
        self.attention_norm = norm(config, rngs)
        self.attention = Attention(config, rngs=rngs)
        self.feedforward_norm = norm(config, rngs)
        self.feedforward = FeedForward(config, rngs=rngs)
        after = config.trunk.post_norms
        self.attention_post_norm = norm(config, rngs) if after else None
        self.feedforward_post_norm = norm(config, rngs) if after else None

    def __call__(
        self, x: Float[Array, "B T D"], position: Int[Array, "B T"], attend: Attend, kind: Kind
    ) -> tuple[Float[Array, "B T D"], KeyValue]:
        with jax.named_scope("attention"):
            out, new = self.attention(self.attention_norm(x), position, attend, kind)
            out = out if self.attention_post_norm is None else self.attention_post_norm(out)
        read, x = x, x + out
        with jax.named_scope("feedforward"):
            out = self.feedforward(self.feedforward_norm(read if self.parallel else x))
            x = x + (out if self.feedforward_post_norm is None else self.feedforward_post_norm(out))
        return constrain(x, "batch", None, None), new


class Transformer(nnx.Module):
    """`config.layers` blocks whose parameters are stacked along a leading axis L, and a final norm."""

    def __init__(self, config: AgentConfig, *, rngs: nnx.Rngs):
        self.config = config

        @nnx.vmap(transform_metadata={nnx.PARTITION_NAME: "layers"})
        def stacked(rngs: nnx.Rngs) -> Block:
            return Block(config, rngs=rngs)

        self.blocks: Block | nnx.List[Block] = stacked(rngs.split(config.layers))
        self.norm = norm(config, rngs)

    def __call__(self, x: Float[Array, "B T D"], position: Int[Array, "B T"], attend: Attend) -> Float[Array, "B T D"]:
        """All positions at once, for training."""

        kinds, unroll = self.kinds(), self.config.unroll

        def layer(block: Any, x: jax.Array, kind: Any = kinds[0]) -> jax.Array:
            return block(x, position, attend, kind)[0]

        keeps = KEPT[self.config.remat_keeps]
        step = jax.checkpoint(layer, policy=keeps) if self.config.remat else layer
        if not self.config.trunk.global_every:
            x, _ = jax.lax.scan(lambda x, block: (step(block, x), None), x, self.blocks, unroll=unroll)
        else:
            stacked = jax.tree.map(lambda *each: jnp.stack([jnp.asarray(one) for one in each]), *kinds)
            given = (self.blocks, stacked)
            x, _ = jax.lax.scan(lambda x, own: (step(own[0], x, own[1]), None), x, given, unroll=unroll)
        return self.norm(x)

    def kinds(self) -> list[Kind]:
        """Of each layer."""
        config, trunk = self.config, self.config.trunk
        both = {
            local: Kind(
                min(config.window, trunk.local_window) if local else config.window,
                layer_rates(trunk, config.head_size, local=local),
            )
            for local in (False, True)
        }
        return [both[trunk.is_local(layer)] for layer in range(config.layers)]

    def extend(
        self,
        x: Float[Array, "B C D"],
        position: Int[Array, "B C"],
        mask: Callable[[int], Bool[Array, "B C S"]],
        past: Sequence[CachedKeyValue],
    ) -> tuple[Float[Array, "B C D"], list[KeyValue]]:
        """New positions on top of what each layer has cached; returns each layer's keys and values of them.

        Layers are unrolled: a scan would copy the parameters of each layer before it reads them, which for one token is
        most of the work. Call it on an `unstacked` network, else the copies are made here.

        Args:
            mask: who may see whom, by how many tokens a layer looks back.
        """
        new = []
        for block, cached, kind in zip(self.layers(), past, self.kinds(), strict=True):

            def look(query: Any, key: Any, value: Any, window: Any, cached: Any = cached) -> jax.Array:
                return attend(query, key, value, mask(window), cached)

            x, made = block(x, position, look, kind)
            new.append(made)
        return self.norm(x), new

    def layers(self, *, consume: bool = False) -> Sequence[Block]:
        """Its blocks one by one.

        Args:
            consume: each stacked array is deleted once it was taken apart, so that no two copies of all are in memory.
        """
        if not isinstance(self.blocks, Block):
            return self.blocks
        graphdef, state = nnx.split(self.blocks)
        stacked, structure = jax.tree.flatten(state)
        apart = []
        for leaf in stacked:
            apart.append([leaf[index] for index in range(self.config.layers)])
            if consume:
                jax.block_until_ready(apart[-1])
                leaf.delete()
        return [nnx.merge(graphdef, jax.tree.unflatten(structure, part)) for part in zip(*apart, strict=True)]
