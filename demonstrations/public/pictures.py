"""Pictures of data sets: PNG and JPEG, measured before they are decoded."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

PICTURES = ("PNG", "JPEG")
"""What Pillow may take the bytes of a picture for; some of its other formats start programs."""
MOST_VALUES = 1 << 26
"""Numbers of one observation, pictures included: a file that says it has more of them is not believed."""


def decode_picture(data: bytes, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """uint8[height, width, channels] of a PNG or JPEG; its size is looked at before it is decoded.

    Palettes and inks become colours; a grey picture becomes three channels where it needs them, as TFDS reads it.

    Args:
        shape: height and width, and channels if they are known, that it must have.

    Raises:
        ValueError: damaged, of another kind or shape, of 16 bits a channel, or larger than `MOST_VALUES`.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=PICTURES) as picture:
            _check_picture(picture, shape)
            pixels = np.array(_in_colours(picture, shape))
    except ValueError:
        raise
    except Exception as cause:  # Pillow raises what it likes
        raise ValueError(f"a picture is neither PNG nor JPEG or is damaged ({cause})") from None
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if shape is not None and len(shape) == 3 and pixels.shape != tuple(shape):
        raise ValueError(f"a picture has shape {pixels.shape}, need {tuple(shape)}")
    return pixels


def _check_picture(picture: Any, shape: tuple[int, ...] | None) -> None:
    width, height = picture.size
    if shape is not None and (height, width) != tuple(shape[:2]):
        raise ValueError(f"a picture has shape {(height, width)}, need {tuple(shape[:2])}")
    channels = len(picture.getbands())
    if width * height * channels > MOST_VALUES:
        raise ValueError(f"a picture of {width} x {height} x {channels} is larger than {MOST_VALUES:,} values")
    # Pillow drops the lower eight bits of colours of sixteen.
    if picture.mode.startswith(("I", "F")) or any("16" in str(tile[3]) for tile in picture.tile):
        raise ValueError("a picture has 16 bits a channel, need 8")


def _in_colours(picture: Any, shape: tuple[int, ...] | None) -> Any:
    if picture.mode == "L" and shape is not None and len(shape) == 3 and shape[-1] == 3:
        return picture.convert("RGB")
    if picture.mode == "1":
        return picture.convert("L")
    if picture.mode == "P":
        return picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    return picture if picture.mode in ("L", "LA", "RGB", "RGBA") else picture.convert("RGB")
