"""Ids back to actions and observations: what `Layout.decode_actions` and `Layout.decode_observation` do."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.tokenizers.continuous import ContinuousField
from generalist.tokenizers.discrete import DiscreteField
from generalist.tokenizers.encoding import Form
from generalist.tokenizers.space import assemble


def decoded_actions(form: Form, space: gym.Space, ids: np.ndarray, values: np.ndarray | None) -> list[Any]:
    """See `Layout.decode_actions`."""
    ids, count = np.asarray(ids), form.tokens_of_action
    for name, given in (("ids", ids), ("values", values)):
        if given is not None and (np.ndim(given) != 2 or np.shape(given) != (len(ids), count)):
            raise ValueError(f"{name} must have shape [n, {count}], got {np.shape(given)}")
    if values is not None:
        values = np.asarray(values, np.float64)
        for part, start, stop in form.action_spans:
            if isinstance(part, ContinuousField) and np.isnan(values[:, start:stop]).any():
                raise ValueError("values of continuous action tokens contain NaN; the model's output is broken")
    found: dict[tuple, list] = {}
    for part, start, stop in form.action_spans:
        stacked = part.decode(ids[:, start:stop], None if values is None else values[:, start:stop])
        found[part.leaf.keys] = [_element(part, stacked, i) for i in range(len(ids))]
    return [assemble(space, lambda keys, i=i: found[keys][i]) for i in range(len(ids))]


def decoded_observation(form: Form, space: gym.Space, ids: np.ndarray) -> Any:
    """See `Layout.decode_observation`."""
    ids = np.asarray(ids)
    split = len(ids) - (form.observation_spans[-1][2] if form.observation_spans else 0)
    ends = np.flatnonzero(ids[:split] == form.vocabulary.end)
    parts = np.split(ids[:split], ends)
    found: dict[tuple, Any] = {}
    for index, leaf in enumerate(form.text_leaves):
        words = parts[index] if index < len(parts) else ids[:0]
        found[leaf.keys] = form.text.decode(words[words != form.vocabulary.end])
    for part, start, stop in form.observation_spans:
        if isinstance(part, ContinuousField | DiscreteField):
            found[part.leaf.keys] = _element(part, part.decode(ids[None, split + start : split + stop]), 0)
    return assemble(space, found.get)


def _element(part: Any, stacked: Any, i: int) -> Any:
    """Member i: a Discrete's is a NumPy scalar, a Box's is an array even without axes."""
    return stacked[i, ...] if isinstance(part.leaf.space, spaces.Box) else stacked[i]
