"""The choices of a layout: what the model is shown of an observation and of the past."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class LayoutOptions:
    """Choices that change what the model is shown; the defaults are Gato's, but for `ranges`.

    Args:
        continuous: a float observation as one token per value, or as one normalised vector token per array.
        ranges: a float value without useful bounds lies evenly between ends that are found in the data (a whole number
            has digits for these), or on the paper's fixed mu-law scale, which ends at +-256 (or has digits for all that
            its dtype holds); see `generalist.tokenizers.ranges`. For values shown as
            tokens, actions always among them.
        statistics: by what mean and spread vectors are normalised: those of the task's own demonstrations, or one for
            all tasks of its family that show arrays of the same shape at the same path ("space"). Shared, a place means
            the same in every task, and a task that is new finds them there.
        images: images as patches, or whole for a convolutional encoder.
        channel_axis: what the channels of an image are. "auto": three are colour, any other number so many grey
            pictures (a stack of frames, bands); "grey": each is a grey picture; "colour": each three are a colour
            picture, what is left over (alpha, depth) a grey one each; "rgb": the first three are colour, the others are
            left out.
        patch_size, channels: side of a square patch in pixels, and 1 (grey) or 3 (colour) channels.
        image_shape: (height, width, channels) to which whole images are brought.
        separator: a token between the observation and the action.
        past_actions: whether later timesteps may attend to the actions of earlier ones.
        actions: the tokens of an action in turn, each read before the next is predicted (sec. 2.4), or all of them
            directly from the last token of the observation: none of them has a place in the sequence, one pass gives
            the whole action, its tokens independent of each other given the observation. For past_actions="hidden"
            only.
        chunk: how many actions a timestep predicts: its own and those that follow in its episode (action chunks, Zhao
            et al. 2023), of which `DecodeConfig.play_chunk` are played before the agent looks again. More than 1 for
            past_actions="hidden" only, as a later timestep would see its own action in an earlier one's chunk.
        returns: "to_go" shows at every timestep, before the observation, what the episode will still return, as in
            decision transformers (Chen et al. 2021): one vector token, normalised by the demonstrations' mean and
            spread. In play it is a target, less the rewards received.
        target_quantile: the target is this quantile of the returns of the demonstrations that are trained on; it is
            stored in the run. 1 is the best of them.
        context: how many timesteps back a position may look, its own included; None for all.
        text_every: texts are shown at every so many timesteps of a segment, its first among them, and where they
            change; at most `context`, so that each timestep sees one.
        predict_text: whether text observations carry a loss.
        max_text_tokens: text observations are cut to this many ids, each; training says how many are.
        action_text_tokens: ids of a text action, which is filled up with `end`; a longer one is refused. None for as
            many as any text of its space may need, which is more than most commands have, and each is decoded in turn.
    """

    continuous: Literal["tokens", "vector"] = "tokens"
    ranges: Literal["data", "mu-law"] = "data"
    statistics: Literal["task", "space"] = "task"
    images: Literal["patches", "conv"] = "patches"
    channel_axis: Literal["auto", "grey", "colour", "rgb"] = "auto"
    patch_size: int = 16
    channels: int = 3
    image_shape: tuple[int, int, int] = (56, 56, 3)
    separator: bool = True
    past_actions: Literal["shown", "hidden"] = "shown"
    actions: Literal["sequential", "direct"] = "sequential"
    chunk: int = 1
    returns: Literal["hidden", "to_go"] = "hidden"
    target_quantile: float = 0.9
    context: int | None = None
    text_every: int = 1
    predict_text: bool = True
    max_text_tokens: int = 64
    action_text_tokens: int | None = None

    def __post_init__(self):
        object.__setattr__(self, "image_shape", tuple(self.image_shape))
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"LayoutOptions.{name} must be one of {allowed}, got {getattr(self, name)!r}")
        if self.actions == "direct" and self.past_actions == "shown":
            raise ValueError('LayoutOptions.actions "direct" shows no action at all: it needs past_actions="hidden"')
        if self.chunk > LONGEST_CHUNK:
            raise ValueError(f"LayoutOptions.chunk must be at most {LONGEST_CHUNK}, got {self.chunk}")
        if self.chunk > 1 and self.past_actions == "shown":
            raise ValueError(
                f"LayoutOptions.chunk {self.chunk} predicts later actions, which later timesteps would then see: it "
                'needs past_actions="hidden"'
            )
        for name in ("patch_size", "max_text_tokens", "action_text_tokens", "context", "chunk", "text_every"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"LayoutOptions.{name} must be at least 1, got {getattr(self, name)}")
        if self.context is not None and self.text_every > self.context:
            raise ValueError(
                f"LayoutOptions.text_every {self.text_every} leaves timesteps without a text: a position looks back "
                f"{self.context} (context)"
            )
        if not 0 <= self.target_quantile <= 1:
            raise ValueError(f"LayoutOptions.target_quantile must be in [0, 1], got {self.target_quantile}")
        if self.channels not in (1, 3):
            raise ValueError(f"LayoutOptions.channels must be 1 (grey) or 3 (colour), got {self.channels}")
        if len(self.image_shape) != 3 or min(self.image_shape) < 1 or self.image_shape[2] not in (1, 3):
            raise ValueError(f"LayoutOptions.image_shape must be (height, width, 1 or 3), got {self.image_shape}")


LONGEST_CHUNK = 1024
"""Actions of one chunk, each a token or more of every timestep: no memory may be asked for by a number alone."""

_CHOICES = {
    "continuous": ("tokens", "vector"),
    "ranges": ("data", "mu-law"),
    "statistics": ("task", "space"),
    "images": ("patches", "conv"),
    "channel_axis": ("auto", "grey", "colour", "rgb"),
    "past_actions": ("shown", "hidden"),
    "actions": ("sequential", "direct"),
    "returns": ("hidden", "to_go"),
}
