"""Rotary positions (Su et al. 2021): each pair of features turns with the position, by a rate of its own."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from generalist.agent.trunk_config import RotaryScaling, TrunkConfig


def rotary_rates(size: int, base: float, factor: float = 1.0, scaling: RotaryScaling | None = None) -> np.ndarray:
    """float32[size / 2]: how far each pair of `size` features turns from one position to the next, in radians."""
    half = size // 2
    rates = base ** (-np.arange(half, dtype=np.float32) / np.float32(half)) / np.float32(factor)
    if scaling is None:
        return rates.astype(np.float32)
    turns = scaling.context * rates / (2 * math.pi)
    smooth = np.clip((turns - scaling.low) / (scaling.high - scaling.low), 0, 1)
    return (rates * (smooth + (1 - smooth) / scaling.factor)).astype(np.float32)


def layer_rates(config: TrunkConfig, head_size: int, *, local: bool) -> np.ndarray | None:
    """Those of one kind of layer; empty where positions are not rotary, None where they are Gato's."""
    if config == TrunkConfig():
        return None
    size = 2 * int(head_size * config.rotary_share / 2) if config.positions == "rotary" else 0
    if local:
        return rotary_rates(size, config.local_rotary_base)
    return rotary_rates(size, config.rotary_base, config.rotary_factor, config.rotary_scaling)


def rotate(
    x: Float[Array, "B T N H"], position: Int[Array, "B T"], rates: Float[Array, " R"] | None = None
) -> Float[Array, "B T N H"]:
    """Turn the first 2 R features of every head, feature i with feature R + i; None are those of the whole head.

    Only differences of positions matter, so positions may grow without bound while acting.
    """
    half = x.shape[-1] // 2 if rates is None else rates.shape[0]
    if not half:
        return x
    if rates is None:
        rates = 10_000.0 ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = position[:, :, None, None].astype(jnp.float32) * rates[None, None, None, :]
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    turned, rest = x[..., : 2 * half].astype(jnp.float32), x[..., 2 * half :]
    first, second = turned[..., :half], turned[..., half:]
    turned = jnp.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1).astype(x.dtype)
    return jnp.concatenate([turned, rest], axis=-1) if rest.shape[-1] else turned
