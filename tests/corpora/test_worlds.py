"""A world in which a square moves left or right by its width: its frames as documents, learnt, measured and filmed."""

import io
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image
from small_painter import painter as small_painter
from tiny import CONFIG, train_here
from written import episode_of, write_episodes

from generalist.configs.commands import cli
from generalist.corpora.open import open_corpus
from generalist.corpora.worlds import said
from generalist.demonstrations.storage import dataset_folder
from generalist.eval.config import EvaluationConfig
from generalist.eval.evaluate import evaluate
from generalist.eval.language.corpus_record import corpus_from_json, corpus_to_json
from generalist.eval.language.worlds import right_blocks, squared
from generalist.play.painter import Painter
from generalist.play.worlds import film, imagine
from generalist.tokenizers.parts import Picture, Words
from generalist.tokenizers.pictures import PictureOptions
from generalist.tokenizers.series import Series
from generalist.tokenizers.visual import VisualConfig
from generalist.tokenizers.vocabulary import Vocabulary
from generalist.train.config import DocumentsConfig
from generalist.train.visual_job import train_on_corpora
from generalist.train.visual_training import VisualTraining

TASK = "CartPole-v1"
HEIGHT, WIDTH, STEP = 8, 16, 4
SPACES = (
    gym.spaces.Dict({"image": gym.spaces.Box(0, 255, (HEIGHT, WIDTH, 3), np.uint8), "where": gym.spaces.Discrete(4)}),
    gym.spaces.Discrete(2),
)
VISUAL = VisualConfig(shape=(HEIGHT, WIDTH, 3), strides=(4,), width=16, levels=(5, 5))


def frame(place: int, row: int) -> np.ndarray:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[4 * row : 4 * row + 4, STEP * place : STEP * place + STEP] = (250, 80, 20)
    return pixels


def episode(number: int, length: int = 12):
    rng = np.random.default_rng(number)
    row, places, actions = int(rng.integers(2)), [int(rng.integers(4))], rng.integers(0, 2, length)
    for action in actions:
        places.append((places[-1] + (1 if action else -1)) % 4)
    observations = {"image": np.stack([frame(place, row) for place in places]), "where": np.asarray(places)}
    return episode_of(TASK, observations, actions, number)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    data = write_episodes(tmp_path_factory.mktemp("worlds"), TASK, SPACES, [episode(number) for number in range(60)])
    return f"worlds:{dataset_folder(data, TASK)}"


def place_in(pixels: np.ndarray) -> int:
    return int(pixels[..., 0].astype(int).sum(axis=0).argmax()) // STEP


def test_documents_are_what_was_seen_and_done_and_what_came_of_it(corpus):
    train, test = open_corpus(corpus), open_corpus(corpus, "test")
    assert (len(train.episodes), len(test.episodes)) == (54, 6)
    assert len(test) == 6 * 11  # the last frame of an episode is not kept: nothing was done there
    first, second, last = test[0], test[1], test[len(test) - 1]
    assert [type(part) for part in first] == [Picture, Words, Picture]
    assert [type(part) for part in second] == [Picture, Words, Picture, Words, Picture]
    assert [part.written for part in last if isinstance(part, Picture)] == [False, False, True]
    for document in (first, second, last):
        *_, before, action, after = document
        assert place_in(after.pixels) == (place_in(before.pixels) + (1 if action.text == "1" else -1)) % 4
        assert not action.target
    np.testing.assert_array_equal(second[0].pixels, first[0].pixels)
    assert train.groups[:12].tolist() == [0] * 11 + [1]  # an episode is held out whole


def test_more_frames_can_be_shown(corpus):
    assert [len(open_corpus(f"{corpus}@{past}", "test")[8]) for past in (1, 2, 4)] == [3, 5, 9]


def test_numbers_that_are_done_are_numbers():
    action = said(np.asarray([[0.5, -1.0], [0.25, 2.0]], np.float32), 1)
    assert isinstance(action, Series)
    assert (action.values.tolist(), action.target) == ([0.25, 2.0], False)
    both = said({"a": np.asarray([3, 4]), "b": np.asarray([[0.5], [1.5]])}, 1)
    assert isinstance(both, Series)
    assert both.values.tolist() == [4.0, 1.5]
    assert said(np.asarray([3, 4]), 0) == Words("3", target=False, whole=False)


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("imagined")
    train_on_corpora([corpus], folder / "v.safetensors", VISUAL, VisualTraining(steps=300, batch_size=16))
    shown = PictureOptions(images="visual", shape=(HEIGHT, WIDTH, 3))
    agent = replace(CONFIG.agent, window=64, source_embedding=True, width=32, layers=2, head_size=16, feedforward=64)
    return train_here(
        folder / "run", sources=(), documents=(DocumentsConfig(corpus=corpus, pictures=shown),), agent=agent,
        optimizer=replace(CONFIG.optimizer, learning_rate=3e-3, method="muon"), visual=str(folder / "v.safetensors"),
        vocabulary=Vocabulary(visual_size=VISUAL.codes), sequence_length=64, batch_size=16, steps=300,
        checkpoint_every=300, evaluate_every=300, log_every=100,
    )  # fmt: skip


