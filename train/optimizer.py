"""The paper's AdamW and learning-rate schedule, through optax."""

import jax
import optax

from generalist.train.config import OptimizerConfig


def schedule(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """Linear warm-up from `initial_rate`, then cosine decay to `final_fraction` of the highest rate."""
    decay = config.decay_steps or max(1, steps - config.warmup_steps)
    return optax.warmup_cosine_decay_schedule(
        init_value=config.initial_rate,
        peak_value=config.learning_rate,
        warmup_steps=config.warmup_steps,
        decay_steps=config.warmup_steps + decay,
        end_value=config.learning_rate * config.final_fraction,
    )


def optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """AdamW; weight decay acts on matrices only, not on norm scales and biases."""

    def matrices(parameters):
        return jax.tree.map(lambda leaf: leaf.ndim > 1, parameters)

    adamw = optax.adamw(
        schedule(config, steps),
        b1=config.b1,
        b2=config.b2,
        eps=config.eps,
        weight_decay=config.weight_decay,
        mask=matrices,
    )
    return optax.chain(optax.clip_by_global_norm(config.clip), adamw) if config.clip else adamw
