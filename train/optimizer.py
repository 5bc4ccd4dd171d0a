"""The paper's AdamW and learning-rate schedule, through optax."""

from typing import Any

import jax
import optax

from generalist.train.config import OptimizerConfig

UNDECAYED = {"scale", "bias", "rows"}


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
    """AdamW; weight decay acts on kernels only.

    Not on norm scales and biases, also where those of all layers are stacked into one matrix, and not on the rows of a
    table: a row that no batch shows, as of a task that is not trained now, would shrink all the same.
    """

    def decayed(parameters: Any) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: leaf.ndim > 1 and not UNDECAYED & {getattr(key, "key", None) for key in path}, parameters
        )

    adamw = optax.adamw(
        schedule(config, steps),
        b1=config.b1,
        b2=config.b2,
        eps=config.eps,
        weight_decay=config.weight_decay,
        mask=decayed,
    )
    return optax.chain(optax.clip_by_global_norm(config.clip), adamw) if config.clip else adamw
