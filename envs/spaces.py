"""Gymnasium spaces as JSON, and values of nested spaces as flat lists of leaves.

A space is stored beside the demonstrations and comes back equal: bounds, dtypes and starts are exact. What a space
means to a model (tokens, layouts) is not decided here.
"""

from __future__ import annotations

import copy
import string
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

Path = tuple[str | int, ...]
"""Where a leaf stands: keys of Dict spaces (str) and positions in Tuple spaces (int), outermost first."""

MISSION_MAX_LENGTH = 512
SUPPORTED = "Box, Discrete, MultiDiscrete, MultiBinary, Text, and Dict and Tuple of them"


class _AllCharacters(frozenset):
    """Holds every character; those that it lists are examples, of one byte to four."""

    def __contains__(self, one: object) -> bool:
        return isinstance(one, str)


_EXAMPLES = _AllCharacters((*string.printable, "\u00e4", "\u20ac", "\U0001f916"))


class AnyText(spaces.Text):
    """Text of any characters, as people write instructions; samples are of `_EXAMPLES`.

    `spaces.Text` wants a list of its characters, which for data of others is known only once all of it was read.
    """

    def __init__(self, max_length: int, *, min_length: int = 0):
        super().__init__(max_length, min_length=min_length, charset=frozenset(_EXAMPLES))

    @property
    def character_set(self) -> frozenset[str]:
        return _EXAMPLES

    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and self.min_length <= len(x) <= self.max_length

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnyText) and super().__eq__(other)

    def __repr__(self) -> str:
        return f"AnyText({self.min_length}, {self.max_length})"


def space_to_json(space: gym.Space) -> dict[str, Any]:
    """The space as a dict that `json` writes and `space_from_json` turns into an equal space.

    MiniGrid's MissionSpace becomes a Text space of printable ASCII. Random state is not kept.

    Raises:
        ValueError: a kind of space that is not supported, named with its path inside `space`.
    """
    return _to_json(space, ())


def space_from_json(data: dict[str, Any]) -> gym.Space:
    """The space that `space_to_json` described. Raises ValueError for an unknown description."""
    kind = data.get("space")
    if kind not in _READERS:
        raise ValueError(f"unknown space {kind!r} in JSON: need one of {', '.join(sorted(_READERS))}")
    return _READERS[kind](data)


def space_leaves(space: gym.Space) -> list[tuple[Path, gym.Space]]:
    """Every leaf of a nested space with its path, in the order of the space's own keys and positions."""
    return list(_leaves(space, ()))


def value_at(value: Any, path: Path) -> Any:
    """The part of a nested value (dicts and tuples or lists) at `path`."""
    for key in path:
        value = value[key]
    return value


def build_value(space: gym.Space, leaf_values: Iterator[Any]) -> Any:
    """Nested dicts and tuples as in `space`; the leaves are drawn from `leaf_values` in the order of `space_leaves`."""
    if isinstance(space, spaces.Dict):
        return {key: build_value(child, leaf_values) for key, child in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(build_value(child, leaf_values) for child in space.spaces)
    return next(leaf_values)


UNCHANGING = (int, float, str, bytes, np.generic, type(None))


def own(value: Any) -> Any:
    """A copy of a nested value: for code that may change what it is handed, and of what may be changed where it is.

    Environments scale actions in place and show the same array again and again; policies normalise what they see.
    """
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, UNCHANGING):
        return value
    if isinstance(value, dict):
        return {key: own(inner) for key, inner in value.items()}
    if type(value) in (tuple, list):
        return type(value)(own(inner) for inner in value)
    return copy.deepcopy(value)


