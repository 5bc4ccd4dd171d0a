"""Pictures of bands in files: NumPy's .npy, and TIFF with what GeoTIFF adds, nodata and coordinates.

A TIFF that Pillow does not read needs the extra `pictures`. Nothing is unpickled, and sizes are looked at before
anything is decoded.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import TiffImagePlugin

from generalist.corpora.corpus import BadExampleError
from generalist.corpora.places import Place
from generalist.envs.task import MissingExtra
from generalist.tokenizers.bands import Bands
from generalist.tokenizers.parts import Picture

NPY, TIFF = (".npy",), (".tif", ".tiff")
MOST_NUMBERS = 1 << 26
"""Of the largest picture that is read: 256 MB once it is float32."""
NODATA, GEO_KEYS, PIXEL_SCALE, TIE_POINT, TRANSFORMATION = 42113, 34735, 33550, 33922, 34264
"""Numbers of TIFF tags: what stands for "not measured" (GDAL), and where a picture lies (GeoTIFF 1.1, sec. 7)."""
PROJECTED, GEOGRAPHIC = 3072, 2048
"""GeoTIFF keys of the reference system, an EPSG number."""


def of_array(values: np.ndarray, names: tuple[str, ...] = ()) -> Picture | Bands:
    """uint8 [height, width, 1, 3 or 4] is a picture of colours, anything else of [height, width, bands] one of bands.

    Raises:
        ValueError: not numbers, another number of axes, or nothing but nodata.
    """
    if values.ndim == 2:
        values = values[:, :, None]
    if values.dtype == np.uint8 and values.ndim == 3 and values.shape[2] in (1, 3, 4) and not names:
        return Picture(np.ascontiguousarray(values))
    return Bands(values, names)


def read_npy(path: Path, where: str) -> Picture | Bands:
    """The picture [height, width] or [height, width, bands] of a .npy file.

    Raises:
        BadExampleError: it is damaged, of objects, too large, or no picture.
    """
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
        if stored.size > MOST_NUMBERS:
            raise ValueError(f"{stored.shape} are more than {MOST_NUMBERS:,} numbers; cut it into tiles")
        return of_array(np.array(stored))
    except (ValueError, OSError, EOFError) as error:
        raise BadExampleError(f"{where}: {path} is no readable picture ({' '.join(str(error).split())})") from None


def read_tiff(path: Path, where: str) -> Picture | Bands:
    """The picture of a TIFF file; what its GDAL tag calls nodata is NaN.

    Raises:
        BadExampleError: it is damaged, too large, or no picture of bands.
        MissingExtra: without the extra `pictures`.
    """
    tifffile = _tifffile()
    try:
        with tifffile.TiffFile(path) as file:
            series, tags = file.series[0], file.pages[0].tags
            if int(np.prod(series.shape, dtype=np.int64)) > MOST_NUMBERS:
                raise ValueError(f"{series.shape} are more than {MOST_NUMBERS:,} numbers; cut it into tiles")
            values = _bands_last(series.asarray(), series.axes)
            missing = tags[NODATA].value if NODATA in tags else None
        if missing is not None:
            values = np.where(values == float(str(missing).strip("\0 ")), np.nan, values.astype(np.float32))
        return of_array(values)
    except Exception as error:  # tifffile's decoders raise what they like
        raise BadExampleError(f"{where}: {path} is no readable TIFF ({' '.join(str(error).split())})") from None


def is_of_bands(path: Path) -> bool:
    """Whether a TIFF is no picture of colours: several grey samples or pages, more samples than colours, or nodata."""
    try:
        tags = _tags(path)
        samples, shows = tags.get(SAMPLES, 1), tags.get(PHOTOMETRIC, 1)
        several = samples > 2 or tags.next > 0 if shows in GREY else samples > (5 if shows == INKS else 4)
        return several or NODATA in tags
    except Exception:  # reading the picture says what is wrong
        return False


SAMPLES, PHOTOMETRIC, WIDTH, HEIGHT = 277, 262, 256, 257
BIG = b"\x2b"
"""Third byte of a BigTIFF, whose first 16 bytes say where its pages are."""
GREY, INKS = (0, 1), 5
"""What samples may be: grey, and perhaps alpha; three colours and alpha; four inks (CMYK) and alpha."""


def place_of(path: Path) -> Place | None:
    """Where the middle of a GeoTIFF lies; None where it does not say, or cannot be read."""
    try:
        tags = _tags(path)
        return _place(tags, tags[WIDTH] / 2, tags[HEIGHT] / 2)
    except Exception:  # reading the picture says what is wrong
        return None


def _tags(path: Path) -> TiffImagePlugin.ImageFileDirectory_v2:
    """What a TIFF says of its first page; nothing of the picture is decoded."""
    with path.open("rb") as file:
        head = file.read(8)
        found = TiffImagePlugin.ImageFileDirectory_v2(head + (file.read(8) if head[2:3] == BIG else b""))
        file.seek(found.next)
        found.load(file)
    return found


def _place(tags: Mapping[int, Any], column: float, row: float) -> Place | None:
    if TRANSFORMATION in tags:
        a, b, _, x, c, d, _, y = tags[TRANSFORMATION][:8]
        at = (x + a * column + b * row, y + c * column + d * row)
    elif TIE_POINT in tags and PIXEL_SCALE in tags:
        (i, j, _, x, y, _), (width, height) = tags[TIE_POINT][:6], tags[PIXEL_SCALE][:2]
        at = (x + (column - i) * width, y - (row - j) * height)
    else:
        return None
    return Place(_reference(tags.get(GEO_KEYS, ())), *at) if np.isfinite(at).all() else None


def _reference(keys: tuple[int, ...]) -> str:
    """The EPSG number of a GeoKeyDirectory: four numbers a key, of which the last is the value."""
    found = {keys[at]: keys[at + 3] for at in range(4, len(keys) - 3, 4)}
    return str(found.get(PROJECTED) or found.get(GEOGRAPHIC) or "")


def _bands_last(values: np.ndarray, axes: str) -> np.ndarray:
    """[height, width, bands] of an array whose axes TIFF names; bands may be samples, or pages."""
    others = [at for at, name in enumerate(axes) if name not in "YX"]
    if sorted(set(axes) & {"Y", "X"}) != ["X", "Y"] or len(others) > 1:
        raise ValueError(f"its axes {axes} are not height, width and bands")
    return np.moveaxis(values, others[0], -1) if others else values[:, :, None]


def _tifffile() -> Any:
    try:
        import tifffile
    except ImportError as cause:
        raise MissingExtra("pictures", cause) from cause
    return tifffile
