"""The paper's presets compiled by the real compilers of accelerators that are not here: memory, transfers, least time.

Nothing is executed. Each row is a process of its own; the extra `aot` is needed. Rows of an update hold what
`generalist describe` says of the mixture: 1,024 targets and up to 936 patches. The bound is that of
`generalist.train.roofline`: an update cannot be faster, and may be slower.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

from common import parser, save, store

from generalist.agent.config import InputSizes
from generalist.agent.sharding import abstract_mesh
from generalist.tokenizers.sequence import Capacity
from generalist.train.compiled import look
from generalist.train.flops import update_flops
from generalist.train.footprint import footprint
from generalist.train.step import abstract_state
from generalist.train.topologies import topology


@dataclass(frozen=True)
class Row:
    """What is compiled: rows of an update over a mesh of all chips."""

    preset: str
    topology: str
    mesh: tuple[int, int, int]
    rows: int
    attention: str = "blocked"


ROWS = (
    Row("gato_79m", "h100:1x1x1", (1, 1, 1), 16),
    Row("gato_79m", "h100:1x1x1", (1, 1, 1), 16, "cudnn"),
    Row("gato_364m", "h100:1x1x8", (1, 8, 1), 512),
    Row("gato_364m", "h100:1x1x8", (1, 8, 1), 512, "cudnn"),
    Row("gato_1_2b", "h100:1x8x8", (1, 64, 1), 512),
    Row("gato_1_2b", "h100:1x8x8", (1, 64, 1), 512, "cudnn"),
    Row("gato_79m", "v5e:2x2", (1, 4, 1), 64, "splash"),
    Row("gato_364m", "v5e:4x4", (2, 8, 1), 256, "splash"),
    Row("gato_1_2b", "v5p:4x4x4", (4, 16, 1), 512, "splash"),
    Row("gato_1_2b", "v5e:16x16", (16, 16, 1), 512, "splash"),
    Row("gato_79m", "v5e:2x2", (1, 4, 1), 64),
    Row("gato_364m", "v5e:4x4", (2, 8, 1), 256),
    Row("gato_1_2b", "v5p:4x4x4", (4, 16, 1), 512),
)
"""Those of TPUs take minutes each and come last."""
SMALL = (Row("smoke", "h100:1x1x2", (1, 2, 1), 8),)
CAPACITY = Capacity(tokens=1024, targets=1024, patches=936, patch_values=16 * 16 * 3)
COMPILERS = ("libtpu", "jax-cuda12-plugin", "jax-cuda12-pjrt", "nvidia-cuda-nvcc-cu12")
GIB = 2**30


def measure(row: Row) -> dict[str, Any]:
    """One row of the table; to be called in a process that has not used JAX."""
    chips = topology(row.topology)
    job = import_module(f"generalist.configs.{row.preset}").config().train
    job = replace(job, agent=replace(job.agent, attention=row.attention), batch_size=row.rows, data_streams=1)
    plain = all(each.layout.context is None and each.layout.past_actions == "shown" for each in job.sources)
    sizes = InputSizes(vocabulary=job.vocabulary.size, sources=len(job.sources), patch_size=16, plain_mask=plain)
    found = look(job, sizes, CAPACITY, row.mesh, chips)
    _, state = abstract_state(job, sizes, abstract_mesh(*row.mesh))
    assert found.bound is not None
    flops = update_flops(job.agent, sizes, CAPACITY, row.rows) / prod(row.mesh)
    return {
        "preset": row.preset,
        "topology": row.topology,
        "mesh": " x ".join(map(str, row.mesh)),
        "rows": row.rows,
        "attention": row.attention,
        "arguments GiB": found.memory.arguments / GIB,
        "temporary GiB": found.memory.temporary / GIB,
        "of memory": found.memory.total / chips.chip.memory,
        "predicted / compiled": footprint(job, sizes, CAPACITY, row.mesh, state).total / found.memory.total,
        "products ms": 1e3 * found.bound.compute,
        "memory ms": 1e3 * found.bound.memory,
        "exchanged GiB": sum(size for _, size, _ in found.exchanged.values()) / GIB,
        "largest MiB": max((largest for *_, largest in found.exchanged.values()), default=0) / 2**20,
        "exposed ms": 1e3 * found.bound.exposed,
        "bound ms": 1e3 * found.bound.bound,
        "peak at most": flops / chips.chip.flops / found.bound.bound,
    }


def apart(number: int, small: bool) -> dict[str, Any]:
    """`measure` in a process of its own."""
    asked = ["--row", str(number), *["--small"] * small]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    command = [sys.executable, Path(__file__), *asked]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    made = parser(__doc__.split("\n")[0])
    made.add_argument("--resume", action="store_true", help="go on after the rows that the JSON file has")
    made.add_argument("--row", type=int, help="this one alone, as JSON")
    given = made.parse_args()
    chosen = SMALL if given.small else ROWS
    if given.row is not None:
        print(json.dumps(measure(chosen[given.row])))
        return
    file = given.out / "accelerators.json"
    rows = json.loads(file.read_text())["rows"] if given.resume and file.exists() else []
    compilers = {name: version(name) for name in COMPILERS}
    for number in range(len(rows), len(chosen)):
        rows.append(apart(number, given.small))
        print(rows[-1], file=sys.stderr)
        store(given.out, "accelerators", rows, compilers=compilers)
    save(given.out, "accelerators", rows, compilers=compilers)


if __name__ == "__main__":
    main()
