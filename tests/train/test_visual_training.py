"""A visual tokenizer learns to give its pictures back, its file holds it whole, and both say what is wrong."""

import json
import struct
from itertools import count

import jax
import numpy as np
import pytest

from generalist.corpora.open import open_corpus
from generalist.corpora.scenes import PAIRS, tiles_of
from generalist.envs.files import user_cache
from generalist.tokenizers.pictures import PictureOptions, sized
from generalist.tokenizers.visual import PICTURES, VisualConfig, encoded
from generalist.train.visual_file import read_visual, write_visual
from generalist.train.visual_job import psnr, read_as_before, train_on_corpora
from generalist.train.visual_training import VisualTraining, initial, rebuilt, train_visual, weighted

CONFIG = VisualConfig(shape=(8, 8, 1), strides=(2, 2), width=16, levels=(5, 5))


def bars(many: int, seed: int) -> np.ndarray:
    """Pictures of one bright bar each."""
    rng = np.random.default_rng(seed)
    pictures = np.zeros((many, 8, 8, 1), np.uint8)
    for picture in pictures:
        at = 4 * rng.integers(2)
        (picture if rng.random() < 0.5 else picture.swapaxes(0, 1))[at : at + 4] = 200
    return pictures


@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(0)
    losses = []
    batches = (bars(16, int(rng.integers(2**31))) for _ in count())
    steps = VisualTraining(steps=150, batch_size=16)
    return train_visual(batches, CONFIG, steps, progress=lambda step, loss: losses.append(loss)), losses


def test_pictures_come_back(trained):
    found, losses = trained
    assert losses[-1] < losses[0] / 20
    unseen = bars(50, 9)
    assert psnr(unseen, found.decode(found.encode(unseen))) > 25


def test_what_comes_back_worse_counts_more():
    """Two blocks of 2 x 2 pixels, one three times as wrong: 3/2 and 1/2 of the mean, which is 2."""
    error = np.ones((1, 2, 4, 1), np.float32)
    error[:, :, 2:] = 3
    assert weighted(error, 2) == pytest.approx((1.5 * 3 + 0.5 * 1) / 2)
    gradient = jax.grad(lambda e: weighted(e, 2))(error)
    np.testing.assert_allclose(gradient[0, 0, :, 0], [0.5 / 8, 0.5 / 8, 1.5 / 8, 1.5 / 8])
    alone = np.zeros((1, 2, 80, 1), np.float32)
    alone[:, :, :2] = 1
    assert weighted(alone, 2) == pytest.approx(20 / 40)  # not 40 / 40


def test_numpy_and_jax_do_the_same():
    parameters = {name: np.asarray(value) for name, value in initial(CONFIG, 3).items()}
    x = bars(4, 1).astype(np.float32) / 127.5 - 1
    from generalist.tokenizers.visual import VisualTokenizer

    expected = np.asarray(rebuilt(initial(CONFIG, 3), x, CONFIG))
    found = VisualTokenizer(CONFIG, parameters)
    pictures = found.decode(found.encode(bars(4, 1)))
    np.testing.assert_allclose(pictures, np.clip(np.rint((expected + 1) * 127.5), 0, 255), atol=1)
    assert np.isfinite(encoded(parameters, x, CONFIG)).all()


def test_the_file_holds_it_whole(trained, tmp_path):
    found, _ = trained
    write_visual(tmp_path / "bars.safetensors", found)
    again = read_visual(tmp_path / "bars.safetensors")
    assert again == found
    assert again.cache == user_cache() / "visual"


