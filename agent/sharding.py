"""The only file that knows mesh axes: logical axis names on the left, axes of the mesh on the right."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

AXES = ("data", "fsdp", "tensor")

RULES: dict[str, str | tuple[str, ...] | None] = {
    "batch": ("data", "fsdp"),
    "embed": "fsdp",
    "heads": "tensor",
    "feedforward": "tensor",
    # Rows of the embedding table over both axes and its width over none: sharding both dimensions of a gathered table
    # makes the compiler copy it whole.
    "vocabulary": ("fsdp", "tensor"),
    "logits": "tensor",
    "layers": None,
}

REASONS: dict[str, str] = {
    "batch": "rows are independent of each other",
    "embed": "nearly every matrix has this dimension; a layer is gathered when its turn comes",
    "heads": "heads attend alone; one sum over tensor follows the output projection",
    "feedforward": "hidden units act alone; one sum over tensor follows the down projection",
    "vocabulary": "the longest table, split by rows over both axes",
    "logits": "the scores of an id; no parameter lies so",
    "layers": "never split, because layers run one after the other",
}
"""Why each logical axis lies as `RULES` says, in words."""


def split_cpu(devices: int) -> None:
    """Make the CPU count as so many devices, if JAX has not begun to use it; later it keeps what it has."""
    if devices > 1:
        with suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", devices)


def make_mesh(data: int = 1, fsdp: int = 1, tensor: int = 1, *, devices: list | None = None) -> Mesh:
    """A mesh of data x fsdp x tensor devices.

    One of the three may be -1 and takes what is left of `devices` (by default those of all processes of this run).

    Raises:
        ValueError: there are fewer devices, or a process would have none.
    """
    devices = jax.devices() if devices is None else devices
    sizes = mesh_sizes(data, fsdp, tensor, devices=len(devices))
    needed = math.prod(sizes)
    if needed > len(devices):
        raise ValueError(
            f"a mesh of {sizes[0]} x {sizes[1]} x {sizes[2]} needs {needed} devices, {len(devices)} are here"
        )
    used, there = ({device.process_index for device in some} for some in (devices[:needed], devices))
    if used != there:
        raise ValueError(
            f"a mesh of {sizes[0]} x {sizes[1]} x {sizes[2]} uses {needed} of {len(devices)} devices and leaves "
            f"{len(there - used)} of {len(there)} processes without any; make it larger, or start fewer processes"
        )
    return jax.make_mesh(sizes, AXES, axis_types=(AxisType.Auto,) * 3, devices=devices[:needed])


def mesh_sizes(data: int, fsdp: int, tensor: int, *, devices: int) -> tuple[int, int, int]:
    """Devices along each axis, with -1 replaced by what is left of `devices` (at least 1)."""
    sizes = [data, fsdp, tensor]
    if sizes.count(-1) > 1 or any(size == 0 or size < -1 for size in sizes):
        raise ValueError(f"mesh sizes must be positive, one at most -1; got data={data}, fsdp={fsdp}, tensor={tensor}")
    if -1 in sizes:
        known = -(data * fsdp * tensor)
        sizes[sizes.index(-1)] = max(1, devices // known)
    return sizes[0], sizes[1], sizes[2]


def abstract_mesh(data: int, fsdp: int, tensor: int) -> AbstractMesh:
    """A mesh without devices: enough to know what would lie where."""
    return AbstractMesh((data, fsdp, tensor), AXES, axis_types=(AxisType.Auto,) * 3)


def check_divides(sizes: Mapping[str, int], mesh: Mesh | AbstractMesh) -> None:
    """Whether sharded dimensions, by logical name, divide over the mesh.

    Raises:
        ValueError: names the first that does not, and the axes that it would be split over.
    """
    for name, size in sizes.items():
        rule = RULES[name]
        axes = (rule,) if isinstance(rule, str) else rule or ()
        parts = math.prod(mesh.shape[axis] for axis in axes)
        if size % parts:
            over = " x ".join(f"{axis} {mesh.shape[axis]}" for axis in axes)
            raise ValueError(
                f"{name} of {size} does not divide over {parts} devices (mesh {over}); make it a multiple, or change "
                "the mesh"
            )


@contextmanager
def use_mesh(mesh: Mesh | AbstractMesh) -> Iterator[None]:
    """Parameters created, and arrays constrained, inside this context are laid out on `mesh`."""
    concrete = isinstance(mesh, Mesh)
    with (
        jax.set_mesh(mesh) if concrete else jax.sharding.use_abstract_mesh(mesh),
        nnx.logical_axis_rules(tuple(RULES.items())),
    ):
        yield


def spec(*names: str | None) -> PartitionSpec:
    """Mesh axes of an array whose dimensions have these logical names."""
    return PartitionSpec(*(RULES[name] if name else None for name in names))


def one_device() -> bool:
    """Whether no mesh of several devices is in use."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh.empty or mesh.size == 1


