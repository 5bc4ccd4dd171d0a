"""The only file that knows mesh axes: logical axis names on the left, axes of the mesh on the right."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import jax
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
    "layers": None,
}


def split_cpu(devices: int) -> None:
    """Make the CPU count as so many devices, if JAX has not begun to use it; later it keeps what it has."""
    if devices > 1:
        with suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", devices)


def make_mesh(data: int = 1, fsdp: int = 1, tensor: int = 1, *, devices: list | None = None) -> Mesh:
    """A mesh of data x fsdp x tensor devices.

    One of the three may be -1 and takes what is left of `devices` (all of this run's by default).
    """
    devices = jax.devices() if devices is None else devices
    sizes = mesh_sizes(data, fsdp, tensor, devices=len(devices))
    needed = math.prod(sizes)
    if needed > len(devices):
        raise ValueError(
            f"a mesh of {sizes[0]} x {sizes[1]} x {sizes[2]} needs {needed} devices, {len(devices)} are here"
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


def constrain(x: jax.Array, *names: str | None) -> jax.Array:
    """Hold an activation to its logical layout; does nothing where no mesh of several devices is in use."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return x
    return jax.lax.with_sharding_constraint(x, spec(*names))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows of a batch over data and fsdp axes, everything else whole."""
    return NamedSharding(mesh, spec("batch"))