def test_the_next_frame_is_learnt_and_measured_beside_the_one_before(run):
    evaluation = EvaluationConfig(episodes=2, slots=2, selection_episodes=1, films=False, documents=40)
    [entry] = evaluate(run, evaluation, quiet=True)["corpora"]
    bits, error, blocks = entry["scores"]
    assert [score["name"] for score in entry["scores"]] == ["bits per token", "squared error", "changed blocks right"]
    assert bits["agent"]["value"] < 0.1 < 0.5 < bits["baselines"]["unigram_ids"]["value"]
    assert (error["baselines"]["unchanged"]["value"], blocks["baselines"]["unchanged"]["value"]) == (1.0, 0.0)
    assert {*blocks["baselines"]} == {"unchanged", "nearest_frame", "rebuilt"}
    assert blocks["agent"]["value"] > 0.9
    assert error["agent"]["value"] < 0.2
    assert all(example["png"] for example in entry["examples"])
    assert corpus_to_json(corpus_from_json(entry)) == entry


def test_a_film_goes_on_from_what_was_drawn(run, corpus, tmp_path):
    worlds = open_corpus(corpus, "test")
    pairs = imagine(Painter.load(run), worlds, 0, 8)
    assert pairs.shape == (8, 2, HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(pairs[:2, 0], pairs[:2, 1])  # the first are real
    right = [place_in(real) == place_in(drawn) for real, drawn in pairs]
    assert sum(right) >= 6
    assert cli.main(["imagine", str(run), "--frames", "8", "--out", str(tmp_path / "film.webp")]) == 0
    with Image.open(io.BytesIO((tmp_path / "film.webp").read_bytes())) as shown:
        assert shown.n_frames == 8
    assert film(pairs) == (tmp_path / "film.webp").read_bytes()


def test_what_cannot_be_filmed_is_said(corpus):
    worlds, painter = open_corpus(corpus, "test"), small_painter()
    with pytest.raises(ValueError, match="nothing is left to draw after 11"):
        imagine(painter, worlds, 0, 8, start=11)


def test_blocks_that_changed_and_are_right():
    before, after = frame(0, 0)[None], frame(1, 0)[None]
    assert right_blocks(before, before, after, 4) == (0.0,)
    assert right_blocks(after, before, after, 4) == (1.0,)
    half = before.copy()
    half[0, :4, 4:8] = after[0, :4, 4:8]  # it is where it should be, and where it was as well
    assert right_blocks(half, before, after, 4) == (0.5,)
    assert right_blocks(before, before, before, 4) == (1.0,)
    assert right_blocks(after, before, before, 4) == (0.0,)  # nothing changed, and something was invented
    assert squared(after, after) == (0.0,)


def test_names_that_are_no_worlds(tmp_path, corpus):
    with pytest.raises(FileNotFoundError, match="no demonstrations in nowhere"):
        open_corpus("worlds:nowhere")
    with pytest.raises(ValueError, match="how many frames are shown, got 'x'"):
        open_corpus(f"{corpus}@x")
    with pytest.raises(ValueError, match="train and test, not heldout"):
        open_corpus(corpus, "heldout")
    spaces = (gym.spaces.Box(-1, 1, (3,)), gym.spaces.Discrete(2))
    seen = episode_of(TASK, np.zeros((4, 3), np.float32), np.zeros(3, np.int64))
    data = write_episodes(tmp_path / "blind", TASK, spaces, [seen])
    with pytest.raises(ValueError, match="no picture is observed there, but observation"):
        open_corpus(f"worlds:{dataset_folder(data, TASK)}")
    data = write_episodes(tmp_path / "few", TASK, SPACES, [episode(0)])
    with pytest.raises(ValueError, match="has 1 episodes; every 10th is test"):
        open_corpus(f"worlds:{dataset_folder(data, TASK)}", "test")
