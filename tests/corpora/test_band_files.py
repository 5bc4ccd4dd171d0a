import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from generalist.corpora.band_files import place_of
from generalist.corpora.corpus import BadExampleError, every_so_manieth, groups_of
from generalist.corpora.image_folder import open_corpus, read_picture
from generalist.corpora.places import Place
from generalist.tokenizers.bands import Bands
from generalist.tokenizers.parts import Picture

RNG = np.random.default_rng(0)
TEN = RNG.integers(1, 4000, (6, 5, 10), dtype=np.uint16)


def geotiff(
    path, values, *, x=600_000.0, y=5_000_000.0, pixel=10.0, nodata=None, reference=32632, planarconfig=None, **options
):
    """As GDAL writes one: north up, of square pixels, the tie point in the upper left corner."""
    keys = (1, 1, 0, 1, 3072, 0, 1, 32632)
    tags = [
        (33550, "d", 3, (10.0, 10.0, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, x, y, 0.0), True),
        (34735, "H", len(keys), keys, True),
    ]
    if nodata is not None:
        tags.append((42113, "s", 0, str(nodata), True))
    planarconfig = planarconfig or ("contig" if values.ndim == 3 else None)
    tifffile.imwrite(path, values, extratags=tags, photometric="minisblack", planarconfig=planarconfig, **options)
    return path


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_geotiff_gives_all_of_its_bands(tmp_path, planar, compression):
    values = TEN if planar == "contig" else np.moveaxis(TEN, 2, 0)
    path = geotiff(tmp_path / "a.tif", values, planarconfig=planar, compression=compression)
    found = read_picture(path, "here")
    assert isinstance(found, Bands)
    np.testing.assert_array_equal(found.values, TEN)


def test_pages_are_bands_too(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(TEN, 2, 0), photometric="minisblack")
    found = read_picture(tmp_path / "a.tif", "here")
    assert isinstance(found, Bands)
    np.testing.assert_array_equal(found.values, TEN)


def test_pictures_of_colours_stay_so(tmp_path):
    colours = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif", "here").pixels, colours)
    np.save(tmp_path / "a.npy", colours)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.npy", "here").pixels, colours)
    Image.fromarray(colours).save(tmp_path / "b.tif", save_all=True, append_images=[Image.fromarray(colours + 1)])
    assert isinstance(read_picture(tmp_path / "b.tif", "here"), Picture)  # pages of a scan: the first, as ever


def test_nodata_is_not_a_number(tmp_path):
    values = TEN.copy()
    values[0, 0] = 0
    for name, shown in (("a.tif", values), ("one.tif", values[..., 0])):
        found = read_picture(geotiff(tmp_path / name, shown, nodata=0), "here")
        assert np.isnan(found.values[0, 0]).all()
        assert not np.isnan(found.values[1:]).any()
    with pytest.raises(BadExampleError, match="nodata"):
        read_picture(geotiff(tmp_path / "b.tif", np.zeros_like(TEN), nodata=0), "here")


def test_numpy_s_own_files(tmp_path):
    np.save(tmp_path / "a.npy", TEN.astype(np.float64))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.npy", "here").values, TEN)
    np.save(tmp_path / "grey.npy", TEN[..., 0])
    assert read_picture(tmp_path / "grey.npy", "here").values.shape == (6, 5, 1)


@pytest.mark.parametrize("damage", ["objects", "cut", "text", "axes", "huge"])
def test_damaged_numpy_files_are_named(tmp_path, damage, monkeypatch):
    path = tmp_path / "a.npy"
    np.save(path, np.asarray([[{}]]) if damage == "objects" else TEN if damage != "axes" else TEN[None])
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-7])
    elif damage == "text":
        path.write_text("no array")
    elif damage == "huge":
        monkeypatch.setattr("generalist.corpora.band_files.MOST_NUMBERS", 100)
    with pytest.raises(BadExampleError, match=r"^here: .*a\.npy is no readable picture"):
        read_picture(path, "here")


def test_damaged_tiffs_are_named(tmp_path, monkeypatch):
    path = geotiff(tmp_path / "a.tif", TEN)
    monkeypatch.setattr("generalist.corpora.band_files.MOST_NUMBERS", 100)
    with pytest.raises(BadExampleError, match=r"^here: .*a\.tif is no readable TIFF .*more than 100 numbers"):
        read_picture(path, "here")
    monkeypatch.undo()
    whole = path.read_bytes()
    for size in (0, 5, 60, len(whole) - 100):
        path.write_bytes(whole[:size])
        with pytest.raises(BadExampleError, match=r"^here: .*a\.tif"):
            read_picture(path, "here")
    with pytest.raises(BadExampleError, match=r"^here: cannot read the image"):
        read_picture(tmp_path / "none.tif", "here")


def test_the_middle_of_a_geotiff_is_its_place(tmp_path):
    assert place_of(geotiff(tmp_path / "a.tif", TEN)) == Place("32632", 600_025.0, 4_999_970.0)  # 5 by 6 pixels of 10 m
    Image.fromarray(np.zeros((6, 5), np.uint8)).save(tmp_path / "b.tif")
    assert place_of(tmp_path / "b.tif") is None
    assert place_of(tmp_path / "none.tif") is None


def test_looking_at_files_says_nothing(tmp_path, capfd):
    for name, options in (("a.tif", {}), ("b.tif", {"planarconfig": "separate"}), ("c.tif", {"bigtiff": True})):
        values = np.moveaxis(TEN, 2, 0) if name == "b.tif" else TEN
        geotiff(tmp_path / name, values, **options)
        assert isinstance(read_picture(tmp_path / name, "here"), Bands)
        assert place_of(tmp_path / name) is not None
    assert capfd.readouterr().err == ""


def folder(path, count, line):
    rows = []
    for number in range(count):
        rows.append({"label": "sea" if number % 2 else "land"} | line(number))
    (path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return path


def test_neighbours_are_in_one_split(tmp_path):
    """600 tiles in 200 places of three that touch each other."""

    def line(number):
        x, y = map(float, np.random.default_rng(number // 3).uniform(0, 1e5, 2))
        geotiff(tmp_path / f"{number}.tif", TEN, x=x + 10 * (number % 3), y=y)
        return {"file_name": f"{number}.tif"}

    corpus = open_corpus(folder(tmp_path, 600, line))
    assert corpus.by_place
    assert not corpus.note
    parts = [every_so_manieth(corpus, split) for split in ("train", "test")]
    assert all(len(part) for part in parts)
    places = [{number // 3 for number in part.chosen} for part in parts]
    assert len(places[0] & places[1]) <= 1  # a border of the grid may go through one


def test_latitude_and_longitude_of_the_lines_are_places_too(tmp_path):
    np.save(tmp_path / "a.npy", TEN)
    town = np.random.default_rng(0).uniform(-60, 60, (150, 2))

    def line(number):
        latitude, longitude = map(float, town[number // 2])
        return {"file_name": "a.npy", "latitude": latitude, "longitude": longitude}

    corpus = open_corpus(folder(tmp_path, 300, line))
    found = np.asarray(groups_of(corpus)).reshape(150, 2)
    assert (found[:, 0] == found[:, 1]).all()


def test_geotiffs_without_coordinates_are_said(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", TEN, photometric="minisblack")
    corpus = open_corpus(folder(tmp_path, 3, lambda number: {"file_name": "a.tif"}))
    assert not corpus.by_place
    assert "no coordinates: neighbours may be in training and in test" in corpus.note
