"""The network of a run as one of its checkpoints has it, on one device."""

from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from generalist.agent.sharding import make_mesh, use_mesh
from generalist.train.checkpoint import Which
from generalist.train.config import TrainConfig
from generalist.train.run import Run
from generalist.train.sources import input_sizes
from generalist.train.trainable import make_network, name_of

Dtype = Literal["float32", "bfloat16"]
MATRICES = ("kernel", "rows")
"""What of a network is kept in few bits: nearly all of it. Norms and biases stay in float32."""


def abstract_network(config: TrainConfig, layouts: Any) -> tuple[nnx.GraphDef, Any]:
    """Structure and abstract state of the network that a run of these layouts has; nothing is allocated."""
    sizes = input_sizes(config, list(layouts.values()))
    with use_mesh(make_mesh(1)):
        return nnx.split(nnx.as_abstract(nnx.eval_shape(lambda: make_network(config, sizes, rngs=nnx.Rngs(0)))))


def computed_in(run: Run, dtype: Dtype) -> Run:
    """The run with a network that computes in this dtype."""
    return replace(run, config=replace(run.config, agent=replace(run.config.agent, dtype=dtype)))


def kept_in(state: Any, dtype: Dtype) -> Any:
    """A network's state with its matrices in this dtype, one after the other; those that are turned are given up."""

    def turned(path: tuple[Any, ...], leaf: nnx.Variable) -> nnx.Variable:
        value = leaf.get_value()
        if name_of(path).split("/")[-1] not in MATRICES or value.dtype == dtype:
            return leaf
        if isinstance(value, jax.ShapeDtypeStruct):
            return leaf.replace(value.update(dtype=jnp.dtype(dtype)))
        new = value.astype(dtype)
        new.block_until_ready()
        value.delete()
        return leaf.replace(new)

    return nnx.from_flat_state([(path, turned(path, leaf)) for path, leaf in nnx.to_flat_state(state)])


def trained_network(run: Run, step: Which = None, dtype: Dtype | None = None) -> tuple[nnx.GraphDef, Any, int]:
    """Structure and parameters of a run's network, layers stacked, and the update whose checkpoint they are from.

    Args:
        step: the checkpoint of this update, or "best"; the newest by default.
        dtype: in which matrices are kept, as they were trained by default. Those of a public model are never in memory
            in another.

    Raises:
        CheckpointError: there is no such checkpoint, or it is damaged.
    """
    with run.blamed():
        graphdef, state = abstract_network(run.config, run.layouts)
    if run.public is not None and dtype is not None:
        state = kept_in(state, dtype)
    with use_mesh(make_mesh(1)), run.open_weights() as checkpoints:
        chosen = checkpoints.chosen(step)
        found = checkpoints.restore_agent(chosen, state)
        return graphdef, found if dtype is None else kept_in(found, dtype), chosen
