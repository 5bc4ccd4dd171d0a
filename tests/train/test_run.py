"""A run directory says what was trained, and is refused where it says something else than this version can read."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from tiny import CONFIG, TASKS, demonstrations, train_here, trained

from generalist.envs.files import write_json
from generalist.tokenizers.layout import Layout, LayoutOptions
from generalist.tokenizers.sentencepiece_training import train_sentencepiece
from generalist.tokenizers.text import SHIPPED, SentencePieceTokenizer
from generalist.tokenizers.vocabulary import Vocabulary
from generalist.train.adaptation import AdaptConfig
from generalist.train.adapted import adapted
from generalist.train.config import DocumentsConfig, TextConfig
from generalist.train.export import prepared, write_export
from generalist.train.run import read_run
from generalist.train.sources import layout_from_json, layout_to_json, make_text_tokenizer


def changed(tmp_path: Path, change) -> Path:
    """A run directory with the trained run's config.json after `change`."""
    stored = json.loads((trained() / "config.json").read_text())
    change(stored)
    write_json(tmp_path / "config.json", stored)
    return tmp_path


def test_what_was_written_is_read():
    run = read_run(trained())
    assert run.config == CONFIG
    assert tuple(run.layouts) == TASKS
    assert Path(run.data) == demonstrations()


def test_it_stays_whole_when_it_is_moved(tmp_path):
    moved = Path(shutil.copytree(trained(), tmp_path / "moved"))
    with read_run(moved).open_checkpoints() as checkpoints:
        assert checkpoints.latest == 6
    assert read_run(moved).checkpoints == moved / "checkpoints"


def test_another_schema_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has schema 99, this version of generalist reads 1"):
        read_run(changed(tmp_path, lambda stored: stored.update(schema=99)))


def test_unknown_fields_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"not a training configuration: .*wings"):
        read_run(changed(tmp_path, lambda stored: stored["config"]["agent"].update(wings=2)))


def test_a_run_of_a_version_without_held_out_episodes_held_none_out(tmp_path):
    """As 0.1.0 wrote it: its statistics are of all episodes, and so are its updates."""

    def older(stored):
        for name in ("held_out", "evaluate_every", "held_out_batches", "keep_best"):
            del stored["config"][name]

    assert read_run(changed(tmp_path, older)).config == replace(
        CONFIG, held_out=0.0, evaluate_every=500, held_out_batches=16
    )


def test_a_text_model_lies_in_the_run(tmp_path):
    """So that the run can be loaded where the file that it was trained with is gone."""
    model = tmp_path / "pieces.model"
    train_sentencepiece(["a red ball and a blue key, a green box and a grey door"] * 20, model, 300)
    tokenizer = SentencePieceTokenizer.load(model)
    run = train_here(
        tmp_path / "run",
        sources=(),
        documents=(DocumentsConfig(corpus="docstrings"),),
        text=TextConfig(tokenizer="sentencepiece", model=str(model)),
        vocabulary=Vocabulary(text_size=tokenizer.size),
        steps=1,
    )
    model.unlink()
    damaged = Path(shutil.copytree(run, tmp_path / "damaged")) / "tokenizer.model"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:400] + bytes([content[400] ^ 1]) + content[401:])
    with pytest.raises(ValueError, match=r"damaged/tokenizer.model is damaged: .* restore it from a copy"):
        read_run(damaged.parent)
    moved = Path(shutil.copytree(run, tmp_path / "moved"))
    shutil.rmtree(run)
    assert read_run(moved).text.version == tokenizer.version
    assert read_run(moved).text.encode("a red key").tolist() == tokenizer.encode("a red key").tolist()


def test_a_text_model_of_this_package_has_no_path_in_the_run(tmp_path):
    """So that a run goes on where the package lies elsewhere, and with the model that it began with."""
    run = train_here(
        tmp_path / "run",
        sources=(),
        documents=(DocumentsConfig(corpus="docstrings"),),
        text=TextConfig(tokenizer="sentencepiece", model="missions"),
        vocabulary=Vocabulary(text_size=512),
        steps=1,
    )
    assert read_run(run).config.text.model == "missions"
    assert (run / "tokenizer.model").read_bytes() == SHIPPED["missions"].read_bytes()
    exported = write_export(prepared(read_run(run), "given"), tmp_path / "given", card="# A card")
    for foundation in (read_run(run), exported):
        job = adapted(foundation, TASKS[:1], AdaptConfig(layout=LayoutOptions()), demonstrations())
        assert make_text_tokenizer(job.text).version == read_run(run).text.version


def test_a_run_of_before_ranges_and_channels_keeps_its_options_where_they_change_nothing(tmp_path):
    def older(stored):
        for source in stored["config"]["sources"]:
            del source["layout"]["ranges"], source["layout"]["channel_axis"]
        for layout in stored["layouts"].values():
            del layout["ranges"]

    assert read_run(changed(tmp_path, older)).config == CONFIG


@pytest.mark.parametrize(("shape", "rule"), [((16, 16, 4), "rgb"), ((16, 16, 3), "auto"), ((4, 16, 16), "auto")])
def test_pictures_of_an_older_run_are_read_as_they_were(shape, rule):
    space = spaces.Box(0, 255, shape, np.uint8)
    stored = layout_to_json(Layout.from_spaces(space, spaces.Discrete(2)))
    del stored["ranges"]
    assert layout_from_json(stored, CONFIG, LayoutOptions()).options.channel_axis == rule


@pytest.mark.parametrize("shape", [(16, 16, 2), (16, 16, 12), (2, 3, 16, 16)])
def test_pictures_that_were_numbers_in_an_older_run_are_refused(shape):
    stored = layout_to_json(Layout.from_spaces(spaces.Box(0, 255, shape, np.uint8), spaces.Discrete(2)))
    del stored["ranges"]
    with pytest.raises(ValueError, match="observation was shown otherwise by the version that trained this run"):
        layout_from_json(stored, CONFIG, LayoutOptions())


def test_a_changed_digit_is_refused_and_a_change_by_hand_has_its_way(tmp_path):
    changed(tmp_path, lambda stored: None)
    path = tmp_path / "config.json"
    assert read_run(tmp_path).config == CONFIG
    text = path.read_text().replace('"width": 16', '"width": 17')
    path.write_text(text)
    with pytest.raises(
        ValueError, match=r"config.json is damaged .*remove its field .*restore it from a copy"
    ) as raised:
        read_run(tmp_path)
    assert "overwrite" not in str(raised.value), "that would remove what is whole"
    stored = json.loads(text)
    del stored["generalist_checksum"]
    path.write_text(json.dumps(stored))
    assert read_run(tmp_path).config.agent.width == 17
