"""Where the parameters lie on a mesh, and why: one line for each group of equal arrays. Nothing is allocated."""

import math
from dataclasses import dataclass

from flax import nnx

from generalist.agent.sharding import REASONS
from generalist.train.step import State

WHOLE = "small: whole on every device"


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Arrays of one module that have the same logical axes and shape.

    Args:
        name: path of the module, and what differs inside it.
        axes: logical names of the dimensions; None has no name and is never split.
        shape: of one array, and `per_device` of what one device holds of it.
        mesh_axes: of each dimension, those that split it; `fsdp+tensor` is both.
        bytes_per_device: of all arrays of the group.
        reason: in words.
    """

    name: str
    axes: tuple[str | None, ...]
    shape: tuple[int, ...]
    mesh_axes: tuple[str | None, ...]
    per_device: tuple[int, ...]
    bytes_per_device: int
    reason: str


def placements(network: State) -> list[Placement]:
    """Of an abstract network state, in the order of its paths."""
    groups: dict[tuple, list[tuple[tuple[str, ...], nnx.Variable]]] = {}
    for path, leaf in nnx.to_flat_state(network):
        names = tuple(str(part) for part in path if part not in ("transformer", "kernel"))
        axes = tuple(leaf.get_metadata()["out_sharding"])
        groups.setdefault((names[0], axes, leaf.get_value().shape), []).append((names, leaf))
    return [_placement(axes, shape, members) for (_, axes, shape), members in groups.items()]


def _placement(
    axes: tuple[str | None, ...], shape: tuple[int, ...], members: list[tuple[tuple[str, ...], nnx.Variable]]
) -> Placement:
    value = members[0][1].get_value()
    spec = (*value.sharding.spec, *(None,) * len(shape))[: len(shape)]
    sizes = value.sharding.mesh.shape
    used = [[name for name in _names(part) if sizes[name] > 1] for part in spec]
    local = value.sharding.shard_shape(shape)
    split = [axis for axis, names in zip(axes, used, strict=True) if axis and names]
    return Placement(
        name=_joined([path for path, _ in members]),
        axes=axes,
        shape=shape,
        mesh_axes=tuple("+".join(names) or None for names in used),
        per_device=local,
        bytes_per_device=len(members) * math.prod(local) * value.dtype.itemsize,
        reason="; ".join(REASONS[axis] for axis in split) or _why_whole(axes),
    )


def _why_whole(axes: tuple) -> str:
    """Why nothing of an array is split on this mesh."""
    return "its mesh axes have one device" if any(axis and axis != "layers" for axis in axes) else WHOLE


def _names(part: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return part if isinstance(part, tuple) else () if part is None else (part,)


def _joined(paths: list[tuple[str, ...]]) -> str:
    """The common beginning of the paths, then what follows it in each."""
    common = 0
    while len(paths) > 1 and len({path[: common + 1] for path in paths}) == 1:
        common += 1
    if len(paths) == 1:
        return ".".join(paths[0])
    head, tails = ".".join(paths[0][:common]), ",".join(".".join(path[common:]) for path in paths)
    return f"{head}.{tails}" if head else tails
