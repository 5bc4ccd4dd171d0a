"""Splash attention: the fused kernel of TPUs, where causality, segments and a window are the whole mask."""

from collections.abc import Callable
from typing import Any

import jax
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernel
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks
from jaxtyping import Array, Float, Int

from generalist.agent.attention import HEADS_FIRST, LANES
from generalist.agent.sharding import one_device, spec

BLOCK = 512
"""Queries and keys that are in work together, at most."""


def attend_splash(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B T K H"],
    value: Float[Array, "B T K H"],
    segment: Int[Array, "B T"],
    window: int,
    *,
    interpret: bool = False,
) -> Float[Array, "B T N H"]:
    """`attend_in_blocks` by a kernel that never writes scores to the memory of a TPU.

    A position sees those before it in its segment, up to `window - 1` back. Padding, of which nothing is asked, has
    other values. Each device works on its own rows and heads.

    Args:
        interpret: run it without a TPU, slowly, for tests.

    Raises:
        ValueError: a row is no multiple of 128 positions.
    """
    T, H = query.shape[1], query.shape[-1]
    if T % LANES:
        raise ValueError(f"attention splash needs a sequence_length that is a multiple of {LANES}, got {T}")
    seen = masks.CausalMask((T, T)) if window >= T else masks.LocalMask((T, T), (window - 1, 0), 0)
    block = next(size for size in range(BLOCK, 0, -LANES) if T % size == 0)
    sides = ("q", "kv", "kv_compute", "q_dkv", "kv_dkv", "kv_dkv_compute", "q_dq", "kv_dq")
    blocks: dict[str, Any] = {f"block_{side}": block for side in sides}
    sizes = kernel.BlockSizes(**blocks)

    def own(query: jax.Array, key: jax.Array, value: jax.Array, segment: jax.Array) -> Any:
        heads = masks.MultiHeadMask([seen] * query.shape[1])
        attend = kernel.make_splash_mha(heads, head_shards=1, q_seq_shards=1, block_sizes=sizes, interpret=interpret)
        return jax.vmap(lambda q, k, v, s: attend(q, k, v, kernel.SegmentIds(s, s)))(query, key, value, segment)

    run: Callable[..., jax.Array] = own
    turned = [part.transpose(HEADS_FIRST) for part in (query * H**-0.5, key, value)]
    if not one_device():
        lie = spec("batch", "heads")
        run = jax.shard_map(own, in_specs=(lie, lie, lie, spec("batch")), out_specs=lie, check_vma=False)
    return run(*turned, segment).transpose(HEADS_FIRST)
