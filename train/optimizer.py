"""The paper's AdamW and learning-rate schedule, or Muon, through optax."""

from typing import Any, cast

import jax
import optax
from flax import nnx
from optax.contrib import MuonDimensionNumbers

from generalist.train.config import OptimizerConfig
from generalist.train.muon import by_layers

UNDECAYED = {"scale", "bias", "rows"}
AS_ADAMW = 0.2
"""Root mean square of an update at rate 1, as of AdamW (Liu et al. 2025, sec. 2.2)."""


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
    """AdamW, or Muon for kernels and AdamW for the rest; weight decay acts on kernels only.

    Not on norm scales and biases, also where those of all layers are stacked into one matrix, and not on the rows of a
    table: a row that no batch shows, as of a task that is not trained now, would shrink all the same.
    """
    update = adamw = optax.adamw(
        schedule(config, steps),
        b1=config.b1,
        b2=config.b2,
        eps=config.eps,
        weight_decay=config.weight_decay,
        mask=_decayed,
    )
    if config.method == "muon":
        matrices = optax.chain(
            by_layers(config.eps, _matrices),
            optax.stateless(_as_large_as_adamw),
            optax.add_decayed_weights(config.weight_decay),
            optax.scale_by_learning_rate(schedule(config, steps)),
        )
        update = kernels_apart(matrices, adamw)
    return optax.chain(optax.clip_by_global_norm(config.clip), update) if config.clip else update


def kernels_apart(
    kernels: optax.GradientTransformation, rest: optax.GradientTransformation
) -> optax.GradientTransformation:
    """One transformation for kernels and another for all else.

    As `optax.partition`, whose placeholders for what a part leaves out are no arrays: `nnx.eval_shape` fails on them.
    """

    def split(tree: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        parts: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree, is_leaf=_is_variable):
            parts["kernel" not in _names(path)][_name(path)] = leaf
        return parts

    def init(params: Any) -> tuple[optax.OptState, optax.OptState]:
        ours, others = split(params)
        return kernels.init(ours), rest.init(others)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        (ours, others), (own, other) = split(updates), split(params)
        found, first = kernels.update(ours, state[0], own)
        also, second = rest.update(others, state[1], other)
        both = cast(Any, found) | cast(Any, also)
        joined = jax.tree_util.tree_map_with_path(lambda path, _: both[_name(path)], updates, is_leaf=_is_variable)
        return joined, (first, second)

    return optax.GradientTransformation(init, update)


def _is_variable(leaf: Any) -> bool:
    return isinstance(leaf, nnx.Variable)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _names(path: Any) -> set[str]:
    return {*_name(path).split("/")}


def _decayed(parameters: Any) -> Any:
    def decays(path: Any, leaf: Any) -> bool:
        return leaf.ndim > 1 and not UNDECAYED & _names(path)

    return jax.tree_util.tree_map_with_path(decays, parameters)


def _matrices(kernels: Any) -> Any:
    """Which axes are summed over and which are the output.

    A kernel of three axes is a stack of the layers' matrices, one of four [h, w, I, O] a convolution.
    """
    return jax.tree.map(
        lambda x: MuonDimensionNumbers((0, 1, 2) if x.ndim == 4 else (x.ndim - 2,), (x.ndim - 1,)), kernels
    )


def _as_large_as_adamw(updates: Any, _: Any = None) -> Any:
    def scaled(x: jax.Array) -> jax.Array:
        inputs = x.shape[-2] if x.ndim < 4 else x.size // x.shape[-1]
        return x * AS_ADAMW * max(inputs, x.shape[-1]) ** 0.5

    return jax.tree.map(scaled, updates)
