"""Any image as a picture: files of the usual formats, and arrays of any dtype and number of channels."""

import re
from io import BytesIO
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps

from generalist.corpora.corpus import BadExampleError
from generalist.tokenizers.document import Picture

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""Formats that are decoded, by Pillow's names. Others, such as PostScript, would run programs."""

MOST_PIXELS = 1 << 26
"""Pixels of the largest image that is decoded; a small file can claim many more."""

EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
MOST_DEEP_PIXELS = 1 << 24
"""The same of images of 16 or 32 bits, which are computed in float64. Decoding takes 800 MB at most."""

PERCENTILES = (2, 98)


def to_picture(values: np.ndarray) -> Picture:
    """An array [height, width] or [height, width, channels] as a picture.

    Channels: 1 and 3 are grey and colour, 4 colour and alpha. Of 2 the first is kept (grey and alpha). More than 4 are
    the bands of a multispectral image in order of increasing wavelength: false colour, in which three contiguous groups
    of bands, as even as they can be (the first ones larger), are averaged, and the longest become red.

    Values: uint8 stays as it is. Booleans, and floats that all lie in [0, 1], are multiplied by 255. All others are
    stretched so that the 2nd percentile of the image becomes 0 and the 98th 255; equal values become 0. Where values
    are not uint8, the fourth of four channels is dropped.

    Raises:
        ValueError: another number of axes, no pixels, not numbers, NaN or infinite.
    """
    values = np.asarray(values)
    if values.ndim not in (2, 3) or not values.size:
        raise ValueError(f"an image has shape [height, width] or [height, width, channels], got {values.shape}")
    if values.dtype.kind not in "buif":
        raise ValueError(f"an image holds integers, floats or booleans, got {values.dtype}")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("an image must not have NaN or infinite values; replace them")
    pixels = values[:, :, None] if values.ndim == 2 else values
    channels = pixels.shape[2]
    if channels == 2:
        pixels = pixels[:, :, :1]
    elif channels == 4 and values.dtype != np.uint8:
        pixels = pixels[:, :, :3]
    elif channels > 4:
        groups = np.array_split(pixels, 3, axis=2)
        pixels = np.stack([group.mean(axis=2, dtype=np.float64) for group in groups[::-1]], axis=2)
    return Picture(np.ascontiguousarray(_scaled(pixels, values.dtype)))


def _scaled(pixels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype == np.uint8:
        return pixels if pixels.dtype == np.uint8 else np.rint(pixels).astype(np.uint8)
    low, high = 0.0, 1.0
    if dtype.kind not in "bf" or pixels.min() < 0 or pixels.max() > 1:
        low, high = np.percentile(pixels.astype(np.float64), PERCENTILES)
    unit = (pixels.astype(np.float64) - low) / (high - low or 1)
    return np.rint(255 * np.clip(unit, 0, 1)).astype(np.uint8)


def decode_image(file: bytes | BinaryIO, name: str) -> Picture:
    """The first frame of an image file, turned as its EXIF says. Palettes and CMYK become colour.

    Args:
        file: its bytes, or a file that is open for reading.
        name: what the message of an error begins with.

    Raises:
        BadExampleError: empty, damaged, cut off, of a format that is none of `FORMATS`, or above `MOST_PIXELS`.
    """
    try:
        with Image.open(BytesIO(file) if isinstance(file, bytes) else file, formats=FORMATS) as image:
            most = MOST_PIXELS if image.mode in EIGHT_BITS else MOST_DEEP_PIXELS
            if image.width * image.height > most:  # known from its head, before anything is decoded
                raise ValueError(f"{image.width} x {image.height} pixels are more than {most}; make it smaller")
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1  # else a copy would be made
            return to_picture(_array(ImageOps.exif_transpose(image) if turned else image))
    except Exception as error:  # Pillow's decoders raise what they like: OSError, SyntaxError, struct.error, ...
        raise BadExampleError(f"{name}: no readable image ({_said(error)})") from None


def _array(image: Image.Image) -> np.ndarray:
    """[height, width] or [height, width, 3 or 4] of the image's own dtype."""
    if image.mode in ("1", "LA"):
        image = image.convert("L")
    elif image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode not in ("L", "RGB", "RGBA", "I", "F") and not image.mode.startswith("I;16"):
        image = image.convert("RGB")
    return np.asarray(image)


def _said(error: Exception) -> str:
    """What Pillow says, without the stream that it names."""
    text = " ".join(str(error).split()) or repr(error)
    return re.sub(r" ?<_io\.\S+ object at \w+>", "", text)
