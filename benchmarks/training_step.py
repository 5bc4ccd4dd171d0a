"""How near a training step comes to what this device can do: model FLOP/s over the measured matrix-product peak.

Model FLOPs count what the mathematics needs (see `generalist.train.flops`), attention in full; rematerialisation and
everything that is not a matrix product count as nothing. One update of AdamW included.
"""

import sys
import time
from dataclasses import replace

import jax
from common import matrix_peak, parser, save, store
from fake import full_batch
from shapes import Case, job

from generalist.agent.batch import abstract_batch
from generalist.agent.loss import LossConfig
from generalist.agent.sharding import batch_sharding, make_mesh, use_mesh
from generalist.train.flops import update_flops
from generalist.train.memory import keep_freed_memory
from generalist.train.step import create_state, jit_update


def cases(small: bool) -> list[Case]:
    if small:
        return [Case(width=64, layers=2, tokens=128, rows=2, images=share) for share in (0.0, 0.5)]
    plain = [
        Case(width=width, layers=layers, tokens=tokens, rows=max(1, 4096 // tokens // (width // 512 or 1)))
        for width, layers in ((128, 8), (256, 8), (512, 8), (1024, 4), (2048, 2))
        for tokens in (256, 1024, 2048)
    ]
    long = [case for case in plain if case.tokens == 1024 and case.width in (128, 512, 1024)]
    return plain + [replace(case, images=0.5) for case in long]


def gpu_cases(small: bool) -> list[Case]:
    """On an accelerator: the paper's three sizes at their real sequence length, in bfloat16."""
    if small:
        return cases(small=True)
    sizes = ((768, 8, 32), (1024, 24, 16), (2048, 24, 8))
    return [
        Case(width=width, layers=layers, tokens=1024, rows=rows, images=images, dtype="bfloat16", remat=remat)
        for width, layers, rows in sizes
        for images in (0.0, 0.5)
        for remat in (False, True)
    ]


def measure(case: Case, peak: float) -> dict:
    """One row of the table."""
    config, sizes, capacity = job(case)
    mesh = make_mesh(1)
    graphdef, state = create_state(config, sizes, mesh)
    with use_mesh(mesh):
        batch = jax.device_put(full_batch(capacity, case.rows, config.vocabulary), batch_sharding(mesh))
        begun = time.perf_counter()
        update = jit_update(config, graphdef, state, LossConfig(targets=capacity.targets))
        compiled = update.lower(state, abstract_batch(capacity, case.rows)).compile()
        compiling = time.perf_counter() - begun
        times = []
        for _ in range(6):
            begun = time.perf_counter()
            state, metrics = compiled(state, batch)
            jax.block_until_ready(metrics)
            times.append(time.perf_counter() - begun)
    second = sorted(times[1:])[len(times) // 2 - 1]
    flops = update_flops(config.agent, sizes, capacity, case.rows)
    return {
        "width": case.width,
        "layers": case.layers,
        "tokens": case.tokens,
        "rows": case.rows,
        "patches": case.patches,
        "dtype": case.dtype,
        "remat": case.remat,
        "step s": second,
        "tokens/s": case.rows * case.tokens / second,
        "GFLOP/s": flops / second / 1e9,
        "utilisation": flops / second / peak,
        "activations MB": compiled.memory_analysis().temp_size_in_bytes / 2**20,
        "compile s": compiling,
    }


def main() -> None:
    args = parser(__doc__.split("\n")[0])
    args.add_argument("--width", type=int, default=0, help="only this width")
    args.add_argument("--tokens", type=int, default=0, help="only this sequence length")
    given = args.parse_args()
    keep_freed_memory()
    table = cases if jax.default_backend() == "cpu" else gpu_cases
    chosen = [
        case for case in table(given.small) if given.width in (0, case.width) and given.tokens in (0, case.tokens)
    ]
    rows = []
    for case in chosen:
        # Beside each case: a machine's speed drifts with heat and neighbours.
        peak = matrix_peak(case.dtype)
        rows.append(measure(case, peak) | {"peak GFLOP/s": peak / 1e9})
        print(case, f"utilisation {rows[-1]['utilisation']:.2f}", file=sys.stderr)
        store(given.out, "training_step", rows)  # large shapes take long; what was measured is kept
    save(given.out, "training_step", rows)


if __name__ == "__main__":
    main()
