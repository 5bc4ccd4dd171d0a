"""How near the memory that `generalist describe` predicts is to what the compiler allocates, state and batch included.

Updates compiled ahead of time for parts of the CPU; nothing is allocated or run. XLA computes bfloat16 in float32
there, so the prediction beside it is that of float32.
"""

import sys
from dataclasses import replace
from typing import Any

from common import parser, save
from shapes import Case, job

from generalist.agent.sharding import abstract_mesh, split_cpu
from generalist.train.compiled import compile_update, compiled_memory, computed_in
from generalist.train.footprint import footprint
from generalist.train.step import abstract_state

Mesh = tuple[int, int, int]

CASES: tuple[tuple[Case, Mesh], ...] = (
    (Case(width=128, layers=4, tokens=256, rows=8), (1, 1, 1)),
    (Case(width=256, layers=4, tokens=512, rows=8), (1, 1, 1)),
    (Case(width=512, layers=8, tokens=256, rows=8), (1, 1, 1)),
    (Case(width=768, layers=4, tokens=1024, rows=4), (1, 1, 1)),
    (Case(width=512, layers=4, tokens=512, rows=8), (1, 2, 1)),
    (Case(width=512, layers=4, tokens=512, rows=8), (1, 1, 2)),
    (Case(width=256, layers=8, tokens=1024, rows=8), (2, 2, 1)),
    (Case(width=1024, layers=4, tokens=512, rows=8), (1, 8, 1)),
    (Case(width=1024, layers=4, tokens=512, rows=8), (2, 2, 2)),
)
"""Shapes, and the mesh of (data, fsdp, tensor) devices that each is for."""

VARIANTS = (("float32", 0.0), ("bfloat16", 0.0), ("float32", 0.25))
"""Compute dtype, and the share of a row that is image patches."""


def measure(case: Case, mesh: Mesh) -> dict[str, Any]:
    """One row of the table."""
    config, sizes, capacity = job(case)
    compiled = compiled_memory(compile_update(config, sizes, capacity, mesh))
    _, state = abstract_state(config, sizes, abstract_mesh(*mesh))
    predicted = footprint(computed_in(config), sizes, capacity, mesh, state)
    return {
        "width": case.width,
        "layers": case.layers,
        "tokens": case.tokens,
        "rows": case.rows,
        "patches": case.patches,
        "dtype": case.dtype,
        "remat": case.remat,
        "mesh": " x ".join(map(str, mesh)),
        "compiled MB": compiled.total / 2**20,
        "predicted MB": predicted.total / 2**20,
        "predicted / compiled": predicted.total / compiled.total,
    }


def main() -> None:
    given = parser(__doc__.split("\n")[0]).parse_args()
    split_cpu(8)
    rows = []
    for shape, mesh in CASES[:1] if given.small else CASES:
        for dtype, images in VARIANTS:
            for remat in (False, True):
                case = replace(shape, dtype=dtype, images=images, remat=remat)
                rows.append(measure(case, mesh))
                print(case, mesh, f"{rows[-1]['predicted / compiled']:.2f}", file=sys.stderr)
    save(given.out, "memory", rows)


if __name__ == "__main__":
    main()
