"""Which parameters of a network are trained, as `TrainableConfig` says, and the network that has them all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flax import nnx

from generalist.agent.config import InputSizes
from generalist.agent.lora import add_lora
from generalist.agent.network import Network
from generalist.envs.names import nearest
from generalist.train.config import TrainableConfig, TrainConfig

TASK_EMBEDDING = "source"
WHOLE: dict[str, tuple[str, ...]] = {
    "lora": (),
    "head": ("transformer/norm", "tokens"),
    "embedding": (TASK_EMBEDDING,),
}
"""By `how`, what is trained whole; with `lora` the task embedding too, where there is one."""


@dataclass(frozen=True)
class Trained:
    """A filter of nnx: LoRA's parameters, and those whose paths begin so. A value, as graphs are compared."""

    beginnings: tuple[tuple[str, ...], ...]

    def __call__(self, path: Sequence[Any], value: Any) -> bool:
        names = tuple(map(str, path))
        begins = any(names[: len(beginning)] == beginning for beginning in self.beginnings)
        return isinstance(value, nnx.LoRAParam) or (begins and isinstance(value, nnx.Param))


def trained(config: TrainableConfig) -> Any:
    """The filter of nnx for the parameters that are trained."""
    if config.how == "full":
        return nnx.Param
    whole = (*WHOLE[config.how], *config.also, *((TASK_EMBEDDING,) if config.how == "lora" else ()))
    return Trained(tuple(dict.fromkeys(tuple(name.strip("/").split("/")) for name in whole)))


def make_network(config: TrainConfig, sizes: InputSizes, *, rngs: nnx.Rngs) -> Network:
    """The network of a training job, with LoRA where it asks for it; the other parameters are the same without.

    Raises:
        ValueError: a part that is to be trained is not in this network; or LoRA's rank is too high for it.
    """
    network, asked = Network(config.agent, sizes, rngs=rngs), config.trainable
    _check_parts(network, asked)
    if asked.matrices:
        add_lora(network, asked.matrices, asked.rank, asked.alpha, rngs=rngs)
    return network


def _check_parts(network: Network, config: TrainableConfig) -> None:
    paths = ["/".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(network, nnx.Param))]
    known = sorted({path.rsplit("/", count)[0] for path in paths for count in range(path.count("/") + 1)})
    if config.how == "embedding" and TASK_EMBEDDING not in known:
        raise ValueError("trainable.how embedding: this network has no task embedding (agent.source_embedding)")
    for name in config.also:
        if name.strip("/") not in known:
            raise ValueError(f"trainable.also: the network has no part {name!r}: {nearest(name, known)}")


def name_of(path: Sequence[Any]) -> str:
    """A parameter's name: its path inside the network."""
    return "/".join(map(str, path))


def split_trained(state: Any, config: TrainableConfig) -> tuple[Any, Any]:
    """The state of a network as what is trained and what is frozen."""
    part, rest = nnx.split_state(state, trained(config), ...)
    return part, rest
