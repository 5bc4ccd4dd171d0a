"""How near the memory that `generalist describe` predicts is to what the compiler allocates, state and batch included.

Updates compiled ahead of time for parts of the CPU; nothing is allocated or run. XLA computes bfloat16 in float32
there, so the prediction beside it is that of float32.
"""

import sys
from dataclasses import dataclass, replace
from typing import Any

from common import parser, save
from training_step import PATCH

from generalist.agent.config import AgentConfig, InputSizes
from generalist.agent.sharding import abstract_mesh, split_cpu
from generalist.tokenizers.sequence import Capacity
from generalist.tokenizers.vocabulary import Vocabulary
from generalist.train.compiled import compile_update, compiled_memory, computed_in
from generalist.train.config import SourceConfig, TrainConfig
from generalist.train.footprint import footprint
from generalist.train.step import abstract_state

Mesh = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Case:
    width: int
    layers: int
    tokens: int
    rows: int
    mesh: Mesh = (1, 1, 1)


CASES = (
    Case(width=128, layers=4, tokens=256, rows=8),
    Case(width=256, layers=4, tokens=512, rows=8),
    Case(width=512, layers=8, tokens=256, rows=8),
    Case(width=768, layers=4, tokens=1024, rows=4),
    Case(width=512, layers=4, tokens=512, rows=8, mesh=(1, 2, 1)),
    Case(width=512, layers=4, tokens=512, rows=8, mesh=(1, 1, 2)),
    Case(width=256, layers=8, tokens=1024, rows=8, mesh=(2, 2, 1)),
    Case(width=1024, layers=4, tokens=512, rows=8, mesh=(1, 8, 1)),
    Case(width=1024, layers=4, tokens=512, rows=8, mesh=(2, 2, 2)),
)
VARIANTS = (("float32", 0.0), ("bfloat16", 0.0), ("float32", 0.25))
"""Compute dtype, and the share of a row that is image patches."""


def measure(case: Case, *, dtype: str, images: float, remat: bool) -> dict[str, Any]:
    """One row of the table."""
    vocabulary = Vocabulary()
    patches = int(case.tokens * images)
    values = PATCH * PATCH * 3 if patches else 0
    capacity = Capacity(tokens=case.tokens, targets=case.tokens // 4, patches=patches, patch_values=values)
    sizes = InputSizes(vocabulary=vocabulary.size, patch_size=PATCH if patches else 0)
    agent = AgentConfig(
        width=case.width,
        layers=case.layers,
        heads=case.width // 64,
        head_size=64,
        feedforward=4 * case.width,
        window=case.tokens,
        dtype=dtype,
        remat=remat,
    )
    config = TrainConfig(
        sources=(SourceConfig(task="benchmark"),),
        agent=agent,
        vocabulary=vocabulary,
        sequence_length=case.tokens,
        batch_size=case.rows,
    )
    compiled = compiled_memory(compile_update(config, sizes, capacity, case.mesh))
    _, state = abstract_state(config, sizes, abstract_mesh(*case.mesh))
    predicted = footprint(computed_in(config), sizes, capacity, case.mesh, state)
    return {
        "width": case.width,
        "layers": case.layers,
        "tokens": case.tokens,
        "rows": case.rows,
        "patches": patches,
        "dtype": dtype,
        "remat": remat,
        "mesh": " x ".join(map(str, case.mesh)),
        "compiled MB": compiled.total / 2**20,
        "predicted MB": predicted.total / 2**20,
        "predicted / compiled": predicted.total / compiled.total,
    }


def main() -> None:
    given = parser(__doc__.split("\n")[0]).parse_args()
    split_cpu(8)
    rows = []
    for case in (replace(CASES[0], layers=2),) if given.small else CASES:
        for dtype, images in VARIANTS:
            for remat in (False, True):
                rows.append(measure(case, dtype=dtype, images=images, remat=remat))
                print(case, dtype, images, remat, f"{rows[-1]['predicted / compiled']:.2f}", file=sys.stderr)
    save(given.out, "memory", rows)


if __name__ == "__main__":
    main()
