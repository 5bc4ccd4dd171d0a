import io
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from generalist.corpora import pictures
from generalist.corpora.corpus import BadExampleError
from generalist.corpora.pictures import decode_image, to_picture


def saved(image: Image.Image, form="PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_bytes_are_kept(channels):
    values = noise(5, 4, channels)
    np.testing.assert_array_equal(to_picture(values).pixels, values)


def test_grey_without_an_axis_and_two_channels():
    values = noise(5, 4)
    np.testing.assert_array_equal(to_picture(values).pixels, values[:, :, None])
    both = noise(5, 4, 2)
    np.testing.assert_array_equal(to_picture(both).pixels, both[:, :, :1])


def test_floats_in_the_unit_interval_are_multiplied():
    assert to_picture(np.asarray([[0, 0.5, 1]])).pixels.ravel().tolist() == [0, 128, 255]
    assert to_picture(np.asarray([[0.2, 0.4]], np.float32)).pixels.ravel().tolist() == [51, 102]
    assert to_picture(np.asarray([[True, False]])).pixels.ravel().tolist() == [255, 0]


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
def test_other_numbers_are_stretched_between_percentiles(dtype):
    values = np.arange(101, dtype=dtype).reshape(1, 101) * 7 + 300
    found = to_picture(values).pixels.ravel().tolist()
    assert found[:3] == [0, 0, 0]
    assert found[98:] == [255, 255, 255]
    assert found[50] in (127, 128)
    assert found == sorted(found)


def test_integers_of_zero_and_one_are_no_floats():
    assert to_picture(np.full((2, 2), 1, np.uint16)).pixels.max() == 0  # equal values become 0


def test_many_bands_become_false_colour():
    bands = np.zeros((4, 2, 13), np.uint8)
    bands[..., :5], bands[..., 5:9], bands[..., 9:] = 10, 100, 200  # 13 bands: 5, 4 and 4
    assert to_picture(bands).pixels[0, 0].tolist() == [200, 100, 10]
    bands[..., 0] = 60
    assert to_picture(bands).pixels[0, 0].tolist() == [200, 100, 20]
    scaled = to_picture(bands.astype(np.float32) * 20).pixels[0, 0].tolist()
    assert scaled[0] == 255
    assert scaled[2] == 0
    assert 90 < scaled[1] < 130
    assert to_picture(bands / np.float32(255)).pixels[0, 0].tolist() == [200, 100, 20]


def test_scaled_alpha_is_dropped():
    assert to_picture(np.zeros((3, 3, 4), np.float32)).pixels.shape == (3, 3, 3)


DTYPES = st.sampled_from(
    [np.uint8, np.bool_, np.int8, np.uint16, np.int32, np.uint64, np.float16, np.float32, np.float64]
)
SHAPES = st.one_of(
    st.tuples(st.integers(1, 5), st.integers(1, 5)), st.tuples(*[st.integers(1, 5)] * 2, st.integers(1, 15))
)


@given(st.data())
def test_every_finite_array_is_a_picture(data):
    dtype = data.draw(DTYPES)
    plain = np.dtype(dtype).kind == "f"
    elements = {"allow_nan": False, "allow_infinity": False, "min_value": -1e4, "max_value": 1e4} if plain else None
    values = data.draw(arrays.arrays(dtype, data.draw(SHAPES), elements=elements))
    assert to_picture(values).pixels.shape[:2] == values.shape[:2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.asarray([[np.nan, 1]]), "NaN or infinite"),
        (np.asarray([[np.inf, 1]]), "NaN or infinite"),
        (np.zeros((0, 4)), r"got \(0, 4\)"),
        (np.zeros((2, 2, 0)), r"got \(2, 2, 0\)"),
        (np.zeros(4), r"got \(4,\)"),
        (np.zeros((2, 2), complex), "got complex128"),
        (np.asarray([["a"]]), "got <U1"),
    ],
)
def test_what_is_no_image_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        to_picture(values)


@pytest.mark.parametrize(
    ("mode", "form", "channels"),
    [
        *[("L", "PNG", 1), ("1", "PNG", 1), ("LA", "PNG", 1), ("L", "JPEG", 1)],
        *[("RGB", "PNG", 3), ("RGB", "WEBP", 3), ("RGB", "BMP", 3), ("P", "PNG", 3), ("P", "GIF", 3)],
        *[("RGBA", "PNG", 4), ("CMYK", "TIFF", 3), ("LAB", "TIFF", 3)],
    ],
)
def test_modes_of_pillow(mode, form, channels):
    colour = Image.fromarray(np.full((6, 9, 3), (200, 30, 60), np.uint8))
    image = colour.quantize(4) if mode == "P" else colour.convert("L").convert(mode) if mode == "LA" else colour
    image = Image.new("LAB", (9, 6)) if mode == "LAB" else image.convert(mode)
    options = {"lossless": True} if form == "WEBP" else {}
    found = decode_image(saved(image, form, **options), "x").pixels
    assert found.shape == (6, 9, channels)
    if channels >= 3 and mode != "LAB":
        assert np.abs(found[..., :3].astype(int) - (200, 30, 60)).max() <= 2


