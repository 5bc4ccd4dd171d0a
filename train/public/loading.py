"""The parameters of a public language model, laid out on the mesh in use as they are read.

One tensor of theirs is in memory at a time, and of ours what this process keeps of one parameter: no parameter is ever
whole on a device that holds a part of it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding
from safetensors import safe_open

from generalist.train.checkpoint import CheckpointError, Which
from generalist.train.public.weights import NAMED, PublicModel
from generalist.train.trainable import name_of

LOCAL = "local/rows"
"""Positions inside a timestep are ours: text has none."""
Box = tuple[tuple[int, int], ...]


class PublicWeights:
    """The files of a public model, read as the checkpoints of a run are (`generalist.train.checkpoint`)."""

    def __init__(self, model: PublicModel):
        self.model = model

    def __enter__(self) -> "PublicWeights":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def chosen(self, step: Which = None) -> int:
        """0. Raises CheckpointError where an update is asked for."""
        if step not in (None, 0):
            raise CheckpointError(f"{self.model.folder} is a public model, which has no updates: leave out --step")
        return 0

    def restore_agent(self, step: int, agent_state: Any) -> Any:
        """The parameters, laid out as the (abstract) state on the mesh in use; our rows beyond theirs are zero.

        Raises:
            CheckpointError: a shape is another, or a parameter of ours is in no tensor.
        """
        self.chosen(step)
        model, mesh = self.model, jax.sharding.get_mesh()
        leaves = {name_of(path): leaf.get_value() for path, leaf in nnx.to_flat_state(agent_state)}
        known = {path for rule in model.rules for path in rule.ours}
        if wrong := sorted({*leaves} - {LOCAL} ^ known):
            raise CheckpointError(f"{model.folder} has nothing for, or more than, {', '.join(wrong[:NAMED])}")
        made = {}
        for rule in model.rules:
            parts = [_Part(path, leaves[path], mesh) for path in rule.ours]
            for layer in range(model.config.layers) if rule.layered else (None,):
                key = rule.theirs.format(layer).removeprefix(model.prefix)
                with safe_open(model.files[key], framework="numpy") as file:  # closed, its pages are given back
                    tensor = file.get_tensor(key)
                for part, value in zip(parts, rule.split(tensor), strict=True):
                    part.put(value, layer, model)
            made |= {part.path: part.array() for part in parts}
        if LOCAL in leaves:
            made[LOCAL] = _Part(LOCAL, leaves[LOCAL], mesh).array()
        values = [made[name_of(path)] for path, _ in nnx.to_flat_state(agent_state)]
        return jax.tree.unflatten(jax.tree.structure(agent_state), values)


class _Part:
    """A parameter as it is filled: one array for each part of it that a device of this process holds."""

    def __init__(self, path: str, leaf: Any, mesh: Any):
        self.path, self.shape, self.dtype = path, tuple(leaf.shape), leaf.dtype
        self.sharding = NamedSharding(mesh, leaf.sharding.spec)
        indices: Mapping[Any, Any] = self.sharding.addressable_devices_indices_map(self.shape)
        boxes = {_box(index, self.shape) for index in indices.values()}
        self.held = {box: np.zeros([stop - start for start, stop in box], self.dtype) for box in boxes}

    def put(self, value: np.ndarray, layer: int | None, model: PublicModel) -> None:
        """Fill in a tensor: the whole, or one layer. Of tables it may have fewer rows."""
        wanted = self.shape if layer is None else self.shape[1:]
        table = self.path.endswith("/rows") and value.shape[1:] == wanted[1:] and len(value) <= wanted[0]
        if value.shape != wanted and not table:
            raise CheckpointError(
                f"{self.path} has the shape {value.shape} in {model.folder}, needed is {wanted}: its config.json is of "
                "another model"
            )
        for box, held in self.held.items():
            if layer is not None:
                (first, stop), *box = box
                if not first <= layer < stop:
                    continue
                held = held[layer - first]
            part = value[tuple(slice(start, stop) for start, stop in box)]
            held[: len(part)] = part

    def array(self) -> jax.Array:
        fill: Callable[[Any], np.ndarray] = lambda index: self.held[_box(index, self.shape)]  # noqa: E731
        return jax.make_array_from_callback(self.shape, self.sharding, fill)


def _box(index: tuple[slice, ...], shape: tuple[int, ...]) -> Box:
    return tuple(each.indices(size)[:2] for each, size in zip(index, shape, strict=True))
