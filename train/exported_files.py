"""The files of an exported folder; nothing here waits for JAX."""

from pathlib import Path

CONFIG, WEIGHTS, CARD, SCORES = "config.json", "model.safetensors", "README.md", "scores.json"
TEXT_MODEL, VISUAL, EVALUATION = "tokenizer.model", "visual.safetensors", "evaluation.json"
"""As in a run directory."""
LARGEST = 64 * 2**20
"""Bytes of a file that is not the parameters."""
LARGEST_WEIGHTS = 64 * 2**30
"""Bytes of the parameters that are fetched."""
FILES = (CONFIG, WEIGHTS, CARD, SCORES, TEXT_MODEL, VISUAL, EVALUATION)
"""All that such a folder may hold, and all of it that is read or fetched."""


def is_exported(directory: Path) -> bool:
    """Whether a folder is one, or meant to be."""
    return (directory / WEIGHTS).is_file()


def check_small(directory: Path) -> None:
    """Raises ValueError, with its name, for a file beside the parameters that is larger than any such is."""
    for name in FILES:
        path = directory / name
        if name != WEIGHTS and path.exists() and not (path.is_file() and path.stat().st_size <= LARGEST):
            raise ValueError(f"{path} is no file of at most {LARGEST:,} bytes, as it would be in an export")
