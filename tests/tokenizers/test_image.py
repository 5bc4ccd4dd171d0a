import numpy as np
import pytest
from gymnasium import spaces
from PIL import Image

from generalist.tokenizers.image import PatchField, WholeImageField, image_format, intervals
from generalist.tokenizers.layout import Layout, LayoutOptions
from generalist.tokenizers.space import leaves


def pixels(*shape, low=0, high=255, dtype=np.uint8):
    return spaces.Box(low, high, shape, dtype)


def patches(space, patch_size=16, channels=3, rule="auto"):
    return PatchField(leaves(space, "observation")[0], image_format(space, rule), patch_size, channels)


def whole(space, image_shape, rule="auto"):
    return WholeImageField(leaves(space, "observation")[0], image_format(space, rule), image_shape)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((64, 48), (1, 64, 48)),
        ((64, 48, 1), (1, 64, 48)),
        ((64, 48, 3), (1, 64, 48)),
        ((64, 48, 4), (4, 64, 48)),
        ((64, 48, 2), (2, 64, 48)),
        ((64, 48, 13), (13, 64, 48)),
        ((3, 64, 48), (1, 64, 48)),
        ((1, 64, 48), (1, 64, 48)),
        ((4, 84, 80), (4, 84, 80)),
        ((12, 84, 80), (12, 84, 80)),
        ((4, 84, 80, 3), (4, 84, 80)),
        ((4, 84, 80, 1), (4, 84, 80)),
        ((2, 84, 80, 4), (8, 84, 80)),
        ((4, 3, 84, 80), (4, 84, 80)),
        ((2, 4, 84, 80), (8, 84, 80)),
        ((8, 8, 3), (1, 8, 8)),
        ((8, 9, 10), (8, 9, 10)),
        ((16, 20, 2), (2, 16, 20)),
    ],
)
def test_what_is_an_image(shape, expected):
    form = image_format(pixels(*shape))
    assert (form.frames, form.height, form.width) == expected


@pytest.mark.parametrize(
    "space",
    [
        pixels(7, 7, 3),
        pixels(3, 7, 7),
        pixels(128),
        pixels(84, 84, 17),
        pixels(17, 84, 84, 3),
        pixels(84, 84, 0),
        pixels(2, 2, 64, 64, 3),
        pixels(64, 64, 3, high=254),
        pixels(64, 64, 3, low=1),
        pixels(64, 64, 3, dtype=np.int32),
        pixels(64, 64, 3, high=1, dtype=np.float32),
        spaces.Discrete(3),
    ],
)
def test_what_is_none(space):
    assert image_format(space) is None


def test_worked_example_of_the_paper():
    rows, cols = intervals(64, 80, 16)
    assert len(rows) == 20
    assert [rows[i].tolist() for i in (0, 5, 10, 15)] == [[0, 32], [32, 64], [64, 96], [96, 127]]
    assert cols[:5].tolist() == [[0, 26], [26, 51], [51, 77], [77, 102], [102, 127]]
    # Second row, third column: rows 0.25 to 0.5, columns 0.4 to 0.6 of the image.
    assert (rows[7].tolist(), cols[7].tolist()) == ([32, 64], [51, 77])


def test_intervals_stay_in_the_table():
    rows, cols = intervals(4096, 17, 16)
    for edges in (rows, cols):
        assert edges.min() >= 0
        assert edges.max() <= 127
        assert (edges[:, 0] <= edges[:, 1]).all()


