"""Observations as rows of numbers and actions as columns, for the plain baselines; any space of Gymnasium.

This is not the tokenizer: scikit-learn wants one flat row per step. Spaces are flattened depth first, keys of `Dict` in
lexicographic order.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.envs.spaces import Path, is_text, space_leaves, value_at

MAX_DISTINCT = 4096
"""A discrete component with more values than this is one-hot over the commonest of the demonstrations."""

LONG_TEXT = 1024
"""Characters: a text that may have more seldom comes a second time, and is seen by its words."""

FARTHEST = 1e3
"""Standardised numbers are clipped to this many standard deviations."""


def leaves(space: gym.Space) -> list[tuple[Path, gym.Space]]:
    """The spaces inside `space` that hold values, each with the path to it, in lexicographic order of the paths."""
    return sorted(space_leaves(space), key=lambda leaf: leaf[0])


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How one leaf becomes numbers.

    kind: "pixels" divided by 255; "numbers" standardised by `mean` and `std`; "bits" as they are; "one_hot" over
    `distinct`, one table of values per component, all zeros for a value not in it; "words" counted, those of the one
    table in `distinct`, over the length of all counts, so that the distance of two texts is that of their directions.
    """

    path: Path
    kind: str
    mean: np.ndarray | float = 0.0
    std: np.ndarray | float = 1.0
    distinct: tuple[dict[Any, int], ...] = ()

    def __call__(self, values: Any) -> np.ndarray:
        """Values of the leaf [N, ...] -> [N, F] float32."""
        if self.kind == "words":
            return _counted(values, self.distinct[0])
        if self.kind == "one_hot":
            columns = _components(values)
            return np.concatenate([_one_hot(*pair) for pair in zip(columns, self.distinct, strict=True)], axis=1)
        flat = np.asarray(values).reshape(len(values), -1)
        if self.kind == "pixels":
            return flat.astype(np.float32) / np.float32(255)
        if self.kind == "bits":
            return flat.astype(np.float32)
        scaled = (np.nan_to_num(flat.astype(np.float64)) - self.mean) / self.std
        return np.clip(scaled, -FARTHEST, FARTHEST).astype(np.float32)


@dataclass(frozen=True)
class Features:
    """Observations -> one matrix [N, F] float32; fitted by `fit_features`."""

    encodings: tuple[Encoding, ...]

    def stacked(self, observations: Any) -> np.ndarray:
        """Observations as a tree of arrays with a leading axis N, as the demonstrations store them."""
        return np.concatenate([encode(value_at(observations, encode.path)) for encode in self.encodings], axis=1)

    def listed(self, observations: Sequence[Any]) -> np.ndarray:
        """Observations as a list of N, as environments return them."""
        rows = [encode([value_at(one, encode.path) for one in observations]) for encode in self.encodings]
        return np.concatenate(rows, axis=1)


def fit_features(space: gym.Space, observations: Any) -> Features:
    """Features of a space, with the means, spreads and distinct values of `observations` (leaves [N, ...])."""
    return Features(tuple(_encoding(path, leaf, value_at(observations, path)) for path, leaf in leaves(space)))


def _encoding(path: Path, leaf: gym.Space, values: Any) -> Encoding:
    if isinstance(leaf, spaces.Box):
        if leaf.dtype == np.uint8 and len(leaf.shape) >= 2:
            return Encoding(path=path, kind="pixels")
        flat = np.nan_to_num(np.asarray(values).reshape(len(values), -1).astype(np.float64))
        std = flat.std(axis=0)
        return Encoding(path=path, kind="numbers", mean=flat.mean(axis=0), std=np.where(std > 1e-6, std, 1.0))
    if isinstance(leaf, spaces.MultiBinary):
        return Encoding(path=path, kind="bits")
    if is_text(leaf) and getattr(leaf, "max_length", 0) > LONG_TEXT:
        return Encoding(path=path, kind="words", distinct=(_table([word for text in values for word in _words(text)]),))
    return Encoding(path=path, kind="one_hot", distinct=tuple(_table(column) for column in _components(values)))


def _components(values: Any) -> list[list[Any]]:
    """Strings [N] or integers [N, ...] as columns of N plain Python values, which a dictionary can find."""
    if len(values) and isinstance(values[0], str):
        return [list(values)]
    return np.asarray(values).reshape(len(values), -1).T.tolist()


def _table(values: list[Any]) -> dict[Any, int]:
    common = sorted(value for value, _ in Counter(values).most_common(MAX_DISTINCT))
    return {value: index for index, value in enumerate(common)}


def _one_hot(values: list[Any], table: dict[Any, int]) -> np.ndarray:
    rows = np.zeros((len(values), len(table)), np.float32)
    for row, value in enumerate(values):
        if (column := table.get(value)) is not None:
            rows[row, column] = 1
    return rows


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def _counted(texts: Sequence[str], table: dict[Any, int]) -> np.ndarray:
    rows = np.zeros((len(texts), len(table)), np.float32)
    for row, text in zip(rows, texts, strict=True):
        for word in _words(text):
            if (column := table.get(word)) is not None:
                row[column] += 1
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)
