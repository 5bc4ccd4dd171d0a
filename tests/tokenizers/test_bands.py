import numpy as np
import pytest

from generalist.tokenizers.bands import Bands, as_pixels, band_patches, band_statistics, false_colour, resized
from generalist.tokenizers.document import DocumentLayout
from generalist.tokenizers.parts import Picture, Words
from generalist.tokenizers.pictures import PictureOptions, turned
from generalist.tokenizers.sequence import Kind
from generalist.tokenizers.text import ByteTokenizer
from generalist.tokenizers.vocabulary import Vocabulary

RNG = np.random.default_rng(0)


def layout(**options):
    given = {"images": "bands", "shape": (4, 6, 5), "patch_size": 2, "means": (0.0,) * 5, "spreads": (1.0,) * 5}
    return DocumentLayout(Vocabulary(), ByteTokenizer(), PictureOptions(**given | options))


def vectors(bands, **options):
    return layout(**options).encode([(bands, Words("sea"))], source=0).vectors


def test_a_patch_holds_every_band_of_its_pixels():
    values = RNG.normal(size=(4, 6, 5))
    found = band_patches(values.astype(np.float32), (4, 6, 5), 2, [0.0] * 5, [1.0] * 5)
    assert found.shape == (6, 20)
    changed = values.copy()
    changed[2, 3, 4] += 1.0  # row 2, column 3: the patch of row 1, column 1; the second row and column, the last band
    after = band_patches(changed.astype(np.float32), (4, 6, 5), 2, [0.0] * 5, [1.0] * 5)
    assert np.argwhere(after != found).tolist() == [[4, (0 * 2 + 1) * 5 + 4]]


@pytest.mark.parametrize("band", range(5))
def test_every_band_reaches_the_sequence(band):
    values = RNG.normal(size=(4, 6, 5)).astype(np.float32)
    changed = values.copy()
    changed[..., band] += 1.0
    assert ((vectors(Bands(values)) != vectors(Bands(changed))).sum(axis=1) == 4).all()


def test_bands_are_shown_less_their_mean_and_over_their_spread():
    pictures = [Bands(RNG.normal([100, -3], [40, 0.1], size=(8, 8, 2))) for _ in range(20)]
    means, spreads = band_statistics(pictures)
    np.testing.assert_allclose(means, [100, -3], atol=5)
    np.testing.assert_allclose(spreads, [40, 0.1], rtol=0.1)
    options = {"shape": (8, 8, 2), "patch_size": 8, "means": means, "spreads": spreads}
    both = np.concatenate([vectors(each, **options).reshape(-1, 2) for each in pictures])
    np.testing.assert_allclose(both.mean(axis=0), 0, atol=0.02)  # whatever their units are, they look alike
    np.testing.assert_allclose(both.std(axis=0)[0], both.std(axis=0)[1], rtol=0.05)


@pytest.mark.parametrize(("spreads_away", "shown"), [(0.1, 0.0998), (-1.0, -0.8814), (10.0, 2.9982), (1e6, 4.0946)])
def test_near_the_mean_a_number_is_shown_as_it_is_and_far_off_as_its_logarithm(spreads_away, shown):
    values = np.full((1, 1, 1), 7.0 + 2.0 * spreads_away, np.float32)
    np.testing.assert_allclose(band_patches(values, (1, 1, 1), 1, [7.0], [2.0]), [[shown]], atol=1e-4)


def test_what_was_not_measured_is_the_mean():
    values = RNG.normal(10, 1, size=(4, 6, 5)).astype(np.float32)
    values[1, 1, 2] = np.nan
    given = {"means": (10.0,) * 5, "spreads": (1.0,) * 5}
    filled = values.copy()
    filled[1, 1, 2] = 10.0
    np.testing.assert_array_equal(vectors(Bands(values), **given), vectors(Bands(filled), **given))
    means, _ = band_statistics([Bands(values)])
    np.testing.assert_allclose(means[2], np.nanmean(values[..., 2]), rtol=1e-6)


def test_each_vector_says_where_it_is():
    found = layout().encode([(Bands(np.ones((4, 6, 5))), Words("sea"))], source=3)
    shown = found.kind == Kind.VECTOR
    assert found.local[shown].tolist() == [0, 1, 2, 3, 4, 5]
    assert found.vector_at.tolist() == np.flatnonzero(shown).tolist()
    assert not found.loss_mask[shown][:-1].any()
    assert found.loss_mask[shown][-1]


