"""The training state, sharded at birth, and the one jitted update."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import AbstractMesh, Mesh, PartitionSpec

from generalist.agent.batch import TokenBatch
from generalist.agent.compilation import on_cpu
from generalist.agent.config import InputSizes
from generalist.agent.loss import LossConfig, loss_and_metrics
from generalist.agent.network import Network, sharded_sizes
from generalist.agent.sharding import check_divides, constrain, place_rows, use_mesh
from generalist.tokenizers.sequence import Capacity
from generalist.train.config import TrainConfig
from generalist.train.optimizer import optimizer as make_optimizer
from generalist.train.streams import rows_here
from generalist.train.trainable import make_network, trained

State = Any
"""`nnx.State` of (network, optimizer): a pytree of arrays."""

MEMORY_FIRST: dict[str, Any] = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
"""For an update that rematerialises: on a CPU, XLA else spends memory to have more to do at the same time."""


def make_create(config: TrainConfig, sizes: InputSizes) -> Callable[[], tuple[Network, nnx.Optimizer]]:
    """A function that initialises agent and optimizer from the run's seed; only what is trained has optimizer state."""

    def create() -> tuple[Network, nnx.Optimizer]:
        network = make_network(config, sizes, rngs=nnx.Rngs(config.seed))
        tx = make_optimizer(config.optimizer, config.steps)
        return network, nnx.Optimizer(network, tx, wrt=trained(config.trainable))

    return create


def loss_config(config: TrainConfig, capacity: Capacity) -> LossConfig:
    """How the targets of a job are scored."""
    return LossConfig(
        targets=capacity.targets,
        label_width=config.label_width,
        chunk=config.loss_chunk,
        source_weights=tuple(source.loss_weight for source in (*config.sources, *config.documents)),
    )


def create_state(config: TrainConfig, sizes: InputSizes, mesh: Mesh) -> tuple[nnx.GraphDef, State]:
    """Agent and optimizer on the mesh, each parameter created where it will live. Raises as `abstract_state`."""
    create = make_create(config, sizes)
    check_divides(sharded_sizes(config.agent, sizes), mesh)
    with use_mesh(mesh):
        graphdef, state = nnx.split(nnx.jit(create)())
    return graphdef, state


def abstract_state(config: TrainConfig, sizes: InputSizes, mesh: Mesh | AbstractMesh) -> tuple[nnx.GraphDef, State]:
    """Shapes and shardings of the state; nothing is allocated.

    Raises:
        ValueError: a sharded dimension does not divide over the mesh.
    """
    check_divides(sharded_sizes(config.agent, sizes), mesh)
    with use_mesh(mesh):
        abstract = nnx.as_abstract(nnx.eval_shape(make_create(config, sizes)))
    return nnx.split(abstract)


def check_batch(config: TrainConfig, mesh: Mesh) -> None:
    """Raises ValueError where the rows of an update, or of one of its parts, do not divide over the mesh."""
    shares = mesh.shape["data"] * mesh.shape["fsdp"] * config.accumulation
    if config.batch_size % shares:
        raise ValueError(
            f"batch_size {config.batch_size} must be a multiple of mesh.data x mesh.fsdp x accumulation = {shares}"
        )


def make_step(
    config: TrainConfig, graphdef: nnx.GraphDef, state: State, loss: LossConfig, mesh: Mesh
) -> Callable[[State, TokenBatch], tuple[State, dict[str, jax.Array]]]:
    """The jitted update `(state, batch) -> (state, metrics)`; the old state is donated.

    `batch` is what this process's `BatchStream` gives. Metrics are sums over the rows of all processes.

    Output shardings are pinned to those of `state`: left free, the compiler changes some, and the second step compiles
    again and keeps two copies of the parameters.

    Raises:
        ValueError: as `check_batch`.
    """
    check_batch(config, mesh)
    jitted = jit_update(config, graphdef, state, loss)
    here = rows_here(mesh, config.batch_size, config.streams)

    def step(state: State, batch: TokenBatch) -> tuple[State, dict[str, jax.Array]]:
        with use_mesh(mesh):
            return jitted(state, place_rows(batch, mesh, config.batch_size, here))

    return step


def jit_update(config: TrainConfig, graphdef: nnx.GraphDef, state: State, loss: LossConfig) -> Callable:
    """The compiled function inside `make_step`; call or lower it with the mesh in use and the batch laid out on it."""
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)

    def update(state: State, batch: TokenBatch) -> tuple[State, dict[str, jax.Array]]:
        network, optimizer = nnx.merge(graphdef, state)
        network_graph, parameters, rest = nnx.split(network, trained(config.trainable), ...)
        key = jax.random.fold_in(jax.random.key(config.seed), optimizer.step[...])

        def loss_function(parameters, part, key):
            merged = nnx.merge(network_graph, parameters, rest)
            return loss_and_metrics(merged, part, key, config.vocabulary, loss)

        gradient = jax.value_and_grad(loss_function, has_aux=True)
        (total, metrics), gradients = accumulate(gradient, parameters, batch, key, config.accumulation)
        gradients = jax.tree.map(lambda leaf: leaf / jnp.maximum(metrics["weight"], 1.0), gradients)
        metrics["objective"] = total / jnp.maximum(metrics["weight"], 1.0)
        metrics["gradient_norm"] = optax.tree.norm(gradients)
        with jax.named_scope("optimizer"):
            optimizer.update(network, gradients)
        return nnx.state((network, optimizer)), metrics

    options = on_cpu(MEMORY_FIRST) if config.agent.remat else None
    return jax.jit(update, donate_argnums=0, out_shardings=(shardings, PartitionSpec()), compiler_options=options)


def accumulate(gradient: Callable, parameters: Any, batch: TokenBatch, key: jax.Array, parts: int):
    """Sums of loss, metrics and gradients over `parts` slices of the batch's rows: equal to one large batch."""
    if parts == 1:
        return gradient(parameters, batch, key)

    def split(leaf: jax.Array) -> jax.Array:
        sliced = leaf.reshape(leaf.shape[0] // parts, parts, *leaf.shape[1:]).swapaxes(0, 1)
        return constrain(sliced, None, "batch", *(None,) * (leaf.ndim - 1))

    slices = jax.tree.map(split, batch)
    keys = jax.random.split(key, parts)
    first = jax.eval_shape(gradient, parameters, jax.tree.map(lambda leaf: leaf[0], slices), key)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), first)

    def add(total, part):
        return jax.tree.map(jnp.add, total, gradient(parameters, *part)), None

    return jax.lax.scan(add, zeros, (slices, keys))[0]
