"""safetensors files of strangers: nothing is believed, and nothing allocated, before it is checked.

Also the sizes of arrays that JSON beside such a file speaks of. Nothing in either can be executed.
"""

import json
import struct
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

LONGEST_HEADER = 64 * 2**20
"""Bytes of a header, or of a file of JSON."""
LARGEST_SPACE, LARGEST_SPACES = 2**24, 2**27
"""Values of one observation or action that a file may speak of, and bytes of all; arrays of them are made of it."""
SHAPES = ("shape", "image_shape")
"""Fields that hold the shape of an array."""


def check_header(path: Path) -> int:
    """The length of the header, which stands in the first eight bytes and is not to be trusted.

    Raises:
        ValueError: the file is too short for it.
    """
    with path.open("rb") as file:
        first = file.read(8)
    if len(first) < 8:
        raise ValueError("it is too short")
    [length] = struct.unpack("<Q", first)
    if length > min(LONGEST_HEADER, path.stat().st_size - 8):
        raise ValueError(f"its header says that it has {length} bytes; it is truncated, or no safetensors file")
    return length


def metadata_of(path: Path) -> dict[str, str]:
    """The words in a file's header. Raises ValueError or SafetensorError where it is no such file."""
    check_header(path)
    with safe_open(path, framework="numpy") as file:
        return file.metadata() or {}


def read_arrays(
    path: Path, shapes: Mapping[str, tuple[int, ...]], check: Callable[[str, np.ndarray], None]
) -> dict[str, np.ndarray]:
    """The arrays of a file, float32, each read only if it has the shape that is expected of it.

    Args:
        shapes: of all arrays by name; the file must have these and no others.
        check: called with the name and value of each; raises ValueError.

    Raises:
        ValueError, SafetensorError: it holds something else.
    """
    check_header(path)
    with safe_open(path, framework="numpy") as file:
        if wrong := sorted({*file.keys()} ^ {*shapes}):
            raise ValueError(f"it holds other parameters than it says: {', '.join(wrong[:3])}")
        parts = {name: file.get_slice(name) for name in shapes}
        for name, shape in shapes.items():
            part = parts[name]
            if part.get_dtype() != "F32" or tuple(part.get_shape()) != shape:
                raise ValueError(f"{name} is {part.get_dtype()} {part.get_shape()}, needed is F32 {list(shape)}")
        found = {}
        for name in shapes:
            found[name] = file.get_tensor(name)
            check(name, found[name])
            if not np.isfinite(found[name]).all():
                raise ValueError(f"{name} holds values that are not finite")
    return found


def check_spaces(*parts: Any) -> None:
    """Raises ValueError for a shape that is none, arrays that no memory would hold, and values that are no numbers."""
    stack: list[Any] = [*parts]
    total = 0
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            # That of a space; the agent's own, which may be bfloat16, is one of two words.
            numbers = np.dtype(said := part.get("dtype", "u1") if "space" in part else "u1")
            if numbers.kind not in "biuf":
                raise ValueError(f"{said!r} is no type of numbers")
            total += numbers.itemsize * sum(_size(part[key]) for key in SHAPES if key in part)
        if total > LARGEST_SPACES:
            raise ValueError(f"it speaks of arrays of {total:,} bytes, more than {LARGEST_SPACES:,}")
        stack += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()


def _size(shape: Any) -> int:
    """Values of an array of that shape, as JSON has it."""
    if not isinstance(shape, list) or not all(type(each) is int and each >= 0 for each in shape):
        raise ValueError(f"{repr(shape)[:80]} is no shape of an array")
    if (size := prod(shape)) > LARGEST_SPACE:
        raise ValueError(f"it speaks of an array of {' x '.join(map(str, shape))}")
    return size


def json_of(text: str) -> Any:
    """Strict JSON. Raises ValueError, also for NaN and infinities."""
    return json.loads(text, parse_constant=_refused)


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
