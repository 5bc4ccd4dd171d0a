"""What the devices of a mesh exchange in a compiled program: every collective, how often it runs and what it moves."""

from collections import Counter
from dataclasses import dataclass

from generalist.train.program import Instruction, arrays, read_program

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
BOTH = ("all-gather-start", "reduce-scatter-start", "collective-permute-start")
"""Whose results are what they read and what they write."""


@dataclass(frozen=True, order=True)
class Collective:
    """One collective of a program.

    Args:
        kind: one of `KINDS`.
        size: bytes on one device of what it reads or writes, whichever is more.
        largest: of its largest array: compilers join several into one.
        scope: what it is for, as JAX names the operation.
    """

    kind: str
    size: int
    largest: int
    scope: str


def collectives(text: str) -> Counter[Collective]:
    """How often each collective of a compiled program runs, from its HLO text."""
    found: Counter[Collective] = Counter()
    for each, times in read_program(text).runs():
        if collective := as_collective(each):
            found[collective] += times
    return found


def as_collective(each: Instruction) -> Collective | None:
    """What an instruction exchanges; None for others, and for the end of a transfer."""
    kind = each.operation.removesuffix("-start")
    if kind not in KINDS:
        return None
    sizes = [
        size for size, (_, dims) in zip(each.sizes, arrays(each.shape), strict=True) if dims or len(each.sizes) == 1
    ]
    if each.operation in BOTH:  # scalars of a tuple count transfers
        half = len(sizes) // 2
        sizes = max(sizes[:half], sizes[half:], key=sum)
    return Collective(kind, sum(sizes), max(sizes, default=0), each.scope)
