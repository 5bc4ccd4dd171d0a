"""One flipped bit, anywhere in a run or a data set: refused with the file's name, or nothing that is read changes."""

import shutil
from functools import partial
from pathlib import Path

import pytest
from damage import believed_files, read_data, reader_of_run, silent_flips
from tiny import demonstrations, trained

from generalist.demonstrations.storage import dataset_folder
from generalist.eval.config import EvaluationConfig
from generalist.eval.evaluate import evaluate

CONFIG = EvaluationConfig(episodes=2, slots=2, films=False, selection_episodes=1, workers=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    made = Path(shutil.copytree(trained(), tmp_path_factory.mktemp("damaged") / "run"))
    evaluate(made, CONFIG, quiet=True)
    return made


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = dataset_folder(demonstrations(), "CartPole-v1")
    return Path(shutil.copytree(folder.parent, tmp_path_factory.mktemp("damaged") / folder.parent.name)) / folder.name


def test_all_files_that_are_believed_are_tried(run, data):
    names = {path.name for path in believed_files(run)} | {path.name for path in believed_files(data)}
    assert {"config.json", "metrics.jsonl", "report.json", "checksums.json", "cart_pole_v1.agent.json"} <= names
    assert {"collection.json", "spaces.json", "index.json", "steps.columns"} <= names


def test_a_flipped_bit_in_a_run_is_never_silent(run):
    counts, silent = silent_flips(run, reader_of_run(run, CONFIG), 40, seed=1)
    assert (silent, sum(counts.values())) == ([], 40)


def test_a_flipped_bit_in_a_data_set_is_never_silent(data):
    counts, silent = silent_flips(data, partial(read_data, data), 60, seed=2)
    assert (silent, sum(counts.values())) == ([], 60)


@pytest.mark.rare
def test_of_a_thousand_flipped_bits_none_is_silent(run, data):
    counts, silent = silent_flips(run, reader_of_run(run, CONFIG), 600, seed=3)
    more, others = silent_flips(data, partial(read_data, data), 400, seed=4)
    print(counts, more)
    assert (silent, others) == ([], [])
    assert sum(counts.values()) + sum(more.values()) == 1000
