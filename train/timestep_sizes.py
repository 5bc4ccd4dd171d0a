"""How many tokens a timestep of stored spaces has at least, counted before a layout is made of them.

A layout holds arrays with an entry for each of its tokens, and a few bytes of JSON may speak of any number of them.
"""

from collections.abc import Mapping
from math import prod
from typing import Any

from generalist.envs.spaces import space_from_json
from generalist.tokenizers.continuous import is_float_box
from generalist.tokenizers.image import PatchField, WholeImageField, image_format
from generalist.tokenizers.options import LayoutOptions
from generalist.tokenizers.space import Leaf, is_text, leaves
from generalist.train.config import TrainConfig

MOST_TOKENS = 2**22
"""Tokens of a timestep that a folder may speak of, those of all its tasks together."""


def check_timesteps(config: TrainConfig, stored: Mapping[str, Any], values: int) -> None:
    """Raises ValueError where a timestep has more tokens, or a vector more values, than the network can read.

    Args:
        stored: by task, what `generalist.train.sources.layout_to_json` gives, with sizes as in `check_spaces`.
        values: how many parameters there are, at most: each value of a vector has one or more.
    """
    window, total = config.agent.window, 0
    for source in config.sources:
        task, options = source.task, source.layout
        seen = leaves(space_from_json(stored[task]["observation_space"]), "observation")
        acts = leaves(space_from_json(stored[task]["action_space"]), "action")
        chosen = options.chunk * sum(_chosen(leaf) for leaf in acts)
        written = 0 if options.actions == "direct" else chosen
        tokens = sum(_shown(leaf, options) for leaf in seen) + written
        if tokens - 1 > window:  # the last token of a hidden action is never read
            raise ValueError(f"a timestep of {task} has {tokens:,} tokens or more, its agent.window is {window:,}")
        if chosen - written > values:
            raise ValueError(f"an action of {task} has {chosen:,} tokens, more than there are parameters ({values:,})")
        total += tokens + chosen - written
        if total > MOST_TOKENS:
            raise ValueError(f"timesteps of its tasks have {total:,} tokens or more, more than {MOST_TOKENS:,}")
        longest = max((_numbers(leaf) for leaf in seen if _is_vector(leaf, options)), default=0)
        if longest > values:
            raise ValueError(f"a vector of {task} has {longest:,} values, more than there are parameters ({values:,})")


def _shown(leaf: Leaf, options: LayoutOptions) -> int:
    """Tokens of an observation's leaf, at least: a text may be empty, a number has a digit or more."""
    if is_text(leaf.space):
        return 0
    if form := image_format(leaf.space, options.channel_axis):
        if options.images == "patches":
            return PatchField(leaf, form, options.patch_size, options.channels).count
        return WholeImageField(leaf, form, options.image_shape).count
    return 1 if _is_vector(leaf, options) else _numbers(leaf)


def _chosen(leaf: Leaf) -> int:
    """Tokens of an action's leaf, at least: a character of a text has a token or more."""
    return leaf.space.max_length if is_text(leaf.space) else _numbers(leaf)


def _is_vector(leaf: Leaf, options: LayoutOptions) -> bool:
    return options.continuous == "vector" and is_float_box(leaf.space)


def _numbers(leaf: Leaf) -> int:
    return prod(int(each) for each in leaf.space.shape)