def test_patches_in_raster_order():
    space = pixels(32, 32, 3)
    x = np.zeros((2, 32, 32, 3), np.uint8)
    for k in range(4):
        x[1, 16 * (k // 2) :, 16 * (k % 2) :] = 60 * k + 60
    out = patches(space).encode(x)
    assert out.shape == (2, 4, 768)
    assert out.dtype == np.uint8
    assert not out[0].any()
    assert out[1, :, 0].tolist() == [60, 120, 180, 240]


def test_values_of_a_patch_are_row_column_channel():
    x = np.random.default_rng(0).integers(0, 256, (1, 20, 24, 3), dtype=np.uint8)
    out = patches(pixels(20, 24, 3), patch_size=8).encode(x)
    assert out.shape == (1, 9, 192)
    np.testing.assert_array_equal(out[0, 4].reshape(8, 8, 3), x[0, 8:16, 8:16])
    bottom = out[0, 6].reshape(8, 8, 3)
    np.testing.assert_array_equal(bottom[:4], x[0, 16:20, :8])
    assert (bottom[4:] == 127).all()


def test_batch_is_the_loop():
    space = pixels(4, 17, 30)
    x = np.random.default_rng(1).integers(0, 256, (3, 4, 17, 30), dtype=np.uint8)
    part = patches(space)
    assert part.count == 4 * 2 * 2 == len(part.intervals[0])
    np.testing.assert_array_equal(part.encode(x), np.concatenate([part.encode(row[None]) for row in x]))


def test_channels_first_equals_channels_last():
    x = np.random.default_rng(2).integers(0, 256, (2, 16, 24, 3), dtype=np.uint8)
    first = patches(pixels(3, 16, 24)).encode(np.moveaxis(x, -1, 1))
    np.testing.assert_array_equal(first, patches(pixels(16, 24, 3)).encode(x))


def test_channels_are_brought_to_the_layouts():
    grey = np.random.default_rng(3).integers(0, 256, (1, 16, 16), dtype=np.uint8)
    colour = np.repeat(grey[..., None], 3, axis=-1)
    alpha = np.concatenate([colour, np.full_like(colour[..., :1], 9)], axis=-1)
    as_colour = patches(pixels(16, 16, 3)).encode(colour)
    np.testing.assert_array_equal(patches(pixels(16, 16)).encode(grey), as_colour)
    np.testing.assert_array_equal(patches(pixels(16, 16, 4), rule="rgb").encode(alpha), as_colour)
    as_grey = patches(pixels(16, 16), channels=1).encode(grey)
    assert as_grey.shape == (1, 1, 256)
    np.testing.assert_array_equal(patches(pixels(16, 16, 4), channels=1, rule="rgb").encode(alpha), as_grey)


STACKS = [
    ((16, 24, 2), "auto", [[0], [1]]),
    ((16, 24, 4), "auto", [[0], [1], [2], [3]]),
    ((4, 16, 24), "auto", [[0], [1], [2], [3]]),
    ((16, 24, 3), "auto", [[0, 1, 2]]),
    ((16, 24, 3), "grey", [[0], [1], [2]]),
    ((3, 16, 24), "grey", [[0], [1], [2]]),
    ((16, 24, 4), "colour", [[0, 1, 2], [3]]),
    ((4, 16, 24), "colour", [[0, 1, 2], [3]]),
    ((16, 24, 6), "colour", [[0, 1, 2], [3, 4, 5]]),
    ((12, 16, 24), "colour", [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]),
    ((16, 24, 2), "colour", [[0], [1]]),
    ((16, 24, 13), "auto", [[band] for band in range(13)]),
    ((2, 16, 24, 3), "auto", [[0, 1, 2]]),
    ((2, 3, 16, 24), "auto", [[0, 1, 2]]),
    ((2, 16, 24, 4), "colour", [[0, 1, 2], [3]]),
    ((2, 4, 16, 24), "auto", [[0], [1], [2], [3]]),
]


@pytest.mark.parametrize(("shape", "rule", "pictures"), STACKS)
@pytest.mark.parametrize("show", ["patches", "conv"])
def test_what_the_channels_are_is_a_rule_that_loses_none(shape, rule, pictures, show):
    space = pixels(*shape)
    form = image_format(space, rule)
    assert [list(each) for each in form.pictures] == pictures
    field = patches(space, 8, rule=rule) if show == "patches" else whole(space, (16, 24, 3), rule)
    base = np.random.default_rng(0).integers(0, 200, (1, *shape), dtype=np.uint8)
    before = field.encode(base)
    stack = np.moveaxis(base, -3, -1) if form.channels_first else base
    stack = stack.reshape(1, form.stack, 16, 24, form.channels)
    each = [stack[:, at][..., list(picture)] for at in range(form.stack) for picture in pictures]
    colour = [picture if picture.shape[-1] == 3 else np.repeat(picture, 3, axis=-1) for picture in each]
    if show == "conv":
        np.testing.assert_array_equal(before, np.stack(colour, axis=1))
    channel_axis = -3 if form.channels_first else -1
    places = [(at, channel) for at in range(form.stack) for channel in range(form.channels)]
    for at, channel in places:
        after = base.copy()
        index = [slice(None)] * after.ndim
        index[channel_axis] = channel
        if len(shape) == 4:
            index[1] = at
        after[tuple(index)] += 40
        assert not np.array_equal(field.encode(after), before), (at, channel)


def test_only_the_rule_that_says_so_leaves_channels_out():
    base = np.zeros((1, 16, 16, 4), np.uint8)
    other = base.copy()
    other[..., 3] = 255
    part = patches(pixels(16, 16, 4), rule="rgb")
    np.testing.assert_array_equal(part.encode(base), part.encode(other))
    assert part.count == 1


@pytest.mark.parametrize("continuous", ["tokens", "vector"])
def test_a_float_image_is_a_tensor_that_loses_no_channel(continuous):
    space = spaces.Box(0, 1, (9, 8, 4), np.float32)
    layout = Layout.from_spaces(space, spaces.Discrete(2), options=LayoutOptions(continuous=continuous))
    assert layout.image_fields == ()
    base = np.full((1, 9, 8, 4), 0.25, np.float32)

    def shown(values):
        made = layout.encode(values, timesteps=[0], segments=[1], source=0)
        return made.ids.tobytes() + made.vectors.tobytes()

    for channel in range(4):
        other = base.copy()
        other[..., channel] = 0.5
        assert shown(other) != shown(base)


def test_only_uint8():
    with pytest.raises(ValueError, match="observation: an image must be uint8, got float32"):
        patches(pixels(16, 16)).encode(np.zeros((1, 16, 16), np.float32))


def test_whole_image_of_the_same_size_is_exact():
    x = np.random.default_rng(4).integers(0, 256, (3, 12, 10, 3), dtype=np.uint8)
    np.testing.assert_array_equal(whole(pixels(12, 10, 3), (12, 10, 3)).encode(x)[:, 0], x)


def test_whole_image_is_shrunk_by_area():
    x = np.random.default_rng(5).integers(0, 256, (2, 16, 24, 3), dtype=np.uint8)
    out = whole(pixels(16, 24, 3), (8, 8, 3)).encode(x)
    assert out.shape == (2, 1, 8, 8, 3)
    mean = x.reshape(2, 8, 2, 8, 3, 3).mean((2, 4))
    np.testing.assert_allclose(out[:, 0], mean, atol=1)


def test_whole_image_is_enlarged_bilinearly():
    x = np.random.default_rng(6).integers(0, 256, (1, 9, 9), dtype=np.uint8)
    out = whole(pixels(9, 9), (20, 20, 1)).encode(x)
    expected = Image.fromarray(x[0]).resize((20, 20), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(out[0, 0, ..., 0], np.asarray(expected))
