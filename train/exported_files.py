"""The files of an exported folder; nothing here waits for JAX."""

from pathlib import Path

CONFIG, WEIGHTS, CARD, SCORES = "config.json", "model.safetensors", "README.md", "scores.json"
TEXT_MODEL, EVALUATION = "tokenizer.model", "evaluation.json"
"""As in a run directory."""
FILES = (CONFIG, WEIGHTS, CARD, SCORES, TEXT_MODEL, EVALUATION)
"""All that such a folder may hold, and all of it that is read or fetched."""


def is_exported(directory: Path) -> bool:
    """Whether a folder is one, or meant to be."""
    return (directory / WEIGHTS).is_file()
