"""Gymnasium spaces as flat, ordered leaves: where each value lies inside nested Dict and Tuple spaces.

Order is the one of Reed et al. 2022, sec. 2.1: lexicographic by key path. Nothing here knows about tokens.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from gymnasium import spaces

TEXT, IMAGE, TENSOR = "text", "image", "tensor"


@dataclass(frozen=True)
class Leaf:
    """One non-container space and the keys that lead to it.

    Args:
        keys: Dict keys and Tuple indices from the root.
        path: the same as one string, the root's name first: "observation/arm/0" ("/" in a key is "~1", "~" is "~0").
        space: a Box, Discrete, MultiDiscrete, MultiBinary, Text or MissionSpace; each field knows which it takes.
    """

    keys: tuple[Any, ...]
    path: str
    space: Any


def leaves(space: gym.Space, root: str) -> tuple[Leaf, ...]:
    """Every leaf of `space` in canonical order: Dict keys sorted as strings, Tuple indices ascending.

    Raises:
        ValueError: a space that cannot be tokenized (Graph, Sequence, OneOf, ...), by its path; two keys of one Dict
            that read the same.
    """
    found: list[Leaf] = []
    _walk(space, (), root, found)
    return tuple(found)


def _walk(space: gym.Space, keys: tuple, path: str, found: list[Leaf]) -> None:
    if isinstance(space, spaces.Dict):
        names = [str(key) for key in space.spaces]
        if len(set(names)) < len(names):
            raise ValueError(f"{path}: two keys of this Dict read the same: {sorted(names)}; rename one of them")
        for key in ordered(space):
            _walk(space.spaces[key], (*keys, key), f"{path}/{_escape(str(key))}", found)
    elif isinstance(space, spaces.Tuple):
        for index, part in enumerate(space.spaces):
            _walk(part, (*keys, index), f"{path}/{index}", found)
    elif is_text(space) or isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        found.append(Leaf(keys, path, space))
    else:
        raise ValueError(
            f"{path}: a space of type {type(space).__name__} cannot be tokenized; supported are Box, Discrete, "
            "MultiDiscrete, MultiBinary, Text and MiniGrid's MissionSpace, nested in Dict and Tuple. "
            "Wrap the environment so that it gives one of these"
        )


def ordered(space: spaces.Dict) -> list:
    """Keys of a Dict in lexicographic order of their text."""
    return sorted(space.spaces, key=str)


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def is_text(space: gym.Space) -> bool:
    """Text, or MiniGrid's MissionSpace (recognised by name, so that minigrid need not be installed)."""
    return isinstance(space, spaces.Text) or is_mission(space)


def is_mission(space: gym.Space) -> bool:
    return any(base.__name__ == "MissionSpace" for base in type(space).__mro__)


def pick(tree: Any, leaf: Leaf) -> Any:
    """The value at a leaf of a nested value.

    Raises:
        ValueError: the nested value lacks a key on the way to the leaf.
    """
    for key in leaf.keys:
        try:
            tree = tree[key]
        except (KeyError, IndexError, TypeError):
            has = sorted(map(str, tree)) if isinstance(tree, Mapping) else type(tree).__name__
            raise ValueError(f"{leaf.path}: the value has no {key!r}, it has {has}") from None
    return tree


def assemble(space: gym.Space, value_at: Callable[[tuple], Any], keys: tuple = ()) -> Any:
    """A nested value with the structure of `space`, its leaves given by `value_at(keys)`."""
    if isinstance(space, spaces.Dict):
        return {key: assemble(part, value_at, (*keys, key)) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(assemble(part, value_at, (*keys, index)) for index, part in enumerate(space.spaces))
    return value_at(keys)
