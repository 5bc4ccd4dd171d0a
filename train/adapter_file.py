"""The file of an adapter: arrays with their names, and JSON that says what they are, as one safetensors file.

Nothing in it can be executed, and nothing of it is believed before it is checked: sizes, names and the JSON's own
checksum first, then each array, which is read only if it has the shape that is expected of it.
"""

import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from generalist.envs.checksums import CHECKSUM, sealed, unsealed
from generalist.envs.files import write_atomically

FORMAT = 1
KEY = "generalist"
"""Of the file's metadata, whose value is the JSON."""
LONGEST_HEADER = 64 * 2**20
"""Bytes; the JSON stands in it."""
LARGEST_SPACE, LARGEST_SPACES = 2**24, 2**27
"""Values of one observation or action that a file may speak of, and of all; arrays of that size are made to read it."""
REPAIR = "fetch it again, or export it again"


def digest_of(array: np.ndarray) -> str:
    """SHA-256 of an array's shape and little-endian float32 values."""
    values = np.ascontiguousarray(array, dtype="<f4")
    found = hashlib.sha256(f"{list(values.shape)}".encode())
    found.update(values.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def fingerprint(digests: Mapping[str, str]) -> str:
    """One SHA-256 for parameters by name: of the lines `name digest`, sorted. The same on every machine."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def write_adapter(path: Path, said: Mapping[str, Any], parameters: Mapping[str, np.ndarray]) -> None:
    """Write the file whole or not at all; `said` is JSON. Raises WritingError."""
    digests = {name: digest_of(value) for name, value in parameters.items()}
    text = json.dumps(sealed({"format": FORMAT, **said, "parameters": digests}), allow_nan=False)
    arrays = {name: np.ascontiguousarray(value, dtype="<f4") for name, value in parameters.items()}
    write_atomically(path, save(arrays, metadata={KEY: text}))


def read_said(path: Path) -> dict[str, Any]:
    """The JSON of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no adapter, of another format, truncated or damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no adapter {path}; make one with: generalist adapter export RUN --out FILE")
    with _whole(path):
        _check_header(path)
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(KEY)
        if text is None:
            raise ValueError("it is a safetensors file, but no adapter of generalist")
        said = json.loads(text, parse_constant=_refused)
        if not isinstance(said, dict) or CHECKSUM not in said:
            raise ValueError("its description has no checksum")
        said = unsealed(said)
    if said.get("format") != FORMAT:
        raise ValueError(f"{path} is an adapter of format {said.get('format')!r}, this version reads {FORMAT}")
    with _whole(path):
        _check_spaces(said)
    return said


def read_parameters(
    path: Path, said: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """The arrays of the file, if they are those of `shapes` and what was written. Raises ValueError as `read_said`."""
    with _whole(path), safe_open(path, framework="numpy") as file:
        if wrong := sorted({*file.keys()} ^ {*shapes} or {*said["parameters"]} ^ {*shapes}):
            raise ValueError(f"it holds other parameters than it says: {', '.join(wrong[:3])}")
        found = {}
        for name, shape in shapes.items():
            part = file.get_slice(name)
            if part.get_dtype() != "F32" or tuple(part.get_shape()) != shape:
                raise ValueError(f"{name} is {part.get_dtype()} {part.get_shape()}, needed is F32 {list(shape)}")
            found[name] = file.get_tensor(name)
            if digest_of(found[name]) != said["parameters"][name]:
                raise ValueError(f"{name} is not what was written")
            if not np.isfinite(found[name]).all():
                raise ValueError(f"{name} holds values that are not finite")
    return found


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """What goes wrong inside is the file's fault, and the error says so."""
    try:
        yield
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = " ".join(f"{error}".split())[:300] or type(error).__name__
        raise ValueError(f"the adapter {path} is damaged: {why}; {REPAIR}") from error


def _check_header(path: Path) -> None:
    """Its length stands in the first eight bytes, and is not to be trusted."""
    with path.open("rb") as file:
        first = file.read(8)
    if len(first) < 8:
        raise ValueError("it is too short")
    [length] = struct.unpack("<Q", first)
    if length > min(LONGEST_HEADER, path.stat().st_size - 8):
        raise ValueError(f"its header says that it has {length} bytes; it is truncated, or no safetensors file")


def _check_spaces(said: Any) -> None:
    """Raises ValueError for shapes whose arrays no memory would hold, and for values that are no numbers."""
    stack: list[Any] = [said["layouts"], said["config"]]
    total = 0
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            for key, value in part.items():
                if key == "dtype" and np.dtype(value).kind not in "biuf":
                    raise ValueError(f"{value!r} is no type of numbers")
                numbers = isinstance(value, list) and value and all(isinstance(each, int) for each in value)
                if numbers and key.endswith("shape"):
                    total += (size := prod(map(abs, value)))
                    if size > LARGEST_SPACE:
                        raise ValueError(f"it speaks of an array of {' x '.join(map(str, value))}")
        if total > LARGEST_SPACES:
            raise ValueError(f"it speaks of arrays of {total:,} values, more than {LARGEST_SPACES:,}")
        stack += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()


def _refused(constant: str) -> Callable:
    raise ValueError(f"{constant} is no JSON")