def test_some_bands_can_be_chosen():
    values = RNG.normal(size=(4, 6, 7)).astype(np.float32)
    options = {"shape": (4, 6, 2), "choose": (5, 0), "means": (0.0, 0.0), "spreads": (1.0, 1.0)}
    np.testing.assert_array_equal(
        vectors(Bands(values), **options),
        vectors(Bands(values[..., [5, 0]]), **options | {"choose": ()}),
    )
    with pytest.raises(ValueError, match=r"has 3 bands, band 5 \(from 0\) is read"):
        vectors(Bands(values[..., :3]), **options)


def test_pictures_of_any_size_are_brought_to_one():
    values = RNG.normal(size=(8, 12, 5)).astype(np.float32)
    halves = values.reshape(4, 2, 6, 2, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(resized(values, 4, 6), halves, atol=1e-6)
    np.testing.assert_allclose(vectors(Bands(values)), vectors(Bands(halves)), atol=1e-5)
    assert vectors(Bands(values[:3, :2])).shape == (6, 20)


def test_a_side_that_is_no_multiple_of_the_patch_is_filled_up():
    assert vectors(Bands(np.ones((4, 6, 5))), patch_size=4).shape == (2, 80)


def test_a_picture_of_colours_can_be_read_by_its_channels():
    pixels = RNG.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    options = {"shape": (4, 6, 3), "means": (128.0,) * 3, "spreads": (64.0,) * 3}
    np.testing.assert_array_equal(vectors(Picture(pixels), **options), vectors(Bands(pixels), **options))


def test_bands_become_false_colours_where_a_layout_asks_for_colours():
    bands = Bands(RNG.integers(0, 3000, (4, 6, 13)))
    shown = DocumentLayout(Vocabulary(), ByteTokenizer(), PictureOptions(images="conv", shape=(4, 6, 3)))
    found = shown.encode([(bands, Words("sea"))], source=0)
    np.testing.assert_array_equal(found.images[0], as_pixels(bands.values))


def test_false_colours_of_what_was_not_measured():
    values = RNG.normal(size=(4, 6, 13))
    values[0, 0], values[..., 12] = np.nan, np.nan
    assert false_colour(Bands(values)).shape == (4, 6, 3)


def test_without_statistics_nothing_is_shown():
    with pytest.raises(ValueError, match="means and spreads"):
        vectors(Bands(np.ones((4, 6, 5))), means=(), spreads=())


def test_another_number_of_bands_is_refused():
    with pytest.raises(ValueError, match="has 4 bands, 5 are read"):
        vectors(Bands(np.ones((4, 6, 4))))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.ones((4, 6)), "height, width, bands"),
        (np.ones((0, 6, 2)), "height, width, bands"),
        (np.full((2, 2, 2), "x"), "height, width, bands"),
        (np.full((2, 2, 2), np.inf), "infinite"),
        (np.full((2, 2, 2), np.nan), "nodata"),
    ],
)
def test_what_is_no_picture_of_bands(values, said):
    with pytest.raises(ValueError, match=said):
        Bands(values)


def test_statistics_need_pictures_that_are_alike():
    with pytest.raises(ValueError, match="one number of bands"):
        band_statistics([])
    with pytest.raises(ValueError, match="one number of bands"):
        band_statistics([Bands(np.ones((2, 2, 2))), Bands(np.ones((2, 2, 3)))])
    half = np.ones((2, 2, 2))
    half[..., 1] = np.nan
    with pytest.raises(ValueError, match="band 1 has no number"):
        band_statistics([Bands(half)])
    assert band_statistics([Bands(np.full((2, 2, 1), 7))]) == ((7.0,), (1.0,))  # equal everywhere: nothing to divide by


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"images": "conv", "shape": (8, 8, 13)}, "images bands"),
        ({"images": "conv", "shape": (8, 8, 3), "choose": (0, 1, 2)}, "are of images bands"),
        ({"images": "bands", "shape": (8, 8, 3), "choose": (0, 1)}, "must number 3 bands"),
        ({"images": "bands", "shape": (8, 8, 2), "means": (0.0,), "spreads": (1.0,)}, "as many means"),
        ({"images": "bands", "shape": (8, 8, 1), "means": (0.0,), "spreads": (0.0,)}, "positive"),
        ({"images": "bands", "shape": (8, 4, 1), "turned": True}, "as wide as high"),
    ],
)
def test_options_that_do_not_go_together(options, said):
    with pytest.raises(ValueError, match=said):
        PictureOptions(**options)


def test_turning_gives_each_of_the_eight_ways_alike():
    square = np.arange(9).reshape(3, 3, 1)
    rng = np.random.default_rng(0)
    found = [turned(square, rng)[..., 0].tobytes() for _ in range(800)]
    counts = [found.count(each) for each in set(found)]
    assert len(counts) == 8
    assert min(counts) > 60
