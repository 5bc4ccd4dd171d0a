"""Images as 16x16 patches (Reed et al. 2022, sec. 2.1 and appendix C.3), or whole for a convolutional encoder.

What counts as an image is a rule on the space alone; see `image_format`. A symbolic uint8 grid of 8x8 cells or more
with bounds 0 and 255 is taken for an image too: give such a space tighter bounds.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from gymnasium import spaces
from PIL import Image

from generalist.tokenizers.space import Leaf

SMALLEST = 8
"""Height and width from which a uint8 Box is an image (MiniGrid's symbolic 7x7x3 view is not)."""
MOST_FRAMES = 16
POSITIONS = 128
"""Size of the tables of patch rows and columns."""


@dataclass(frozen=True)
class ImageFormat:
    """How a Box holds images: `frames` of them, `channels` first or last."""

    frames: int
    height: int
    width: int
    channels: int
    channels_first: bool


def image_format(space) -> ImageFormat | None:
    """The format if the space is an image, else None.

    An image is a uint8 Box with bounds 0 and 255 everywhere, height and width at least 8, of shape
    (H, W); (H, W, C) with C in 1, 3, 4; (C, H, W) with C in 1, 3; or a stack of 2 to 16 frames: (K, H, W) grey,
    (K, H, W, C). Float images are tensors: wrap the environment to give uint8.
    """
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or not 2 <= len(space.shape) <= 4:
        return None
    found = _format(space.shape)
    if found is None or min(found.height, found.width) < SMALLEST or space.low.any() or (space.high != 255).any():
        return None
    return found


def _format(shape: tuple[int, ...]) -> ImageFormat | None:
    one, two, three, four = (*shape, 0, 0)[:4]
    if len(shape) == 2:
        return ImageFormat(1, one, two, 1, False)
    if len(shape) == 4:
        return ImageFormat(one, two, three, four, False) if four in (1, 3, 4) and one <= MOST_FRAMES else None
    if three in (1, 3, 4):
        return ImageFormat(1, one, two, three, False)
    if one in (1, 3):
        return ImageFormat(1, two, three, one, True)
    return ImageFormat(one, two, three, 1, False) if 2 <= one <= MOST_FRAMES else None


def frames(values: np.ndarray, form: ImageFormat, channels: int, path: str) -> np.ndarray:
    """[n, *shape] uint8 -> uint8[n, frames, H, W, channels].

    Alpha is dropped, grey is repeated to colour, colour becomes grey by ITU-R 601 weights.

    Raises:
        ValueError: not uint8.
    """
    x = np.asarray(values)
    if x.dtype != np.uint8:
        raise ValueError(f"{path}: an image must be uint8, got {x.dtype}")
    if form.channels_first:
        x = np.moveaxis(x, -3, -1)
    x = x.reshape(len(x), form.frames, form.height, form.width, form.channels)
    x = x[..., :3]
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
        """[n, *shape] -> float32[n, count, patch_size * patch_size * channels] in [-1, 1] / sqrt(patch_size).

        Values of a patch are in order (row, column, channel). An image that is no multiple of the patch size is padded
        at the bottom and right with 0, the middle grey.
        """
        x = frames(values, self.form, self.channels, self.leaf.path)
        n, k, height, width, channels = x.shape
        size = self.patch_size
        rows, cols = -(-height // size), -(-width // size)
        pad = rows * size - height, cols * size - width
        padded = np.pad(x, ((0, 0), (0, 0), (0, pad[0]), (0, pad[1]), (0, 0))) if any(pad) else x
        pixels = _split(padded, size).reshape(n, self.count, size * size * channels)
        scaled = np.subtract(pixels, np.float32(127.5), dtype=np.float32)
        scaled *= np.float32(1 / 127.5 / np.sqrt(size))
        if any(pad):
            inside = np.pad(
                np.ones(x.shape[2:], np.float32)[None, None], ((0, 0), (0, 0), (0, pad[0]), (0, pad[1]), (0, 0))
            )
            scaled *= np.tile(_split(inside, size).reshape(1, -1, scaled.shape[-1]), (1, k, 1))
        return scaled


def _split(x: np.ndarray, size: int) -> np.ndarray:
    """[n, k, H, W, C] -> [n, k, rows, cols, size, size, C]."""
    n, k, height, width, channels = x.shape
    return x.reshape(n, k, height // size, size, width // size, size, channels).swapaxes(3, 4)


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