@pytest.mark.parametrize("what", ["cut", "flipped", "header", "other", "newer", "empty"])
def test_a_file_that_is_not_whole_is_refused(trained, tmp_path, what):
    path = tmp_path / "bars.safetensors"
    write_visual(path, trained[0])
    raw = bytearray(path.read_bytes())
    if what == "cut":
        raw = raw[:-8]
    elif what == "flipped":
        raw[-5] ^= 0x10
    elif what == "header":
        raw[:8] = struct.pack("<Q", 2**60)
    elif what == "empty":
        raw = raw[:4]
    else:
        [length] = struct.unpack("<Q", raw[:8])
        header = json.loads(raw[8 : 8 + length])
        if what == "other":
            header["__metadata__"] = {"format": "pt"}
        else:
            header["__metadata__"]["generalist-visual"] = header["__metadata__"]["generalist-visual"].replace(
                '"format": 2', '"format": 3'
            )
        text = json.dumps(header).encode()
        raw = struct.pack("<Q", len(text)) + text + raw[8 + length :]
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"bars\.safetensors is no visual tokenizer, or damaged"):
        read_visual(path)


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="generalist tokenizer train-images"):
        read_visual(tmp_path / "none.safetensors")


def test_a_corpus_gives_its_pictures_and_the_baselines_stand_beside(tmp_path):
    config = VisualConfig(shape=(8, 8, 1), strides=(4, 2), width=8, levels=(5, 5))
    out = tmp_path / "digits.safetensors"
    found = train_on_corpora(["digits"], out, config, VisualTraining(steps=4, batch_size=8))
    assert found.pictures == 360
    assert found.tokens == {"tokenizer": 1, "blocks": 1, "palette": 64}
    assert found.psnr["palette"] > found.psnr["blocks"] > 5
    assert 1 <= found.used <= 25
    assert found.read["palette"] > 0.95 > found.read["tokenizer"]
    assert read_visual(out).config == config
    assert out.with_suffix(".png").stat().st_size > 100


def test_what_is_read_of_pictures_is_counted_for_each_corpus_by_its_own_reader():
    """The second corpus begins where the pictures of the first end."""
    digits, rooms = open_corpus("digits", "test"), open_corpus("scenes/captions", "test")
    options = PictureOptions(images="conv", shape=(56, 56, 3))
    apart = [np.concatenate([sized(corpus[i][0].pixels, options) for i in range(4)]) for corpus in (digits, rooms)]
    whole = np.concatenate(apart)
    wrong = whole.copy()
    wrong[4], wrong[5] = whole[5], whole[4]
    found = read_as_before([digits, rooms], apart, {"same": whole, "swapped": wrong})
    assert found == {"same": 1.0, "swapped": 6 / 8}
    assert read_as_before([open_corpus("scenes/questions", "test")], apart[1:], {"same": apart[1]})
    assert read_as_before([open_corpus("easy-vqa", "test")], apart[1:], {"same": apart[1]}) == {}


def test_a_corpus_without_pictures_is_refused(tmp_path):
    with pytest.raises(ValueError, match="docstrings has no pictures"):
        train_on_corpora(["docstrings"], tmp_path / "x.safetensors", CONFIG, VisualTraining(steps=1))


def test_a_rate_that_breaks_it_is_said():
    steps = VisualTraining(steps=20, batch_size=4, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        train_visual((bars(4, seed) for seed in count()), CONFIG, steps)
    with pytest.raises(ValueError, match="learning_rate must be positive"):
        VisualTraining(learning_rate=0.0)


def test_the_tokenizer_that_ships_gives_rooms_back():
    """What is wrong with a room is wrong with its few things: of the tiles, nineteen in twenty are floor and wall."""
    rooms, shipped = open_corpus("scenes/captions", "test"), read_visual(PICTURES)
    pictures = np.stack([rooms[i][0].pixels for i in range(100)])
    before = np.stack([tiles_of(each) for each in pictures])
    after = np.stack([tiles_of(each) for each in shipped.decode(shipped.encode(pictures))])
    assert (before == after).mean() > 0.99
    assert (before == after)[before < len(PAIRS)].mean() > 0.98
    assert (shipped.size, shipped.config.tokens) == (1000, 49)
