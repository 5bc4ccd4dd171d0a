"""One value of a step or an episode in an RLDS record: its place, its space, and its rows as arrays.

Decoded here and not by TFDS, because sizes are bounded before anything is unpacked, and whole columns are decoded at
once.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.demonstrations.public.pictures import MOST_VALUES, decode_picture
from generalist.demonstrations.public.reader import array_space, text_space

Coding = Literal["numbers", "bytes", "zlib", "picture", "text", "codes"]
"""How a value is stored: "bytes" and "zlib" are raw arrays, "codes" are numbers that are the bytes of a text."""
CODINGS: dict[str, Coding] = {"none": "numbers", "bytes": "bytes", "zlib": "zlib"}
"""By TFDS's name of a tensor's encoding."""


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A value that can be read.

    Args:
        path: in the record, "steps/observation/state" or "episode_metadata/language_instruction".
        shape, dtype: of one value.
        classes: number of values of a class label, 0 for anything else.
    """

    path: str
    coding: Coding
    shape: tuple[int, ...] = ()
    dtype: np.dtype = np.dtype(object)
    classes: int = 0

    @property
    def per_step(self) -> bool:
        return self.path.startswith("steps/")

    @property
    def is_text(self) -> bool:
        return self.coding in ("text", "codes")

    @property
    def space(self) -> gym.Space:
        """Without bounds, as the format has none."""
        if self.is_text:
            return text_space()
        if self.classes:
            return spaces.Discrete(self.classes, dtype=self.dtype.type)
        return array_space(self.shape, self.dtype)

    def rows(self, values: Sequence[Any]) -> Any:
        """All rows of a column: an array with a leading axis, or a list of str.

        Raises:
            ValueError: values that are not of this shape, type or coding.
        """
        if self.coding == "text":
            return [_text(value) for value in values]
        if self.coding == "picture":
            return np.stack([decode_picture(data, self.shape) for data in values] or [self._none()])[: len(values)]
        if self.coding in ("bytes", "zlib"):
            return np.stack([self._raw(data) for data in values] or [self._none()])[: len(values)]
        size = math.prod(self.shape)
        if size and len(values) % size:
            raise ValueError(f"has {len(values)} numbers, which are no rows of shape {self.shape}")
        # Integers of 64 bits without a sign are stored as if they had one.
        found = np.array(values, np.int64 if self.dtype == np.uint64 else self.dtype)
        found = found.view(np.uint64) if self.dtype == np.uint64 else found
        found = found.reshape(-1, *self.shape) if size else found.reshape(0, *self.shape)
        return [_text(bytes(row.tolist()).rstrip(b"\0")) for row in found] if self.coding == "codes" else found

    def _none(self) -> np.ndarray:
        return np.zeros(self.shape, self.dtype)

    def _raw(self, data: bytes) -> np.ndarray:
        wanted = math.prod(self.shape) * self.dtype.itemsize
        if self.coding == "zlib":
            try:
                data = zlib.decompressobj().decompress(data, wanted + 1)
            except zlib.error as cause:
                raise ValueError(f"is not compressed with zlib ({cause})") from cause
        if len(data) != wanted:
            raise ValueError(f"has {len(data)} bytes, need {wanted} for {self.dtype} of shape {self.shape}")
        return np.frombuffer(data, self.dtype).reshape(self.shape)


@dataclass(frozen=True)
class Unreadable:
    """A value that cannot be read, and why."""

    path: str
    why: str


def leaves_of(features: Any) -> dict[str, Leaf | Unreadable]:
    """Everything that TFDS's features describe, by its path in a record."""
    return {path: _leaf(path, feature) for path, feature in _walk(features, "")}


def as_codes(leaf: Leaf) -> Leaf:
    """An array of small integers as the text whose UTF-8 bytes they are, padded with zeros, as `language_table` has."""
    return replace(leaf, coding="codes")


def _walk(feature: Any, path: str) -> Iterator[tuple[str, Any]]:
    import tensorflow_datasets as tfds

    if isinstance(feature, Mapping) or hasattr(feature, "items"):
        for key, child in feature.items():
            yield from _walk(child, f"{path}/{key}".lstrip("/"))
    elif path == "steps" and isinstance(feature, tfds.features.Sequence):
        yield from _walk(feature.feature, path)
    else:
        yield path, feature


def _leaf(path: str, feature: Any) -> Leaf | Unreadable:
    import tensorflow_datasets as tfds

    kind, shape = type(feature).__name__, getattr(feature, "shape", None)
    if not isinstance(feature, (tfds.features.Image, tfds.features.Tensor)):
        return Unreadable(path, f"a {kind}")
    if None in (shape or ()):
        return Unreadable(path, f"of shape {shape}, without a fixed size")
    given: Any = feature.np_dtype
    shape, dtype = tuple(shape or ()), np.dtype(given)
    if math.prod(shape) > MOST_VALUES:
        return Unreadable(path, f"of shape {shape}, larger than {MOST_VALUES:,} values")
    if isinstance(feature, tfds.features.Image):
        if dtype != np.uint8:
            return Unreadable(path, f"a picture of {dtype}")
        return Leaf(path=path, coding="picture", shape=shape, dtype=dtype)
    if isinstance(feature, tfds.features.Text) or (dtype.kind in "OSU" and not shape):
        return Leaf(path=path, coding="text")
    if dtype.kind not in "biuf":
        return Unreadable(path, f"of type {dtype} and shape {shape}")
    coding = CODINGS[feature._encoding.value]
    classes = int(feature.num_classes or 0) if isinstance(feature, tfds.features.ClassLabel) else 0
    return Leaf(path=path, coding=coding, shape=shape, dtype=dtype, classes=classes)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError as cause:
        raise ValueError(f"has a text that is not UTF-8 at byte {cause.start}") from cause
