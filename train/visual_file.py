"""The file of a visual tokenizer: arrays with their names, and JSON that says their form, as one safetensors file."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save

from generalist.envs.checksums import CHECKSUM, sealed, unsealed
from generalist.envs.files import user_cache, write_atomically
from generalist.tokenizers.visual import PICTURES, SHIPPED, VisualConfig, VisualTokenizer, parameter_shapes
from generalist.train.adapter_file import digest_of
from generalist.train.tensor_file import json_of, metadata_of, read_arrays

FORMAT = 2
KEY = "generalist-visual"
"""Of the file's metadata, whose value is the JSON."""
LARGEST = 2**28
"""Bytes that the parameters of one may have."""


def write_visual(path: Path, tokenizer: VisualTokenizer) -> None:
    """Write the file whole or not at all. Raises WritingError."""
    arrays = {name: np.ascontiguousarray(value, "<f4") for name, value in tokenizer.parameters.items()}
    digests = {name: digest_of(value) for name, value in arrays.items()}
    said = sealed({"format": FORMAT, "config": asdict(tokenizer.config), "parameters": digests})
    write_atomically(path, save(arrays, metadata={KEY: json.dumps(said, allow_nan=False)}))


def read_visual(path: str | Path) -> VisualTokenizer:
    """The tokenizer of a file, or one of `SHIPPED` by its name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is none, of another format, truncated or damaged.
    """
    path = SHIPPED.get(str(path), Path(path))
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no visual tokenizer {path}; give {PICTURES}, which is part of this package, or make one with: "
            f"generalist tokenizer train-images CORPUS --out {path}"
        )
    try:
        text = metadata_of(path).get(KEY)
        if text is None:
            raise ValueError("it is a safetensors file, but no visual tokenizer")
        said = json_of(text)
        if not isinstance(said, dict) or CHECKSUM not in said:
            raise ValueError("its description has no checksum")
        said = unsealed(said)
        if said["format"] != FORMAT:
            raise ValueError(f"it has format {said['format']!r}, this version reads {FORMAT}")
        config = VisualConfig(**said["config"])
        shapes = parameter_shapes(config)
        if (size := 4 * sum(int(np.prod(shape)) for shape in shapes.values())) > LARGEST:
            raise ValueError(f"its parameters have {size:,} bytes, more than {LARGEST:,}")

        def check(name: str, value: np.ndarray) -> None:
            if digest_of(value) != said["parameters"][name]:
                raise ValueError(f"{name} is not what was written")

        return VisualTokenizer(config, read_arrays(path, shapes, check), cache=user_cache() / "visual")
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        why = " ".join(f"{error}".split())[:300]
        raise ValueError(f"{path} is no visual tokenizer, or damaged: {why}") from error
