"""A lower bound of the time of a compiled program on a chip, from its text: what it computes, reads and exchanges.

Each instruction takes at least as long as its products at the chip's peak, and as what it reads and writes at the
bandwidth of its memory (Williams et al. 2009). A transfer between chips counts for what does not run meanwhile. Not in
it: starting kernels, the inside of library calls, waiting, and what a TPU keeps beside its processor. A loop whose
length the text does not say counts once.
"""

import math
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from generalist.train.collectives import as_collective
from generalist.train.program import Instruction, Program, arrays, inside, read_program
from generalist.train.topologies import Chip

NOTHING = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id"}
NOTHING |= {"iota", "opt-barrier", "while", "conditional", "call"}
SLICES = {"slice", "dynamic-slice", "gather"}
CONTRACTED = re.compile(r"lhs_contracting_dims=\{([\d,]*)\}")
LABELS = re.compile(r"dim_labels=(\w+)_(\w+)->(\w+)")
WINDOW = re.compile(r"window=\{([^}]*)\}")


@dataclass(frozen=True)
class Roofline:
    """Seconds of one run on one chip, at least.

    Args:
        compute, memory, network: of each alone, if nothing else took time.
        exposed: of the network, what nothing else covers.
        bound: instructions one after the other, and what is exposed of transfers.
        flops, bytes: of products, and to and from the chip's memory.
    """

    compute: float = 0.0
    memory: float = 0.0
    network: float = 0.0
    exposed: float = 0.0
    bound: float = 0.0
    flops: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: "Roofline") -> "Roofline":
        return Roofline(*(mine + its for mine, its in zip(self._all, other._all, strict=True)))

    def __mul__(self, times: int) -> "Roofline":
        return Roofline(*(times * each for each in self._all))

    @property
    def _all(self) -> tuple[float, ...]:
        return self.compute, self.memory, self.network, self.exposed, self.bound, self.flops, self.bytes


def roofline(text: str, chip: Chip) -> Roofline:
    """Of compiled HLO text."""
    return _Reader(read_program(text), chip).of(None)


@dataclass(frozen=True)
class _Reader:
    program: Program
    chip: Chip

    def of(self, name: str | None) -> Roofline:
        """Of a computation; None is the entry."""
        total, begun = Roofline(), {}
        for each in self.program.computations.get(name or self.program.entry, ()):
            if bodies := inside(each):
                of_bodies = [self.of(body) for body in bodies]
                total += max(of_bodies, key=lambda body: body.bound) * self.program.trips(each)
            elif collective := as_collective(each):
                seconds = collective.size * (2 if collective.kind == "all-reduce" else 1) / self.chip.network
                if each.operation.endswith("-start"):
                    begun[each.name] = (total.bound, seconds)
                    total += Roofline(network=seconds)
                else:
                    total += Roofline(network=seconds, exposed=seconds, bound=seconds)
            elif each.operation.endswith("-done"):
                since, seconds = begun.pop(each.operands[0], (total.bound, 0.0)) if each.operands else (0.0, 0.0)
                waited = max(0.0, seconds - (total.bound - since))
                total += Roofline(exposed=waited, bound=waited)
            elif each.operation not in NOTHING:
                total += self._of_one(each, name or self.program.entry)
        return total

    def _of_one(self, each: Instruction, computation: str) -> Roofline:
        flops, moved = self._flops(each, computation), self._bytes(each, computation)
        compute, memory = flops / self.chip.flops, moved / self.chip.bandwidth
        return Roofline(compute, memory, 0.0, 0.0, max(compute, memory), flops, moved)

    def _flops(self, each: Instruction, computation: str) -> float:
        """Of products; of a fusion, of those inside it."""
        convolution = each.operation == "convolution" or "__cudnn$conv" in each.rest
        if not convolution and each.operation != "dot":
            inner = each.called("calls") if each.operation == "fusion" else []
            return sum(self._flops(one, name) for name in inner for one in self.program.computations.get(name, ()))
        if convolution:
            left, right = (self._dimensions(name, computation) for name in each.operands[:2])
            return _of_convolution(each, left, right)
        found, left = CONTRACTED.search(each.rest), self._dimensions(each.operands[0], computation)
        if not found or not left:
            return 0.0
        out = math.prod(arrays(each.shape)[0][1])
        return 2 * out * math.prod(left[int(at)] for at in found[1].split(",") if at)

    def _dimensions(self, name: str, computation: str) -> tuple[int, ...]:
        known = self._by_name.get((computation, name))
        return arrays(known.shape)[0][1] if known else ()

    def _bytes(self, each: Instruction, computation: str) -> float:
        """What is written and read; of a slice what it takes, of an update what is changed."""
        read = [self._by_name.get((computation, name)) for name in each.operands]
        if each.operation in SLICES:
            return 2 * each.stored
        if each.operation == "dynamic-update-slice":
            return 2 * (read[1].stored if len(read) > 1 and read[1] else 0)
        if each.operation != "fusion" or not (inner := each.called("calls")):
            return each.stored + sum(one.stored for one in read if one)
        [name, *_] = inner
        own = self.program.computations.get(name, ())
        moved = sum(self._read(one, own) for one in own if one.operation == "parameter")
        updates = [one for one in own if one.operation == "dynamic-update-slice" and one.stored == each.stored]
        if not updates:
            return moved + each.stored
        changed = self._by_name.get((name, updates[0].operands[1]))
        return moved + (changed.stored if changed else 0)

    def _read(self, parameter: Instruction, own: tuple[Instruction, ...]) -> int:
        """Bytes that a fusion reads of what it is given."""
        users = [one for one in own if parameter.name in one.operands]
        whole = 0
        for user in users:
            first = user.operands[0] == parameter.name
            if first and user.operation in SLICES:
                whole += user.stored
            elif not (first and user.operation == "dynamic-update-slice"):
                return parameter.stored
        return min(whole, parameter.stored)

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], Instruction]:
        return {(name, each.name): each for name, all_ in self.program.computations.items() for each in all_}


def _of_convolution(each: Instruction, given: tuple[int, ...], kernel: tuple[int, ...]) -> float:
    """FLOPs of a convolution without what its kernel meets outside of what is given.

    A TPU's compiler writes every product as one, those of many heads with a kernel as wide as there are heads, of which
    all but one place lie outside.
    """
    labels, window = LABELS.search(each.rest), WINDOW.search(each.rest)
    if not labels or not given or not kernel:
        return 0.0
    out = arrays(each.shape)[0][1]
    sizes = [
        dict(zip(label, size, strict=False)) for label, size in zip(labels.groups(), (given, kernel, out), strict=True)
    ]
    flops = 2.0 * sizes[2]["b"] * sizes[2]["f"] * sizes[1]["i"]
    said = dict(part.split("=") for part in window[1].split()) if window else {}
    for at in range(len(labels[1]) - 2):
        stride, before, between, apart = (
            int(said[name].split("x")[at].split("_")[0]) if name in said else default
            for name, default in (("stride", 1), ("pad", 0), ("lhs_dilate", 1), ("rhs_dilate", 1))
        )
        size, width, places = (each[str(at)] for each in sizes)
        met = np.arange(places)[:, None] * stride + np.arange(width)[None, :] * apart - before
        flops *= ((met >= 0) & (met <= (size - 1) * between) & (met % between == 0)).sum()
    return float(flops)
