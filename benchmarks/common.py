"""What every benchmark shares: timing, the ceilings of this machine, and the one JSON file a benchmark writes.

A figure is a ratio wherever it can be: achieved over what the same process measured to be possible, or ours over a
peer's on the same shapes. Absolute times stand beside it and hold for one machine.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from generalist.train.flops import measured_peak

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("jax", "jaxlib", "flax", "numpy")


def seconds(function: Callable[[], Any], *, repeats: int = 5, warmup: int = 1) -> float:
    """Median wall time of a call, its JAX results waited for; `warmup` calls before it compile and fill caches."""
    for _ in range(warmup):
        jax.block_until_ready(function())
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - begun)
    return float(np.median(times))


def paired(
    ours: Callable[[], Any], theirs: Callable[[], Any], *, repeats: int = 7, warmup: int = 2
) -> tuple[float, float, float]:
    """Median seconds of two functions called in turn, and the median of `theirs / ours` pair by pair.

    Neighbours slow a machine down for seconds at a time, which strikes both of a pair alike.
    """
    for function in (ours, theirs):
        seconds(function, repeats=1, warmup=warmup)

    def once(function: Callable[[], Any]) -> float:
        return seconds(function, repeats=1, warmup=0)

    pairs = np.asarray([[once(ours), once(theirs)] for _ in range(repeats)])
    mine, other = np.median(pairs, axis=0)
    return float(mine), float(other), float(np.median(pairs[:, 1] / pairs[:, 0]))


def matrix_peak(dtype: str) -> float:
    """FLOP/s of large square matrix products in `dtype` on all devices: the best of several tries."""
    return max(measured_peak(dtype, size=size) for size in (1024, 2048))


def read_bandwidth(megabytes: int = 512) -> float:
    """Bytes per second that all cores read together, from an array far larger than their caches (NumPy, no JAX)."""
    cores = os.cpu_count() or 1
    parts = np.array_split(np.ones(megabytes * 2**18, np.float32), cores)
    with ThreadPoolExecutor(cores) as pool:
        best = float("inf")
        for _ in range(5):
            begun = time.perf_counter()
            list(pool.map(lambda part: np.dot(part, part), parts))
            best = min(best, time.perf_counter() - begun)
    return megabytes * 2**20 / best


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def parser(description: str) -> argparse.ArgumentParser:
    """Options that every benchmark has; `--small` is a quick run that shows that it works."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON file")
    made.add_argument("--small", action="store_true", help="few and small shapes: a check, not a measurement")
    return made


def store(out: Path, name: str, rows: list[dict[str, Any]], **more: Any) -> None:
    """Write `out`/NAME.json."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps({"machine": machine(), **more, "rows": rows}, indent=2) + "\n")


def save(out: Path, name: str, rows: list[dict[str, Any]], **more: Any) -> None:
    """Write `out`/NAME.json and print its rows as a table."""
    store(out, name, rows, **more)
    shown = Table(title=name, title_justify="left")
    for column in rows[0]:
        shown.add_column(column, justify="right")
    for row in rows:
        shown.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=160).print(shown)
    Console().print(out / f"{name}.json")
