"""The network of a run as one of its checkpoints has it, on one device."""

from typing import Any

from flax import nnx

from generalist.agent.sharding import make_mesh, use_mesh
from generalist.train.checkpoint import Which
from generalist.train.config import TrainConfig
from generalist.train.run import Run
from generalist.train.sources import input_sizes
from generalist.train.trainable import make_network


def abstract_network(config: TrainConfig, layouts: Any) -> tuple[nnx.GraphDef, Any]:
    """Structure and abstract state of the network that a run of these layouts has; nothing is allocated."""
    sizes = input_sizes(config, list(layouts.values()))
    with use_mesh(make_mesh(1)):
        return nnx.split(nnx.as_abstract(nnx.eval_shape(lambda: make_network(config, sizes, rngs=nnx.Rngs(0)))))


def trained_network(run: Run, step: Which = None) -> tuple[nnx.GraphDef, Any, int]:
    """Structure and parameters of a run's network, layers stacked, and the update whose checkpoint they are from.

    Args:
        step: the checkpoint of this update, or "best"; the newest by default.

    Raises:
        CheckpointError: there is no such checkpoint, or it is damaged.
    """
    with run.blamed():
        graphdef, state = abstract_network(run.config, run.layouts)
    with use_mesh(make_mesh(1)), run.open_weights() as checkpoints:
        chosen = checkpoints.chosen(step)
        return graphdef, checkpoints.restore_agent(chosen, state), chosen
