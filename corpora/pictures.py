"""Any image as a picture: files of the usual formats, and arrays of any dtype and number of channels."""

import re
from io import BytesIO
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps

from generalist.corpora.corpus import BadExampleError
from generalist.tokenizers.bands import as_pixels
from generalist.tokenizers.parts import Picture

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""Formats that are decoded, by Pillow's names. Others, such as PostScript, would run programs."""

MOST_PIXELS = 1 << 26
"""Pixels of the largest image that is decoded; a small file can claim many more."""

EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
MOST_DEEP_PIXELS = 1 << 24
"""The same of images of 16 or 32 bits, which are computed in float64. Decoding takes 800 MB at most."""


def to_picture(values: np.ndarray) -> Picture:
    """An array [height, width] or [height, width, channels] as a picture. Raises as `as_pixels`."""
    return Picture(as_pixels(values))


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
