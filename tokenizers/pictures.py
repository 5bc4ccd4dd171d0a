"""How pictures become tokens: of colours, as patches or whole; of any bands, as patches that hold all of them."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from gymnasium import spaces

from generalist.tokenizers.image import ImageFormat, WholeImageField
from generalist.tokenizers.space import Leaf

PICTURE = Leaf((), "picture", spaces.Box(0, 255, (1, 1, 3), np.uint8))
"""Of every picture, whatever its size, which a layout's options say."""


@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """How pictures become tokens. All are brought to one size: static shapes want so.

    Args:
        images: as patches (the paper), or whole, one token, for a convolutional encoder; or "bands", as patches of
            all bands, one vector token each (`generalist.tokenizers.bands`); or "visual", by the ids by which pictures
            are written. What has more than four bands is shown in false colour by all but "bands".
        shape: (height, width, channels) to which pictures are brought; channels are 1 (grey) or 3 (colour), or the
            number of bands that are read.
        patch_size: side of a square patch in pixels.
        choose: numbers of the bands that are read, from 0, in this order; empty is all of them.
        means, spreads: of each band that is read. Training fills them in, from its training documents.
        turned: in training, each picture is mirrored and turned by a multiple of 90 degrees at random: for what has no
            up, as seen from above. A square shape only.
    """

    images: Literal["patches", "conv", "bands", "visual"] = "patches"
    shape: tuple[int, int, int] = (64, 64, 3)
    patch_size: int = 16
    choose: tuple[int, ...] = ()
    means: tuple[float, ...] = ()
    spreads: tuple[float, ...] = ()
    turned: bool = False

    def __post_init__(self):
        for name in ("shape", "choose", "means", "spreads"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.images not in ("patches", "conv", "bands", "visual"):
            raise ValueError(f"images must be patches, conv, bands or visual, got {self.images!r}")
        if self.patch_size < 1:
            raise ValueError(f"patch_size must be positive, got {self.patch_size}")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"the shape of pictures must be (height, width, channels), got {self.shape}")
        if self.turned and self.shape[0] != self.shape[1]:
            raise ValueError(f"only pictures as wide as high can be turned, got {self.shape}")
        if self.images == "bands":
            self._check_bands()
        elif self.shape[2] not in (1, 3):
            raise ValueError(
                f"the shape of pictures must be (height, width, 1 or 3), got {self.shape}; more are read with images "
                "bands"
            )
        elif self.choose or self.means or self.spreads:
            raise ValueError(f"choose, means and spreads are of images bands, got images {self.images}")

    def _check_bands(self) -> None:
        count = self.shape[2]
        if self.choose and (len(self.choose) != count or min(self.choose) < 0):
            raise ValueError(f"choose must number {count} bands, as the shape {self.shape} has, got {self.choose}")
        if len(self.means) != len(self.spreads) or len(self.means) not in (0, count):
            raise ValueError(
                f"{count} bands have as many means and spreads, got {len(self.means)} and {len(self.spreads)}"
            )
        if not all(map(math.isfinite, (*self.means, *self.spreads))) or min(self.spreads, default=1) <= 0:
            raise ValueError("means of bands must be finite, and spreads positive")

    @property
    def vector_values(self) -> int:
        """Numbers of a patch of bands; 0 where pictures are shown in colours."""
        return self.patch_size**2 * self.shape[2] if self.images == "bands" else 0

    def chosen(self, values: np.ndarray) -> np.ndarray:
        """The bands that are read, of [height, width, bands]. Raises ValueError where there are too few."""
        if not self.choose:
            return values
        if max(self.choose) >= values.shape[2]:
            raise ValueError(f"the picture has {values.shape[2]} bands, band {max(self.choose)} (from 0) is read")
        return values[:, :, list(self.choose)]


def sized(pixels: np.ndarray, options: PictureOptions) -> np.ndarray:
    """uint8[1, *shape]: shrinks by area, enlarges bilinearly, as images of environments."""
    height, width, channels = pixels.shape
    form = ImageFormat(1, height, width, channels, False, "rgb")
    return WholeImageField(PICTURE, form, options.shape).encode(pixels[None])[:, 0]


def turned(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[height, width, channels], mirrored or not and turned by a multiple of 90 degrees: each of the eight alike."""
    mirrored, quarters = rng.integers(2), int(rng.integers(4))
    return np.ascontiguousarray(np.rot90(values[:, ::-1] if mirrored else values, quarters))
