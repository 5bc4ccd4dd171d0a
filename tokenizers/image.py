"""Images as 16x16 patches (Reed et al. 2022, sec. 2.1 and appendix C.3), or whole for a convolutional encoder.

What counts as an image is a rule on the space alone; see `image_format`. A symbolic uint8 grid of 8x8 cells or more
with bounds 0 and 255 is taken for an image too: give such a space tighter bounds. What its channels are, a space does
not say: three are taken for colour, one for grey, any other number for so many grey pictures (frames that were stacked,
bands of a spectrum), one after the other, so that none is lost; a `ChannelRule` says otherwise.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from gymnasium import spaces
from PIL import Image

from generalist.tokenizers.space import Leaf

SMALLEST = 8
"""Height and width from which a uint8 Box is an image (MiniGrid's symbolic 7x7x3 view is not)."""
MOST_FRAMES = 16
POSITIONS = 128
"""Size of the tables of patch rows and columns."""
GREY = 127
"""What is shown beside an image that is no multiple of the patch size."""


ChannelRule = Literal["auto", "grey", "colour", "rgb"]
"""What the channels of an image are. "auto": three are a colour picture, any other number so many grey ones. "grey":
each is a grey picture. "colour": each three are a colour picture, what is left over (alpha, depth) a grey one each.
"rgb": the first three are a colour picture, and the others are left out."""


@dataclass(frozen=True)
class ImageFormat:
    """How a Box holds images: `stack` of them along the first axis, `channels` first or last, read by `rule`."""

    stack: int
    height: int
    width: int
    channels: int
    channels_first: bool
    rule: ChannelRule = "auto"

    @cached_property
    def pictures(self) -> tuple[tuple[int, ...], ...]:
        """The channels of each picture that one of the stack holds: three of a colour picture, one of a grey one."""
        count = self.channels
        if self.rule == "rgb" and count > 3:
            return ((0, 1, 2),)
        threes = self.rule in ("colour", "rgb") or (self.rule == "auto" and count == 3)
        coloured = count - count % 3 if threes else 0
        colour = tuple((at, at + 1, at + 2) for at in range(0, coloured, 3))
        return colour + tuple((at,) for at in range(coloured, count))

    @property
    def frames(self) -> int:
        """Pictures in all."""
        return self.stack * len(self.pictures)


def image_format(space, rule: ChannelRule = "auto") -> ImageFormat | None:
    """The format if the space is an image, else None.

    An image is a uint8 Box with bounds 0 and 255 everywhere, height and width at least 8, of shape (H, W), (H, W, C),
    (C, H, W), or a stack (K, H, W, C) or (K, C, H, W), with at most 16 channels and a stack of at most 16. Of three
    axes, the last is the channels if it has 1, 3 or 4, else the first if that has 1 or 3, else the shorter of them; of
    four, the last if it can be. Float images are tensors, of which nothing is lost: wrap the environment to give uint8.
    """
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or not 2 <= len(space.shape) <= 4:
        return None
    if space.low.any() or (space.high != 255).any():
        return None
    possible = (each for each in _formats(space.shape, rule) if min(each.height, each.width) >= SMALLEST)
    return next((each for each in possible if 0 < each.channels <= MOST_FRAMES and 0 < each.stack <= MOST_FRAMES), None)


def _formats(shape: tuple[int, ...], rule: ChannelRule) -> list[ImageFormat]:
    """What the axes may be, the likeliest first."""
    if len(shape) == 2:
        return [ImageFormat(1, *shape, 1, False, rule)]
    stack, (one, two, three) = (shape[0] if len(shape) == 4 else 1), shape[-3:]
    last, first = ImageFormat(stack, one, two, three, False, rule), ImageFormat(stack, two, three, one, True, rule)
    is_last = len(shape) == 4 or three in (1, 3, 4) or (three < one and one not in (1, 3))
    return [last, first] if is_last else [first, last]


def frames(values: np.ndarray, form: ImageFormat, channels: int, path: str) -> np.ndarray:
    """[n, *shape] uint8 -> uint8[n, frames, H, W, channels].

    Grey is repeated to colour, colour becomes grey by ITU-R 601 weights.

    Raises:
        ValueError: not uint8.
    """
    x = np.asarray(values)
    if x.dtype != np.uint8:
        raise ValueError(f"{path}: an image must be uint8, got {x.dtype}")
    if form.channels_first:
        x = np.moveaxis(x, -3, -1)
    x = x.reshape(len(x), form.stack, form.height, form.width, form.channels)
    if form.pictures == (tuple(range(form.channels)),):
        return _in_channels(x, channels)
    each = [_in_channels(x[..., list(picture)], channels) for picture in form.pictures]
    return np.stack(each, axis=2).reshape(len(x), form.frames, form.height, form.width, channels)


def _in_channels(x: np.ndarray, channels: int) -> np.ndarray:
    """Pictures [..., 1 or 3] with 1 or 3 `channels`."""
    if x.shape[-1] == channels:
        return x
    if channels == 3:
        return np.repeat(x, 3, axis=-1)
    return np.rint(x @ np.asarray([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)[..., None]


def intervals(height: int, width: int, patch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Quantised pixel intervals of every patch in raster order, int32[P, 2] rows and columns, both ends included.

    The interval is divided by the image's resolution, multiplied by 128 and rounded (not floored: appendix C.3's
    example has 0.6 -> 77); 128 is clamped to 127. The part of a patch that lies outside the image does not count.
    """

    def edges(size: int) -> np.ndarray:
        first = np.arange(0, size, patch_size)
        both = np.stack([first, np.minimum(first + patch_size, size)], axis=-1) / size
        return np.minimum(np.rint(both * POSITIONS), POSITIONS - 1).astype(np.int32)

    rows, cols = edges(height), edges(width)
    return np.repeat(rows, len(cols), axis=0), np.tile(cols, (len(rows), 1))


@dataclass(frozen=True)
class PatchField:
    """An image Box as patches: frames one after the other, raster order in each."""

    leaf: Leaf
    form: ImageFormat
    patch_size: int
    channels: int

    @property
    def count(self) -> int:
        return self.form.frames * -(-self.form.height // self.patch_size) * -(-self.form.width // self.patch_size)

    @property
    def intervals(self) -> tuple[np.ndarray, np.ndarray]:
        rows, cols = intervals(self.form.height, self.form.width, self.patch_size)
        return np.tile(rows, (self.form.frames, 1)), np.tile(cols, (self.form.frames, 1))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """[n, *shape] -> uint8[n, count, patch_size * patch_size * channels]; the network normalises them.

        Values of a patch are in order (row, column, channel). An image that is no multiple of the patch size is padded
        at the bottom and right with the middle grey.
        """
        x = frames(values, self.form, self.channels, self.leaf.path)
        n, k, height, width, channels = x.shape
        size = self.patch_size
        rows, cols = -(-height // size), -(-width // size)
        pad = rows * size - height, cols * size - width
        around = ((0, 0), (0, 0), (0, pad[0]), (0, pad[1]), (0, 0))
        padded = np.pad(x, around, constant_values=GREY) if any(pad) else x
        blocks = padded.reshape(n, k, rows, size, cols, size, channels).swapaxes(3, 4)
        return blocks.reshape(n, self.count, size * size * channels)


@dataclass(frozen=True)
class ShownImages:
    """What `WholeImageField.encode` gave, kept to be encoded later: uint8[n, frames, *image_shape]."""

    values: np.ndarray


@dataclass(frozen=True)
class WholeImageField:
    """An image Box as one uint8 image per frame, resized to `image_shape` when it differs."""

    VERSION: ClassVar[int] = 1
    """Of the resizing; images that were kept by another version are made anew."""

    leaf: Leaf
    form: ImageFormat
    image_shape: tuple[int, int, int]

    @property
    def count(self) -> int:
        return self.form.frames

    def encode(self, values: np.ndarray | ShownImages) -> np.ndarray:
        """[n, *shape] -> uint8[n, frames, *image_shape]; shrinks by area, enlarges bilinearly."""
        height, width, channels = self.image_shape
        if isinstance(values, ShownImages):
            if values.values.shape[1:] != (self.form.frames, *self.image_shape):
                raise ValueError(f"{self.leaf.path}: images of {values.values.shape[1:]} are not {self.image_shape}")
            return values.values
        x = frames(values, self.form, channels, self.leaf.path)
        if x.shape[2:4] == (height, width):
            return x
        shrinks = height <= x.shape[2] and width <= x.shape[3]
        method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
        out = np.empty((len(x), self.form.frames, *self.image_shape), np.uint8)
        for at in np.ndindex(out.shape[:2]):
            picture = Image.fromarray(x[at] if channels == 3 else x[at][..., 0])
            out[at] = np.asarray(picture.resize((width, height), method)).reshape(self.image_shape)
        return out
