"""Training of a visual tokenizer: pictures in, the same pictures out, through the few levels between.

The loss is the squared error of pixels, and what a token stands for counts in proportion to its own error (hard
examples, Shrivastava et al. 2016): of a room, one tile in twenty is a thing, and all else soon comes back. After 300
updates 0.58 of the things came back so with Muon, 0.09 with Adam, and 0.16 with Muon where all counts the same.
Gradients pass the rounding unchanged (straight through).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax.contrib import muon

from generalist.tokenizers.visual import (
    Parameters,
    VisualConfig,
    VisualTokenizer,
    bounded,
    decoded,
    encoded,
    levelled,
    parameter_shapes,
)
from generalist.train.optimizer import AS_ADAMW

HARDEST = 20.0
"""Times the mean: what is worse than that counts no more."""


@dataclass(frozen=True, kw_only=True)
class VisualTraining:
    """How one is trained.

    Args:
        steps: updates; the learning rate falls to 0 over them (cosine).
        batch_size: pictures of one.
        learning_rate: the highest, after a hundredth of the updates.
    """

    steps: int = 1500
    batch_size: int = 64
    learning_rate: float = 1e-2
    seed: int = 0

    def __post_init__(self):
        for name in ("steps", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


def train_visual(
    batches: Iterator[np.ndarray],
    config: VisualConfig,
    training: VisualTraining,
    *,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> VisualTokenizer:
    """Train on pictures.

    Args:
        batches: endless; uint8[batch_size, *shape] each.
        progress: called after each update with its number, from 1, and the mean squared error of pixels in [-1, 1].

    Raises:
        FloatingPointError: the loss is not finite.
        Exception: whatever `batches` raises.
    """
    parameters = initial(config, training.seed)
    warmup = max(1, training.steps // 100)
    schedule = optax.warmup_cosine_decay_schedule(0.0, training.learning_rate, warmup, max(training.steps, warmup + 1))
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), muon(schedule, consistent_rms=AS_ADAMW))
    state = optimizer.init(parameters)
    update = jax.jit(partial(_update, config, optimizer), donate_argnums=(0, 1))
    for step in range(1, training.steps + 1):
        parameters, state, loss = update(parameters, state, jnp.asarray(next(batches)))
        progress(step, float(loss))
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss of update {step} is {float(loss)}: lower the learning rate")
    return VisualTokenizer(config, {name: np.asarray(value) for name, value in parameters.items()})


def initial(config: VisualConfig, seed: int) -> dict[str, jax.Array]:
    """Kernels of variance 1 / inputs, biases 0."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in parameter_shapes(config).items():
        values = rng.normal(size=shape) / np.sqrt(shape[0]) if name.endswith("kernel") else np.zeros(shape)
        found[name] = jnp.asarray(values, jnp.float32)
    return found


def _update(
    config: VisualConfig, optimizer: optax.GradientTransformation, parameters: Any, state: Any, pictures: jax.Array
) -> tuple[Any, Any, jax.Array]:
    x = pictures.astype(jnp.float32) / 127.5 - 1

    def loss(p: Parameters) -> tuple[jax.Array, jax.Array]:
        error = (rebuilt(p, x, config) - x) ** 2
        return weighted(error, config.side), error.mean()

    (_, mean), gradient = jax.value_and_grad(loss, has_aux=True)(parameters)
    changes, state = optimizer.update(gradient, state, parameters)
    return optax.apply_updates(parameters, changes), state, mean


def weighted(error: jax.Array, side: int) -> jax.Array:
    """Errors of pixels [n, h, w, c] -> their mean, where blocks of `side` pixels weigh as much as they err."""
    n, h, w, c = error.shape
    blocks = error.reshape(n, h // side, side, w // side, side, c).mean(axis=(2, 4, 5))
    weights = jax.lax.stop_gradient(jnp.minimum(blocks / jnp.maximum(blocks.mean(), 1e-8), HARDEST))
    return (weights * blocks).mean()


def rebuilt(p: Parameters, x: jax.Array, config: VisualConfig) -> jax.Array:
    """Pictures [n, h, w, c] in [-1, 1] -> as the tokens tell them."""
    smooth = bounded(encoded(p, x, config, jnp), config.levels, jnp)
    whole = smooth + jax.lax.stop_gradient(jnp.rint(smooth) - smooth)
    return decoded(p, levelled(whole, config.levels), config, jnp)