def platform() -> str:
    """Of the devices in use, which may be some that are only compiled for."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    return jax.default_backend() if device is None else device.platform


def fuses_on_gpu() -> bool:
    """Whether the devices in use are NVIDIA's of compute capability 8 or more."""
    device: Any = jax.sharding.get_abstract_mesh().abstract_device
    kind = jax.devices()[0] if device is None else device
    if kind.platform not in ("gpu", "cuda"):
        return False
    with suppress(TypeError, ValueError):  # AMD's are called by letters
        return float(getattr(kind, "compute_capability", None) or 8.0) >= 8.0
    return False


def constrain(x: jax.Array, *names: str | None) -> jax.Array:
    """Hold an activation to its logical layout; does nothing where no mesh of several devices is in use.

    Nor inside `generalist.agent.parts.in_parts`, where each device works on its own rows.
    """
    apart = one_device() or jax.sharding.get_abstract_mesh().are_all_axes_manual
    return x if apart else jax.lax.with_sharding_constraint(x, spec(*names))


def split_first(x: jax.Array, axes: Sequence[str]) -> jax.Array:
    """Hold an array to a layout in which its first axis is split over these axes of the mesh and no other axis is.

    One axis after the other: the compiler exchanges parts for each, and would gather the whole array for two at once.
    """
    free = PartitionSpec.UNCONSTRAINED
    for count in range(1, len(axes)):
        x = jax.lax.with_sharding_constraint(x, PartitionSpec(tuple(axes[:count]), *(free,) * (x.ndim - 1)))
    return jax.lax.with_sharding_constraint(x, PartitionSpec(tuple(axes), *(None,) * (x.ndim - 1)))


def unite_first(x: jax.Array, axes: Sequence[str]) -> jax.Array:
    """The way back from `split_first`, up to the last step, which who uses the array takes."""
    free = PartitionSpec.UNCONSTRAINED
    for count in reversed(range(1, len(axes))):
        x = jax.lax.with_sharding_constraint(x, PartitionSpec(tuple(axes[:count]), *(free,) * (x.ndim - 1)))
    return x


def axes_dividing(size: int) -> tuple[str, ...]:
    """Axes of the mesh in use that split parameters, over which so many can be split evenly, innermost first."""
    sizes, axes = jax.sharding.get_abstract_mesh().shape, []
    for axis in ("tensor", "fsdp") if sizes else ():
        if sizes[axis] > 1 and size % sizes[axis] == 0:
            axes.append(axis)
            size //= sizes[axis]
    return tuple(axes)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows of a batch over data and fsdp axes, everything else whole."""
    return NamedSharding(mesh, spec("batch"))


def rows_of_processes(mesh: Mesh, rows: int) -> dict[int, list[range]]:
    """Which rows of a batch of `rows` the devices of each process hold; processes that differ by `tensor` share them.

    Raises:
        ValueError: the rows do not divide over the mesh.
    """
    shards = mesh.shape["data"] * mesh.shape["fsdp"]
    if rows % shards:
        raise ValueError(
            f"batch_size {rows} does not divide over {shards} devices (mesh data {mesh.shape['data']} x fsdp "
            f"{mesh.shape['fsdp']}); make it a multiple"
        )
    found: dict[int, set[range]] = {}
    for device, (part,) in batch_sharding(mesh).devices_indices_map((rows,)).items():
        found.setdefault(device.process_index, set()).add(range(*part.indices(rows)))
    return {process: sorted(parts, key=lambda part: part.start) for process, parts in sorted(found.items())}


def place_rows(batch: Any, mesh: Mesh, rows: int, here: Sequence[int]) -> Any:
    """The batch of `rows` rows on all devices of the mesh, from the rows that this process has.

    Args:
        batch: pytree of arrays [len(here), ...].
        here: their numbers in the whole batch, ascending; those that this process's devices hold are among them.
    """
    sharding = batch_sharding(mesh)

    def place(leaf: np.ndarray) -> jax.Array:
        def part(index: Any) -> np.ndarray:
            start, stop, _ = index[0].indices(rows)
            first = bisect_left(here, start)
            return leaf[first : first + stop - start]

        return jax.make_array_from_callback((rows, *leaf.shape[1:]), sharding, part)

    return jax.tree.map(place, batch)
