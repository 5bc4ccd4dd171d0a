"""An update compiled ahead of time on the devices of this process: what the compiler says, with nothing allocated.

The devices may be parts of the CPU, as many as the mesh asks for. Then the figures are those of the CPU's compiler,
which fuses and schedules otherwise than an accelerator's and computes bfloat16 in float32.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax

from generalist.agent.batch import abstract_batch
from generalist.agent.config import InputSizes
from generalist.agent.sharding import batch_sharding, make_mesh, use_mesh
from generalist.tokenizers.sequence import Capacity
from generalist.train.config import TrainConfig
from generalist.train.step import abstract_state, jit_update, loss_config


@dataclass(frozen=True, kw_only=True)
class CompiledMemory:
    """Bytes on one device, as the compiler gives them.

    Args:
        arguments: parameters, optimizer and batch.
        temporary: everything that lives during the update alone, gradients included.
    """

    arguments: int
    temporary: int

    @property
    def total(self) -> int:
        return self.arguments + self.temporary


def compile_update(
    config: TrainConfig, sizes: InputSizes, capacity: Capacity, mesh: tuple[int, int, int]
) -> jax.stages.Compiled:
    """The update on a (data, fsdp, tensor) mesh of this process's devices.

    Raises:
        ValueError: there are fewer devices, or a size does not divide over them.
    """
    made = make_mesh(*mesh)
    graphdef, state = abstract_state(config, sizes, made)
    rows = batch_sharding(made)
    batch = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=rows),
        abstract_batch(capacity, config.batch_size),
    )
    with use_mesh(made):
        return jit_update(config, graphdef, state, loss_config(config, capacity)).lower(state, batch).compile()


def computed_in(config: TrainConfig) -> TrainConfig:
    """The config as the compiler here computes it: on a CPU, bfloat16 in float32."""
    if jax.default_backend() != "cpu":
        return config
    return replace(config, agent=replace(config.agent, dtype="float32"))


def compiled_memory(compiled: jax.stages.Compiled) -> CompiledMemory:
    """What one device needs; outputs take the place of the arguments that are donated."""
    found: Any = compiled.memory_analysis()
    return CompiledMemory(
        arguments=found.argument_size_in_bytes,
        temporary=found.temp_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes,
    )
