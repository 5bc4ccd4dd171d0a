"""The file of an adapter: arrays with their names, and JSON that says what they are, as one safetensors file.

Nothing in it can be executed, and nothing of it is believed before it is checked: sizes, names and the JSON's own
checksum first, then each array, which is read only if it has the shape that is expected of it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save

from generalist.envs.checksums import CHECKSUM, sealed, unsealed
from generalist.envs.files import write_atomically
from generalist.train.tensor_file import check_spaces, json_of, metadata_of, read_arrays

FORMAT = 1
KEY = "generalist"
"""Of the file's metadata, whose value is the JSON."""
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
        text = metadata_of(path).get(KEY)
        if text is None:
            raise ValueError("it is a safetensors file, but no adapter of generalist")
        said = json_of(text)
        if not isinstance(said, dict) or CHECKSUM not in said:
            raise ValueError("its description has no checksum")
        said = unsealed(said)
    if said.get("format") != FORMAT:
        raise ValueError(f"{path} is an adapter of format {said.get('format')!r}, this version reads {FORMAT}")
    with _whole(path):
        check_spaces(said["layouts"], said["config"])
    return said


def read_parameters(
    path: Path, said: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """The arrays of the file, if they are those of `shapes` and what was written. Raises ValueError as `read_said`."""

    def check(name: str, value: np.ndarray) -> None:
        if digest_of(value) != said["parameters"][name]:
            raise ValueError(f"{name} is not what was written")

    with _whole(path):
        if wrong := sorted({*said["parameters"]} ^ {*shapes}):
            raise ValueError(f"it holds other parameters than it says: {', '.join(wrong[:3])}")
        return read_arrays(path, shapes, check)


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """What goes wrong inside is the file's fault, and the error says so."""
    try:
        yield
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = " ".join(f"{error}".split())[:300] or type(error).__name__
        raise ValueError(f"the adapter {path} is damaged: {why}; {REPAIR}") from error
