"""Floating-point operations of an update, and what the device can do: the two sides of model-FLOP utilisation."""

import time

import jax
import jax.numpy as jnp

from generalist.agent.config import AgentConfig, InputSizes
from generalist.tokenizers.sequence import Capacity


def trunk_parameters(config: AgentConfig) -> int:
    """Parameters of the matrices of all blocks."""
    return config.layers * config.block_matrices


def update_flops(config: AgentConfig, sizes: InputSizes, capacity: Capacity, rows: int) -> float:
    """Model FLOPs of one forward and backward pass over `rows` rows.

    Counted: trunk matrices, full (not causal) attention, logits at the target positions, and answers and the patch,
    vector and image embedders at their capacity, answers as if all ids had logits. Not counted: norms, softmax,
    optimizer, rematerialisation.
    """
    T, D = capacity.tokens, config.width
    attention = 2 * config.layers * T * T * config.heads * config.head_size
    forward = trunk_parameters(config) * T + attention + capacity.targets * D * sizes.vocabulary
    if sizes.answers:
        forward += capacity.answers * D * (2 * D + sizes.vocabulary)
    if sizes.vector_values:
        source = D * (config.source_embedding + config.vector_gate)
        forward += capacity.vectors * config.vector_hidden * (sizes.vector_values + source + D)
    if sizes.patch_size:
        C, pixels = config.patch_channels, sizes.patch_size**2
        forward += capacity.patches * pixels * (C * sizes.patch_channels + 18 * C * C + C * D)
    if sizes.image_shape[0]:
        height, width, channels = sizes.image_shape
        C, cells = config.image_channels, (height // config.image_patch) * (width // config.image_patch)
        forward += capacity.images * cells * C * (channels * config.image_patch**2 + 9 * C + D)
        forward += capacity.images * 4 * C * D * config.image_text
    return 3.0 * 2.0 * forward * rows


def measured_peak(dtype: str = "float32", size: int = 1024, repeats: int = 5) -> float:
    """FLOP/s of square matrix products on all local devices, the best of a few tries: what can be reached here."""
    size = size if jax.default_backend() == "cpu" else 8 * size
    x = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a: a @ a)
    product(x).block_until_ready()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        product(x).block_until_ready()
        best = min(best, time.perf_counter() - start)
    devices = 1 if jax.default_backend() == "cpu" else jax.device_count()
    return 2.0 * size**3 / best * devices
