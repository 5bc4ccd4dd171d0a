"""What `generalist.play.standalone.policy` must know of a task, as JSON: what its layout reckons with."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.agent.config import DecodeConfig
from generalist.play.policy import played_of_chunk
from generalist.play.standalone.policy import FORMAT
from generalist.tokenizers.continuous import LARGEST, NOISE, SMALLEST_STD, ContinuousField, VectorField
from generalist.tokenizers.discrete import DiscreteField
from generalist.tokenizers.image import PatchField, WholeImageField
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.text import TextField


def check_exportable(task: str, layout: Layout, decode: DecodeConfig) -> None:
    """Raises ValueError, with the way out, where a task's policy cannot stand alone."""
    if layout.return_field is not None:
        raise ValueError(f"{task}: an agent that is shown what its episode will return cannot be exported so")
    if any(isinstance(part, TextField) for part in layout.action_fields):
        raise ValueError(f"{task}: its actions are text, which an exported policy does not write")
    if played_of_chunk(decode, layout) > 1 and layout.options.context != 1:
        raise ValueError(
            f"{task}: an agent that looks back at earlier timesteps is exported to play one action of each chunk: "
            "play_chunk 1"
        )
    for part in layout.image_fields:
        shape = (part.form.height, part.form.width)
        if isinstance(part, WholeImageField) and shape != part.image_shape[:2]:
            raise ValueError(
                f"{part.leaf.path}: images of {shape} are resized to {part.image_shape[:2]} before the network reads "
                "them, which an exported policy does not do; let the environment give them in that size"
            )


def recipe_of(task: str, layout: Layout, decode: DecodeConfig) -> dict[str, Any]:
    """Everything but the sizes of what the program remembers. Raises ValueError as `check_exportable`."""
    check_exportable(task, layout, decode)
    hidden = layout.options.past_actions == "hidden"
    written = 0 if layout.direct else layout.action_tokens - hidden
    return {
        "format": FORMAT,
        "task": task,
        "observation": [_observed(part) for part, *_ in layout.observation_spans],
        "text": {
            "keys": [list(leaf.keys) for leaf in layout.text_leaves],
            "limits": list(layout.text_limits),
            "most": text_tokens(layout),
            "every": layout.options.text_every,
            "end": layout.vocabulary.end,
        },
        "past_actions": layout.options.past_actions,
        "advance": observed_tokens(layout) + written,
        "tokens_of_action": layout.tokens_of_action,
        "action": [_acted(part, start, stop) for part, start, stop in layout.action_spans],
        "action_tree": _tree(layout.action_space, [part.leaf.keys for part in layout.action_fields]),
    }


def text_tokens(layout: Layout) -> int:
    """Positions of the longest texts of a timestep, with the marks between them."""
    return sum(layout.text_limits) + max(len(layout.text_leaves) - 1, 0)


def observed_tokens(layout: Layout) -> int:
    """Positions of a timestep that are neither text nor action: the observation's and the separator."""
    return layout.max_observation_tokens - text_tokens(layout) + layout.options.separator


def _observed(part: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"keys": list(part.leaf.keys), "path": part.leaf.path}
    if isinstance(part, VectorField):
        mean, std = np.asarray(part.mean), np.asarray(part.std)
        std = np.where(std > np.maximum(SMALLEST_STD * np.abs(mean), NOISE), std, 1.0)
        return {**said, "kind": "vector", "mean": np.clip(mean, -LARGEST, LARGEST).tolist(), "std": std.tolist()}
    if isinstance(part, PatchField | WholeImageField):
        return {**said, "kind": "pixels"}
    return {**said, **_numbers(part)}


def _acted(part: ContinuousField | DiscreteField, start: int, stop: int) -> dict[str, Any]:
    space = part.leaf.space
    said: dict[str, Any] = {"at": [start, stop], "dtype": str(space.dtype), "shape": list(space.shape)}
    return {**said, **_numbers(part)}


def _numbers(part: ContinuousField | DiscreteField) -> dict[str, Any]:
    """How numbers become ids, and ids numbers."""
    if isinstance(part, ContinuousField):
        part.check()
        return {"kind": "bins", "start": part.tokenizer.start, "bins": part.tokenizer.bins, **part.scale}
    return {"kind": "digits", "start": part.tokenizer.start, "base": part.tokenizer.size, **part.digits}


def _tree(space: gym.Space, keys: Sequence[tuple], at: tuple = ()) -> Any:
    """The structure of an action: where a leaf stands, its number among the fields."""
    if isinstance(space, spaces.Dict):
        return {"dict": [[key, _tree(part, keys, (*at, key))] for key, part in space.spaces.items()]}
    if isinstance(space, spaces.Tuple):
        return {"tuple": [_tree(part, keys, (*at, index)) for index, part in enumerate(space.spaces)]}
    return list(keys).index(at)
