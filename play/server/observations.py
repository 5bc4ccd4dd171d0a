"""What a client sent, made a member of a space of the task, or refused before it meets what others sent."""

from typing import Any

import numpy as np
from gymnasium import spaces

from generalist.tokenizers.space import Leaf, assemble, is_text, leaves, pick


def member_of(space: Any, sent: Any, name: str) -> Any:
    """What was sent with the dtypes of the space; `name` is what messages call it.

    Raises:
        ValueError: a part is missing, of another shape or kind, not finite, or out of the range of a discrete space;
            with its path.
    """
    found = {leaf.keys: _value(leaf, pick(sent, leaf)) for leaf in leaves(space, name)}
    return assemble(space, lambda keys: found[keys])


def _value(leaf: Leaf, sent: Any) -> Any:
    space = leaf.space
    if is_text(space):
        if not isinstance(sent, str):
            raise ValueError(f"{leaf.path} must be a text, got {type(sent).__name__}")
        return sent
    try:
        value = np.asarray(sent)
    except ValueError:
        raise ValueError(f"{leaf.path} is not an array: its rows differ in length") from None
    if value.dtype.kind not in "?biuf":
        raise ValueError(f"{leaf.path} must be numbers, got {value.dtype}")
    if value.shape != space.shape:
        raise ValueError(f"{leaf.path} has shape {value.shape}, the task has {space.shape}")
    if not np.isfinite(value).all():
        raise ValueError(f"{leaf.path} has values that are not finite")
    _check_range(leaf, value)
    return value.astype(space.dtype)[()] if space.shape == () else value.astype(space.dtype)


def _check_range(leaf: Leaf, value: np.ndarray) -> None:
    """Of whole numbers: what lies outside has no token, or becomes another number."""
    space = leaf.space
    if isinstance(space, spaces.Discrete):
        low, high = space.start, space.start + space.n - 1
    elif isinstance(space, spaces.MultiDiscrete):
        low, high = space.start, space.start + space.nvec - 1
    elif isinstance(space, spaces.MultiBinary):
        low, high = 0, 1
    elif np.issubdtype(space.dtype, np.integer):
        low, high = np.iinfo(space.dtype).min, np.iinfo(space.dtype).max
    else:
        return
    if (value < low).any() or (value > high).any() or (value != np.round(value)).any():
        raise ValueError(f"{leaf.path} must be whole numbers from {low} to {high}")
