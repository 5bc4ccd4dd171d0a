"""Which trained task a new one is nearest to: the one whose embedding explains its demonstrations best, untrained."""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from generalist.agent.batch import TokenBatch
from generalist.agent.loss import held_out_metrics
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.train.config import TrainConfig
from generalist.train.data import TaskSource, packed_rows
from generalist.train.foundation import Weights, with_weights
from generalist.train.packing import to_batch
from generalist.train.run import read_run
from generalist.train.sources import input_sizes, open_mixture
from generalist.train.step import create_state, loss_config


def nearest_tasks(config: TrainConfig, data: Path, weights: Weights) -> dict[str, str]:
    """By the id of each task that the foundation does not know, the trained task that it is nearest to.

    Nearest has the lowest loss on one batch of the new task's demonstrations (as many rows as an update has), with its
    embedding in the new one's place and nothing trained yet.

    Raises:
        CheckpointError, FileNotFoundError, ValueError: as training would.
    """
    known = read_run(weights.run)
    mixture = open_mixture(config, data, known.layouts)
    new = [each for each in mixture.sources if isinstance(each, TaskSource) and each.name not in known.layouts]
    if not new or not config.agent.source_embedding:
        return {}
    mesh = make_mesh(1)
    sizes = input_sizes(config, list(mixture.layouts.values()))
    graphdef, state = create_state(config, sizes, mesh)
    with use_mesh(mesh):
        state, _ = with_weights(state, config, sizes, weights)
        graph, parameters = nnx.split(nnx.merge(graphdef, state)[0])
        trained = [config.names.index(task) for task in known.layouts if task in config.names]
        names = [config.names[index] for index in trained]
        loss = loss_config(config, mixture.capacity)

        @jax.jit
        def loss_as(parameters: nnx.State, batch: TokenBatch, new: int, other: int) -> jax.Array:
            agent = nnx.merge(graph, parameters)
            rows = agent.source.rows[...]
            agent.source.rows[...] = rows.at[new].set(rows[other])
            found = held_out_metrics(agent, batch, config.vocabulary, loss)
            return found["loss"].sum() / found["targets"].sum()

        nearest = {}
        for source in new:
            made = packed_rows([source], [1.0], mixture.capacity, rows=config.batch_size)
            batch = to_batch([next(made)], mixture.capacity)
            losses = [float(loss_as(parameters, batch, source.index, other)) for other in trained]
            nearest[source.name] = _least(names, losses)
    return nearest


def _least(names: Sequence[str], losses: Sequence[float]) -> str:
    return names[int(np.argmin(losses))]
