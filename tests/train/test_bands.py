"""Pictures of thirteen bands in the form in which TFDS has EuroSAT, from files to labels."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tfds_files import prepare
from tiny import CONFIG, metrics_of, train_here

from generalist.configs.fit import with_sources
from generalist.corpora.open import open_corpus
from generalist.eval.config import EvaluationConfig
from generalist.eval.evaluate import evaluate
from generalist.play.writer import Writer
from generalist.tokenizers.bands import Bands
from generalist.tokenizers.parts import Words
from generalist.tokenizers.pictures import PictureOptions
from generalist.train.bands import all_bands, with_band_statistics
from generalist.train.config import DocumentsConfig
from generalist.train.run import read_run
from generalist.train.start import Start

LABELS = ("Forest", "River")
SHORT_WAVE = 10
"""The one band in which the two differ."""
SHOWN = PictureOptions(images="bands", shape=(8, 8, 13), patch_size=4, turned=True)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """200 pictures of 8x8 pixels. Rivers are dark in one band of thirteen; all others are noise."""
    folder = tmp_path_factory.mktemp("eurosat")
    features = {
        "sentinel2": tfds.features.Tensor(shape=(8, 8, 13), dtype=np.float32),
        "label": tfds.features.ClassLabel(names=list(LABELS)),
    }
    rng = np.random.default_rng(0)
    rows = []
    for number in range(200):
        bands = rng.normal(np.linspace(200, 2600, 13), 150, (8, 8, 13)).astype(np.float32)
        river = number // 50 % 2  # every fiftieth is test
        bands[..., SHORT_WAVE] -= 600 * river
        rows.append({"sentinel2": bands, "label": river})
    prepare(folder, "eurosat/all", features, rows)
    return f"tfds:eurosat/all@{folder}"


def job(corpus, **changes):
    agent = replace(CONFIG.agent, window=32, source_embedding=True, local_positions=16)
    documents = (DocumentsConfig(corpus=corpus, pictures=SHOWN, pictures_per_row=2),)
    return {"documents": documents, "agent": agent, "sequence_length": 32} | changes


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    optimizer = replace(CONFIG.optimizer, learning_rate=5e-3)
    folder = tmp_path_factory.mktemp("bands") / "run"
    return train_here(folder, **job(corpus, sources=(), steps=60, batch_size=16, optimizer=optimizer))


def test_the_band_that_tells_is_learnt(run):
    evaluation = EvaluationConfig(episodes=2, slots=2, selection_episodes=1, films=False, documents=100)
    [entry] = evaluate(run, evaluation, quiet=True)["corpora"]
    [score] = entry["scores"]
    assert score["agent"]["value"] == 1.0
    assert {"bands_regression", "bands_neighbours", "bands_forest", "majority_class"} <= {*score["baselines"]}
    assert score["baselines"]["bands_regression"]["value"] == 1.0
    assert score["baselines"]["majority_class"]["value"] == 0.5


def test_every_band_reaches_the_network(run, corpus):
    writer = Writer.load(run)
    values = open_corpus(corpus, "test")[0][0].values

    def likelihood(shown):
        return writer.likelihoods([(Bands(shown),)], ["River"])[0]

    plain = likelihood(values)
    for band in range(13):
        changed = values.copy()
        changed[..., band] += 500
        assert likelihood(changed) != plain


def test_the_run_keeps_the_means_and_spreads_of_its_training_documents(run, corpus):
    kept = read_run(run).config.documents[0].pictures
    np.testing.assert_allclose(kept.means[:3], [200, 400, 600], atol=10)
    assert kept.spreads[SHORT_WAVE] > 2 * kept.spreads[0]
    config = replace(CONFIG, **job(corpus))
    assert with_band_statistics(with_band_statistics(config)) == with_band_statistics(config)


def test_a_run_with_bands_goes_on_where_it_stopped(corpus, tmp_path):
    """Means and spreads are found again, and turning is a function of the example: the losses are the same."""
    settings = job(corpus)
    whole = train_here(tmp_path / "whole", **settings)
    shutil.copytree(whole, tmp_path / "half")
    shutil.rmtree(tmp_path / "half" / "checkpoints" / "6")
    train_here(tmp_path / "half", **settings, start=Start(resume=True))
    assert metrics_of(tmp_path / "half") == metrics_of(whole)


def test_a_corpus_of_bands_is_shown_by_its_bands(corpus):
    assert all_bands(corpus) == PictureOptions(images="bands", shape=(8, 8, 13), patch_size=8)
    assert all_bands("digits") is None
    [shown] = with_sources(CONFIG, (), (corpus,)).documents
    assert shown.pictures.images == "bands"


def test_errors_name_what_is_wrong(corpus, tmp_path):
    def config(**options):
        pictures = PictureOptions(**{"images": "bands", "shape": (8, 8, 13), "patch_size": 4} | options)
        return replace(CONFIG, documents=(DocumentsConfig(corpus=corpus, pictures=pictures),))

    with pytest.raises(ValueError, match=r"eurosat/all.*have 13 bands, pictures\.shape says 4"):
        with_band_statistics(config(shape=(8, 8, 4)))
    with pytest.raises(ValueError, match=r"has 13 bands, band 13 \(from 0\) is read"):
        with_band_statistics(config(shape=(8, 8, 1), choose=(13,)))
    agent = replace(CONFIG.agent, window=128, local_positions=16)
    tiny = job(corpus, documents=config(patch_size=1).documents, sequence_length=128, agent=agent)
    with pytest.raises(ValueError, match=r"has 64 tokens, agent\.local_positions is 16; raise it"):
        train_here(tmp_path / "run", **tiny)


def test_a_picture_of_other_bands_is_passed_over_and_named(tmp_path):
    for number in range(20):
        np.save(tmp_path / f"{number}.npy", np.random.default_rng(number).normal(size=(8, 8, 3 if number % 3 else 13)))
    lines = [{"file_name": f"{number}.npy", "label": "ab"[number % 2]} for number in range(20)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines * 6)))
    document = DocumentsConfig(corpus=f"images:{tmp_path}", pictures=SHOWN, pictures_per_row=2)
    statistics = {"means": (0.0,) * 13, "spreads": (1.0,) * 13}
    document = replace(document, pictures=replace(SHOWN, **statistics))
    run = train_here(tmp_path / "run", **job("", documents=(document,)))
    [named] = json.loads((run / "damaged.json").read_text()).values()
    assert "a picture of 3 bands, 13 bands are read" in str(named)


def test_an_agent_without_bands_says_so(run):
    other = Writer.load(run)
    narrow = replace(other, sizes=replace(other.sizes, vector_values=4))
    with pytest.raises(ValueError, match="pictures are shown as bands of 208, this agent reads 4"):
        narrow.encoded((Bands(np.ones((8, 8, 13))), Words("River")))
