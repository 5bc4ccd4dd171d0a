"""Accelerators that are not here: their compilers are, from PyPI, and say what becomes of an update on so many of them.

The extra `aot` brings them: libtpu for TPUs, JAX's CUDA plugin and ptxas for GPUs. Nothing is executed.
"""

import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import prod
from pathlib import Path
from typing import Any, Literal

import jax

from generalist.agent.attention import LANES
from generalist.envs.task import MissingExtra

EXTRA, CUDNN = "aot", 90_800
H100 = """
gpu_device_info {
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 84929347584
  shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 }
runtime_version { major: 12 minor: 9 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
"""What XLA asks of a GPU that it compiles for (its GpuTargetConfigProto)."""


@dataclass(frozen=True)
class Chip:
    """One chip, by its maker's data sheet.

    Args:
        memory: bytes.
        flops: of products in bfloat16 with float32 sums, a second.
        bandwidth: bytes of its memory, a second.
        network: bytes that one chip sends to the others, a second, all links together.
    """

    name: str
    platform: Literal["tpu", "cuda"]
    memory: int
    flops: float
    bandwidth: float
    network: float


CHIPS = {
    "v5e": Chip("TPU v5e", "tpu", 16 * 2**30, 197e12, 819e9, 200e9),
    "v5p": Chip("TPU v5p", "tpu", 95 * 2**30, 459e12, 2765e9, 600e9),
    "v6e": Chip("TPU v6e", "tpu", 32 * 2**30, 918e12, 1640e9, 448e9),
    "h100": Chip("H100 SXM", "cuda", 80 * 10**9, 989e12, 3352e9, 450e9),
}
"""By the name that a topology begins with."""
EXAMPLES = "v5e:4x4, v5p:4x4x4, v6e:8x8 or h100:1x1x8"


@dataclass(frozen=True)
class Topology:
    """Chips that a program is compiled for.

    Args:
        devices: of JAX; nothing can be put on them.
        options: for their compiler.
    """

    name: str
    chip: Chip
    devices: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


def topology(name: str) -> Topology:
    """The chips of "v5e:4x4" (rows x columns), "v5p:4x4x4" or "h100:1x1x8" (slices x hosts x GPUs of a host).

    To be called before JAX has begun to use a backend, which it makes the CPU.

    Raises:
        ValueError: no such chip, or a shape that there is none of.
        MissingExtra: the compiler is not installed.
    """
    kind, _, shape = name.partition(":")
    if kind not in CHIPS:
        near = get_close_matches(kind, CHIPS, n=2, cutoff=0.3) or list(CHIPS)
        raise ValueError(f"no topology {name!r}: its chip is one of {', '.join(near)}, as in {EXAMPLES}")
    if not re.fullmatch(r"[1-9][0-9]*(x[1-9][0-9]*){1,2}", shape):
        raise ValueError(f"the shape of {name!r} must be sizes with x between them, as in {EXAMPLES}")
    chip = CHIPS[kind]
    find = _tpu if chip.platform == "tpu" else _cuda
    try:
        return find(name, chip, shape)
    except (jax.errors.JaxRuntimeError, RuntimeError, ValueError) as error:
        raise ValueError(f"no topology {name!r}: {' '.join(f'{error}'.split())[:300]}") from error


def check_fills(mesh: tuple[int, int, int], chips: Topology) -> None:
    """Raises ValueError where a mesh is not of all chips."""
    if prod(mesh) != len(chips.devices):
        sizes = " x ".join(map(str, mesh))
        raise ValueError(
            f"a mesh of {sizes} has {prod(mesh)} devices and {chips.name} {len(chips.devices)}: give --mesh DATA FSDP "
            "TENSOR whose product is that"
        )


def advice(chip: Chip, mesh: tuple[int, int, int], width: int) -> str:
    """A better (data, fsdp, tensor) mesh of as many chips, in words; empty where nothing is known against this one.

    A TPU works on 128 lanes. Where a chip keeps fewer columns of a matrix, its compiler was seen to gather by summing
    arrays that are zero but for each chip's part, which moves several times the bytes.
    """
    data, fsdp, tensor = mesh
    most = max(1, width // LANES)
    if chip.platform != "tpu" or fsdp <= most:
        return ""
    better = max(size for size in range(1, most + 1) if data * fsdp % size == 0)
    return (
        f"fsdp {fsdp} leaves each chip {width // fsdp} of {width} columns, fewer than the {LANES} lanes of a TPU: "
        f"--mesh {data * fsdp // better} {better} {tensor} may exchange much less"
    )


def _tpu(name: str, chip: Chip, shape: str) -> Topology:
    _need("libtpu")
    # No machine of Google's cloud is asked what it is, and several processes may compile at once.
    for variable, value in (
        ("TPU_SKIP_MDS_QUERY", "1"),
        ("TPU_WORKER_HOSTNAMES", "localhost"),
        ("ALLOW_MULTIPLE_LIBTPU_LOAD", "1"),
        ("TPU_MIN_LOG_LEVEL", "3"),
        ("TPU_STDERR_LOG_LEVEL", "3"),
    ):
        os.environ.setdefault(variable, value)
    return Topology(name, chip, _described("tpu", topology_name=name))


def _cuda(name: str, chip: Chip, shape: str) -> Topology:
    _need("jax_plugins.xla_cuda12")
    _need("nvidia.cuda_nvcc")
    if shape.count("x") != 2:
        raise ValueError("GPUs are slices x hosts x GPUs of a host, as in h100:1x1x8")
    [nvcc] = importlib.util.find_spec("nvidia.cuda_nvcc").submodule_search_locations  # pyright: ignore
    devices = _described("cuda", topology_name="", target_config=H100, topology=shape)
    # Kernels are not tried out, for nothing runs; ptxas and libdevice are those of the package.
    options = {"xla_gpu_cuda_data_dir": str(Path(nvcc)), "xla_gpu_autotune_level": 0}
    return Topology(name, chip, devices, options)


@contextmanager
def cudnn_is_there() -> Iterator[None]:
    """JAX looks for cuDNN and for the GPU before it lowers a call of it; of GPUs that are not here neither is here."""
    import jax._src.cudnn.fused_attention_stablehlo as fused

    before = fused.check_cudnn_version, fused.check_compute_capability
    fused.check_cudnn_version, fused.check_compute_capability = lambda: CUDNN, lambda capability: True
    try:
        yield
    finally:
        fused.check_cudnn_version, fused.check_compute_capability = before


def _described(platform: str, **options: Any) -> tuple[Any, ...]:
    from jax.experimental import topologies

    jax.config.update("jax_platforms", "cpu")
    return tuple(topologies.get_topology_desc(platform=platform, **options).devices)


def _need(module: str) -> None:
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise MissingExtra(EXTRA, ModuleNotFoundError(f"a compiler for accelerators is missing ({module})"))
