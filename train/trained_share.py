"""What a job trains of its network, and what that saves of gradients and optimizer state."""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import jax
from flax import nnx

from generalist.agent.config import InputSizes
from generalist.agent.sharding import abstract_mesh
from generalist.train.config import TrainableConfig, TrainConfig
from generalist.train.footprint import bytes_per_device
from generalist.train.step import State, abstract_state
from generalist.train.trainable import name_of, split_trained


@dataclass(frozen=True, kw_only=True)
class TrainedShare:
    """Numbers of one device, with the same of training everything (`full_`).

    Args:
        how, rank, alpha, matrices: as configured; without LoRA there are no matrices.
        whole: parts of the network that are trained whole.
        parameters: number of those that are trained, over all devices.
        gradients, optimizer: bytes; with accumulation there are two copies of the gradients.
    """

    how: str
    rank: int
    alpha: float
    matrices: tuple[str, ...]
    whole: tuple[str, ...]
    parameters: int
    gradients: int
    optimizer: int
    full_parameters: int
    full_gradients: int
    full_optimizer: int

    @property
    def memory(self) -> int:
        return self.gradients + self.optimizer

    @property
    def full_memory(self) -> int:
        return self.full_gradients + self.full_optimizer

    @property
    def share(self) -> float:
        """Of the gradients and optimizer state of training everything."""
        return self.memory / self.full_memory


def trained_share(config: TrainConfig, sizes: InputSizes, mesh: tuple[int, int, int], state: State) -> TrainedShare:
    """Of a job whose abstract state is `state`, on that mesh."""
    asked, copies = config.trainable, 2 if config.accumulation > 1 else 1
    trained, _ = split_trained(state[0], asked)
    full = state
    if asked.how != "full":
        _, full = abstract_state(replace(config, trainable=TrainableConfig()), sizes, abstract_mesh(*mesh))
    whole = {_part(path): None for path, leaf in nnx.to_flat_state(trained) if not isinstance(leaf, nnx.LoRAParam)}
    return TrainedShare(
        how=asked.how,
        rank=asked.rank,
        alpha=asked.alpha,
        matrices=asked.matrices,
        whole=tuple(whole),
        parameters=_count(trained),
        gradients=copies * bytes_per_device(trained),
        optimizer=bytes_per_device(state[1]),
        full_parameters=_count(full[0]),
        full_gradients=copies * bytes_per_device(full[0]),
        full_optimizer=bytes_per_device(full[1]),
    )


def _part(path: Any) -> str:
    return name_of(path).rsplit("/", 1)[0]


def _count(state: Any) -> int:
    return sum(prod(leaf.shape) for leaf in jax.tree.leaves(state))
