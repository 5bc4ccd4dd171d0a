"""The 1.2B preset compiled ahead of time for 64 and 256 devices: memory of one device, and what the devices exchange.

Nothing is allocated or run. The devices are parts of the CPU, each mesh in a process of its own, so the figures are
those of XLA's CPU compiler: it computes bfloat16 in float32, as is predicted beside it, and an accelerator's combines
collectives otherwise.
"""

import json
import math
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import parser, save

from generalist.agent.config import InputSizes
from generalist.agent.sharding import abstract_mesh, split_cpu
from generalist.configs.gato_1_2b import config as gato_1_2b
from generalist.tokenizers.sequence import Capacity
from generalist.train.collectives import KINDS, collectives
from generalist.train.compiled import compile_update, compiled_memory, computed_in
from generalist.train.footprint import footprint
from generalist.train.step import abstract_state

MESHES = ((1, 64, 1), (1, 16, 4), (4, 64, 1), (4, 16, 4))
"""Devices along data, fsdp and tensor; fsdp x tensor divides the 34,176 rows of the token table."""

CAPACITY = Capacity(tokens=1024, targets=512, patches=256, patch_values=16 * 16 * 3)
"""A row that is a quarter image patches; `generalist describe gato_1_2b` gives that of a mixture."""


def measure(mesh: tuple[int, int, int], *, layers: int, rows: int) -> dict[str, Any]:
    """One row of the table; to be called in a process that has not used JAX."""
    split_cpu(math.prod(mesh))
    job = gato_1_2b().train
    job = replace(job, agent=replace(job.agent, layers=layers), batch_size=rows, data_streams=1)
    sizes = InputSizes(vocabulary=job.vocabulary.size, sources=len(job.sources), patch_size=16)
    begun = time.perf_counter()
    compiled = compile_update(job, sizes, CAPACITY, mesh)
    seconds = time.perf_counter() - begun
    memory = compiled_memory(compiled)
    _, state = abstract_state(job, sizes, abstract_mesh(*mesh))
    predicted = footprint(computed_in(job), sizes, CAPACITY, mesh, state)
    counts, bytes_ = Counter(), Counter()
    for each, times in collectives(compiled.as_text()).items():
        counts[each.kind] += times
        bytes_[each.kind] += times * each.size
    return {
        "mesh": " x ".join(map(str, mesh)),
        "layers": layers,
        "rows": rows,
        "compile s": seconds,
        "arguments GiB": memory.arguments / 2**30,
        "temporary GiB": memory.temporary / 2**30,
        "predicted / compiled": predicted.total / memory.total,
        **{f"{name} (GiB)": f"{counts[name]} ({bytes_[name] / 2**30:.1f})" for name in KINDS if counts[name]},
    }


def apart(mesh: tuple[int, int, int], layers: int, rows: int) -> dict[str, Any]:
    """`measure` in a process of its own."""
    asked = ["--one", *map(str, mesh), "--layers", str(layers), "--rows", str(rows)]
    done = subprocess.run([sys.executable, Path(__file__), *asked], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    made = parser(__doc__.split("\n")[0])
    made.add_argument("--layers", type=int, default=24, help="blocks; the preset has 24")
    made.add_argument("--rows", type=int, default=512, help="of an update; the preset has 512")
    made.add_argument("--one", type=int, nargs=3, metavar=("DATA", "FSDP", "TENSOR"), help="this mesh alone, as JSON")
    given = made.parse_args()
    if given.one:
        print(json.dumps(measure(tuple(given.one), layers=given.layers, rows=given.rows)))
        return
    rows = []
    for mesh in ((1, 4, 2),) if given.small else MESHES:
        rows.append(apart(mesh, 2 if given.small else given.layers, 8 if given.small else given.rows))
        print(rows[-1], file=sys.stderr)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    save(given.out, "scale", [{column: row.get(column, "-") for column in columns} for row in rows])


if __name__ == "__main__":
    main()