def test_a_palette_with_transparency_keeps_it():
    image = Image.fromarray(noise(4, 4, 3)).quantize(8)
    assert decode_image(saved(image, transparency=0), "x").pixels.shape == (4, 4, 4)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_images_of_more_bits_are_stretched(dtype):
    values = np.linspace(1000, 3000, 64).reshape(8, 8).astype(dtype)
    form = "PNG" if dtype == np.uint16 else "TIFF"
    found = decode_image(saved(Image.fromarray(values), form), "x").pixels
    np.testing.assert_array_equal(found, to_picture(values).pixels)
    assert (found.min(), found.max()) == (0, 255)


def test_a_float_image_with_nan_is_a_bad_example():
    data = saved(Image.fromarray(np.full((3, 3), np.nan, np.float32)), "TIFF")
    with pytest.raises(BadExampleError, match=r"here: .*NaN"):
        decode_image(data, "here")


def test_a_turned_photo_is_turned_back():
    image = Image.fromarray(noise(4, 7, 3))
    exif = image.getexif()
    exif[0x0112] = 6
    found = decode_image(saved(image, "PNG", exif=exif), "x").pixels
    np.testing.assert_array_equal(found, np.rot90(np.asarray(image), -1))


@given(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF"]), st.integers(0, 400), st.binary(max_size=3))
def test_damaged_files_are_bad_examples_or_pictures(form, at, junk):
    data = saved(Image.fromarray(noise(8, 8, 3)), form)
    at = min(at, len(data) - 1)
    for damaged in (data[:at], data[:at] + junk + data[at + len(junk) :]):
        try:
            decode_image(damaged, "this file")
        except BadExampleError as error:
            assert str(error).startswith("this file: ")  # noqa: PT017


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"text"])
def test_what_is_no_image_file_is_a_bad_example(data):
    with pytest.raises(BadExampleError, match="this file: no readable image"):
        decode_image(data, "this file")


def test_formats_beyond_the_list_are_refused():
    with pytest.raises(BadExampleError, match="no readable image"):
        decode_image(saved(Image.fromarray(noise(4, 4, 3)), "PCX"), "x")


def test_bombs_are_refused_before_they_are_decoded(monkeypatch):
    def chunk(kind, body):
        return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)

    def bomb(side):
        head = side.to_bytes(4) * 2 + bytes([8, 2, 0, 0, 0])
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")

    monkeypatch.setattr(pictures, "_array", lambda image: pytest.fail("decoded"))
    for side in (9000, 10_000, 60_000):  # ours; where Pillow warns; where Pillow refuses
        with pytest.raises(BadExampleError, match=r"bomb: .*pixels"):
            decode_image(bomb(side), "bomb")


def test_files_are_read_as_bytes_are(tmp_path):
    values = noise(3, 3, 3)
    (tmp_path / "a.png").write_bytes(saved(Image.fromarray(values)))
    with (tmp_path / "a.png").open("rb") as file:
        np.testing.assert_array_equal(decode_image(file, "a").pixels, values)


GROWN = """
import resource, sys
from generalist.corpora.corpus import BadExampleError
from generalist.corpora.pictures import decode_image
data, before = open(sys.argv[1], "rb").read(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode_image(data, "bomb")
    said = "decoded"
except BadExampleError as error:
    said = str(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, said)
"""


@pytest.mark.parametrize(
    ("dtype", "side", "most_mb", "said"), [("u1", 8190, 700, "decoded"), ("<u2", 8190, 50, "bomb: ")]
)
def test_a_small_file_takes_no_memory_without_bound(tmp_path, dtype, side, most_mb, said):
    shape = (side, side, 3) if dtype == "u1" else (side, side)
    Image.fromarray(np.zeros(shape, dtype)).save(tmp_path / "bomb.png")
    command = [sys.executable, "-c", GROWN, str(tmp_path / "bomb.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kilobytes, told = done.stdout.split(" ", 1)
    assert told.startswith(said)
    assert int(kilobytes) < 1000 * most_mb
