"""An update compiled ahead of time: what the compiler says, with nothing allocated.

Either on the devices of this process, which may be parts of the CPU, as many as the mesh asks for: the figures are then
those of the CPU's compiler, which fuses and schedules otherwise than an accelerator's and computes bfloat16 in float32.
Or for accelerators that are not here (`generalist.train.topologies`), by their own compiler.
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import jax

from generalist.agent.batch import abstract_batch
from generalist.agent.config import InputSizes
from generalist.agent.sharding import batch_sharding, make_mesh, use_mesh
from generalist.tokenizers.sequence import Capacity
from generalist.train.collectives import collectives
from generalist.train.config import TrainConfig
from generalist.train.roofline import Roofline, roofline
from generalist.train.step import abstract_state, jit_update, loss_config
from generalist.train.topologies import Chip, Topology, advice, cudnn_is_there


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


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """What a compiler says of an update.

    Args:
        compiler: for what: "cpu", or the name of a topology.
        memory: of one device.
        chip: of the topology; None for this machine.
        exchanged: per kind of collective how often one runs, bytes of all its runs on one device, and of its largest
            array.
        bound: seconds of an update on the chip, at least; None where no chip was named.
        advice: another mesh of as many chips, in words.
    """

    compiler: str
    memory: CompiledMemory
    chip: Chip | None
    exchanged: dict[str, tuple[int, int, int]]
    bound: Roofline | None
    advice: str = ""


def look(
    config: TrainConfig, sizes: InputSizes, capacity: Capacity, mesh: tuple[int, int, int], chips: Topology | None
) -> Compiled:
    """Compile the update and read what became of it. Raises as `compile_update`."""
    found = compile_update(config, sizes, capacity, mesh, chips)
    text = found.as_text() or ""
    exchanged: dict[str, tuple[int, int, int]] = {}
    for each, times in collectives(text).items():
        count, size, largest = exchanged.get(each.kind, (0, 0, 0))
        exchanged[each.kind] = (count + times, size + times * each.size, max(largest, each.largest))
    return Compiled(
        compiler=chips.name if chips else jax.default_backend(),
        memory=compiled_memory(found),
        chip=chips.chip if chips else None,
        exchanged=dict(sorted(exchanged.items())),
        bound=roofline(text, chips.chip) if chips else None,
        advice=advice(chips.chip, mesh, config.agent.width) if chips else "",
    )


def compile_update(
    config: TrainConfig,
    sizes: InputSizes,
    capacity: Capacity,
    mesh: tuple[int, int, int],
    chips: Topology | None = None,
) -> jax.stages.Compiled:
    """The update on a (data, fsdp, tensor) mesh of this process's devices, or of `chips`.

    Raises:
        ValueError: there are fewer devices, or a size does not divide over them, or the program does not fit.
    """
    made = make_mesh(*mesh, devices=None if chips is None else list(chips.devices))
    graphdef, state = abstract_state(config, sizes, made)
    rows = batch_sharding(made)
    batch = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=rows),
        abstract_batch(capacity, config.batch_size),
    )
    with use_mesh(made), cudnn_is_there() if chips else nullcontext():
        lowered = jit_update(config, graphdef, state, loss_config(config, capacity)).lower(state, batch)
        if chips is None:
            return lowered.compile()
        try:
            return lowered.compile(compiler_options=dict(chips.options))
        except jax.errors.JaxRuntimeError as error:
            said = " ".join(f"{error}".split())[:500]
            raise ValueError(f"the compiler for {chips.name} refuses the update: {said}") from error


def computed_in(config: TrainConfig, chips: Topology | None = None) -> TrainConfig:
    """The config as the compiler computes it: on a CPU, bfloat16 in float32."""
    if chips is not None or jax.default_backend() != "cpu":
        return config
    return replace(config, agent=replace(config.agent, dtype="float32"))


def compiled_memory(compiled: jax.stages.Compiled) -> CompiledMemory:
    """What one device needs; outputs take the place of the arguments that are donated."""
    found: Any = compiled.memory_analysis()
    return CompiledMemory(
        arguments=found.argument_size_in_bytes,
        temporary=found.temp_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes,
    )
