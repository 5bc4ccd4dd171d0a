"""A compiled program, from its text (HLO after scheduling): computations of instructions, and how often each runs."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

BITS = {"pred": 8, "s8": 8, "u8": 8, "s16": 16, "u16": 16, "bf16": 16, "f16": 16, "s32": 32, "u32": 32, "f32": 32}
BITS |= {"s64": 64, "u64": 64, "f64": 64}
ARRAY = re.compile(r"\b([a-z]+[0-9]*)\[([0-9,]*)\]")
LAYOUT = re.compile(r"\{[^}]*\}")
ON_CHIP = re.compile(r"[a-z]+[0-9]*\[[0-9,]*\]\{[^}]*S\([1-9][^}]*\}")
"""An array that lies in memory of its own beside the processor, such as a TPU's VMEM."""
INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.+?) ([a-z][\w\-]*)\((.*)$")
CALLED = re.compile(r"\b(body|condition|to_apply|calls|branch_computations)=(?:\{([^}]*)\}|%?([\w.\-]+))")
TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
COUNT = re.compile(r"(\d+)\)")
"""The value of a constant that a counter is compared with."""
SCOPE = re.compile(r'op_name="([^"]*)"')


@dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Args:
        shape: type of its result, as written.
        operands: names of what it reads.
        rest: its attributes, as written; of a constant its value before them.
        root: its result is that of its computation.
    """

    name: str
    shape: str
    operation: str
    operands: tuple[str, ...]
    rest: str
    root: bool

    @property
    def scope(self) -> str:
        """What it is for, as JAX names the operation."""
        found = SCOPE.search(self.rest)
        return found[1] if found else ""

    def called(self, *kinds: str) -> list[str]:
        """Names of the computations that it runs, of these kinds of attributes."""
        found = [(several or one).split(",") for kind, several, one in CALLED.findall(self.rest) if kind in kinds]
        return [each.strip().lstrip("%") for group in found for each in group]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of each array of its result."""
        return _bytes_of(self.shape)

    @cached_property
    def stored(self) -> int:
        """Bytes of its result that lie in the chip's main memory."""
        return sum(_bytes_of(ON_CHIP.sub("", self.shape)))


@dataclass(frozen=True)
class Program:
    """Computations by name, in the order in which their instructions were scheduled."""

    computations: dict[str, tuple[Instruction, ...]]
    entry: str

    def runs(self) -> Iterator[tuple[Instruction, int]]:
        """Every instruction that is run by itself, and how often; of a choice, all branches."""
        yield from self._runs(self.entry, 1)

    def _runs(self, name: str, times: int) -> Iterator[tuple[Instruction, int]]:
        for each in self.computations.get(name, ()):
            yield each, times
            for body in inside(each):
                yield from self._runs(body, times * self.trips(each))

    def trips(self, each: Instruction) -> int:
        """How often the body of a loop runs; 1 where that is not known.

        A TPU's compiler does not write it: then it is what the condition compares a counter with, which begins at 0 in
        the loops of JAX.
        """
        if each.operation != "while":
            return 1
        if found := TRIPS.search(each.rest):
            return int(found[1])
        own = {one.name: one for name in each.called("condition") for one in self.computations.get(name, ())}
        for one in own.values():
            if one.root and one.operation == "compare" and "direction=LT" in one.rest:
                count = COUNT.match(own[one.operands[1]].rest) if one.operands[1] in own else None
                return int(count[1]) if count else 1
        return 1


def inside(each: Instruction) -> list[str]:
    """The computations whose instructions run one after the other where this one stands."""
    if each.operation == "while":
        return each.called("body")
    if each.operation == "conditional":
        return each.called("branch_computations")
    return each.called("to_apply") if each.operation == "call" else []


def read_program(text: str) -> Program:
    """The program of compiled HLO text."""
    found: dict[str, tuple[Instruction, ...]] = {}
    entry = name = ""
    mine: list[Instruction] = []
    for line in text.splitlines():
        if line and not line[0].isspace() and line.rstrip().endswith("{") and "HloModule" not in line:
            name = line.removeprefix("ENTRY ").lstrip("%").split(" ")[0].split("(")[0]
            entry, mine = (name if line.startswith("ENTRY") else entry), []
        elif line.startswith("}"):
            found[name] = tuple(mine)
        elif match := INSTRUCTION.match(line):
            root, own, shape, operation, after = match.groups()
            end = _closing(after)
            operands = tuple(re.findall(r"%([\w.\-]+)", after[:end]))
            rest = after if operation == "constant" else after[end:]
            mine.append(Instruction(own, shape, operation, operands, rest, bool(root)))
    return Program(found, entry)


def arrays(shape: str) -> list[tuple[str, tuple[int, ...]]]:
    """(type, dimensions) of each array of a type as HLO writes it."""
    found = ARRAY.findall(LAYOUT.sub("", shape))
    return [(kind, tuple(int(size) for size in dims.split(",") if size)) for kind, dims in found]


def _bytes_of(shape: str) -> tuple[int, ...]:
    return tuple(BITS.get(kind, 0) // 8 * math.prod(dims) for kind, dims in arrays(shape))


def _closing(text: str) -> int:
    """Where the bracket closes that was opened before the text."""
    depth = 1
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return at
    return len(text)