def take(tree: Any, index: Any) -> Any:
    """Row or rows `index` of every leaf of nested dicts and tuples."""
    if isinstance(tree, Mapping):
        return {key: take(value, index) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(take(value, index) for value in tree)
    return np.asarray(tree)[index]


def map_leaves(function: Callable[..., Any], space: gym.Space, *values: Any) -> Any:
    """`function(leaf_space, *leaf_values)` at every leaf; gives nested dicts and tuples as in `space`."""
    results = (function(leaf, *(value_at(value, path) for value in values)) for path, leaf in _leaves(space, ()))
    return build_value(space, results)


def is_mission_space(space: gym.Space) -> bool:
    """Whether it is MiniGrid's MissionSpace. MiniGrid is not imported: if it never was, no such space exists."""
    module = sys.modules.get("minigrid.core.mission")
    return module is not None and isinstance(space, module.MissionSpace)


def is_text(space: gym.Space) -> bool:
    """Whether values of this leaf are strings."""
    return isinstance(space, spaces.Text) or is_mission_space(space)


def path_name(path: Path) -> str:
    """A path for messages: `['arm'][0]`; empty for the space itself."""
    return "".join(f"[{key!r}]" for key in path)


def _leaves(space: gym.Space, path: Path) -> Iterator[tuple[Path, gym.Space]]:
    if isinstance(space, spaces.Dict):
        for key, child in space.spaces.items():
            yield from _leaves(child, (*path, key))
    elif isinstance(space, spaces.Tuple):
        for position, child in enumerate(space.spaces):
            yield from _leaves(child, (*path, position))
    else:
        yield path, space


def _to_json(space: gym.Space, path: Path) -> dict[str, Any]:
    if isinstance(space, spaces.Dict):
        return {"space": "Dict", "spaces": [[_key(key, path), _to_json(s, (*path, key))] for key, s in space.items()]}
    if isinstance(space, spaces.Tuple):
        return {"space": "Tuple", "spaces": [_to_json(s, (*path, i)) for i, s in enumerate(space.spaces)]}
    if isinstance(space, spaces.Box):
        return _box_to_json(space)
    if isinstance(space, spaces.Discrete):
        return {"space": "Discrete", "n": int(space.n), "start": int(space.start), "dtype": space.dtype.name}
    if isinstance(space, spaces.MultiDiscrete):
        arrays = {"nvec": space.nvec.tolist(), "start": space.start.tolist()}
        return {"space": "MultiDiscrete", "dtype": space.dtype.name, **arrays}
    if isinstance(space, spaces.MultiBinary):
        return {"space": "MultiBinary", "shape": list(space.shape)}
    if isinstance(space, spaces.Text):
        lengths = {"min_length": space.min_length, "max_length": space.max_length}
        return {
            "space": "Text",
            **lengths,
            "charset": None if isinstance(space, AnyText) else "".join(space.character_list),
        }
    if is_mission_space(space):
        return {"space": "Text", "min_length": 0, "max_length": MISSION_MAX_LENGTH, "charset": string.printable}
    where = f" at {path_name(path)}" if path else ""
    raise ValueError(f"a space of kind {type(space).__name__}{where} is not supported: need {SUPPORTED}")


def _key(key: Any, path: Path) -> str:
    if not isinstance(key, str):
        raise ValueError(f"key {key!r} of the Dict space at {path_name(path) or 'the top'} must be a str")
    return key


def _box_to_json(space: spaces.Box) -> dict[str, Any]:
    bounds = {"low": _numbers_to_json(space.low), "high": _numbers_to_json(space.high)}
    data = {"space": "Box", "shape": list(space.shape), "dtype": space.dtype.name, **bounds}
    for side in ("bounded_below", "bounded_above"):  # integer boxes keep infinite bounds only here
        bounded = getattr(space, side)
        if space.dtype.kind == "i" and not bounded.all():
            data[side] = bounded.ravel().tolist()
    return data


def _box_from_json(data: dict[str, Any]) -> spaces.Box:
    shape, dtype = tuple(data["shape"]), np.dtype(data["dtype"])
    low, high = (_numbers_from_json(data[side], shape, dtype) for side in ("low", "high"))
    box = spaces.Box(low, high, shape=shape, dtype=dtype.type)
    for side in ("bounded_below", "bounded_above"):
        if side in data:
            setattr(box, side, np.array(data[side], dtype=bool).reshape(shape))
    return box


def _numbers_to_json(values: np.ndarray) -> Any:
    """One number if all are the same, else a flat list; infinities as strings, because JSON has none."""
    flat = values.ravel().tolist()
    if flat and all(value == flat[0] for value in flat):
        return _number_to_json(flat[0])
    return [_number_to_json(value) for value in flat]


def _number_to_json(value: float) -> Any:
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def _numbers_from_json(data: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    kind = float if dtype.kind == "f" else int
    if isinstance(data, list):
        return np.array([kind(value) for value in data], dtype=dtype).reshape(shape)
    return np.full(shape, kind(data), dtype=dtype)


def _text_from_json(charset: str | None, **lengths: int) -> spaces.Text:
    return AnyText(**lengths) if charset is None else spaces.Text(**lengths, charset=charset)


def _multi_discrete_from_json(data: dict[str, Any]) -> spaces.MultiDiscrete:
    dtype = np.dtype(data["dtype"])
    nvec, start = np.array(data["nvec"], dtype=dtype), np.array(data["start"], dtype=dtype)
    return spaces.MultiDiscrete(nvec, dtype=dtype.type, start=start)


def _multi_binary_from_json(data: dict[str, Any]) -> spaces.MultiBinary:
    shape = data["shape"]
    return spaces.MultiBinary(shape[0] if len(shape) == 1 else shape)


_READERS: dict[str, Callable[[dict[str, Any]], gym.Space]] = {
    "Box": _box_from_json,
    "Discrete": lambda data: spaces.Discrete(data["n"], start=data["start"], dtype=np.dtype(data["dtype"]).type),
    "MultiDiscrete": _multi_discrete_from_json,
    "MultiBinary": _multi_binary_from_json,
    "Text": lambda data: _text_from_json(data["charset"], max_length=data["max_length"], min_length=data["min_length"]),
    "Dict": lambda data: spaces.Dict([(key, space_from_json(child)) for key, child in data["spaces"]], sort_keys=False),
    "Tuple": lambda data: spaces.Tuple([space_from_json(child) for child in data["spaces"]]),
}
