"""Services that keep runs get the numbers of TensorBoard, by their own packages and without a network."""

import json
import sys
import warnings
from dataclasses import replace

import pytest
from tiny import CONFIG, demonstrations

from generalist.envs.task import MissingExtra
from generalist.train import tracking
from generalist.train.loop import train
from generalist.train.metrics import read_metrics, scalars
from generalist.train.start import Start
from generalist.train.tracking import FOLDER, KEPT, Trackers

SHORT = replace(CONFIG, steps=4, log_every=2, checkpoint_every=2)


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path}/mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")


def kept_by_mlflow(name: str) -> dict[int, float]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    [run] = client.search_runs([client.get_experiment_by_name("generalist").experiment_id])
    assert run.info.status == "FINISHED"
    return {each.step: each.value for each in client.get_metric_history(run.info.run_id, name)}


def test_mlflow_has_every_line_once_also_of_a_run_that_goes_on(tmp_path):
    pytest.importorskip("mlflow")
    folder = tmp_path / "run"
    train(SHORT, demonstrations(), folder, quiet=True, track=("mlflow",))
    train(replace(SHORT, steps=6), demonstrations(), folder, start=Start(resume=True), quiet=True, track=("mlflow",))

    lines = read_metrics(folder / "metrics.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 6]
    for name in ("train/loss", "held_out/loss"):
        expected = {line["step"]: scalars(line)[name] for line in lines if name in scalars(line)}
        assert kept_by_mlflow(name.replace("/", ".")) == pytest.approx(expected)
    assert expected


def test_wandb_keeps_a_run_that_can_be_sent_later(tmp_path):
    pytest.importorskip("wandb")
    folder = tmp_path / "run"
    train(SHORT, demonstrations(), folder, quiet=True, track=("wandb",))

    [stored] = (folder / FOLDER / "wandb").glob("offline-run-*/run-*.wandb")
    content = stored.read_bytes()
    assert b"train/loss" in content
    assert json.loads((folder / FOLDER / KEPT).read_text())["wandb"] in stored.name


def test_a_service_that_fails_is_said_once_and_training_goes_on(tmp_path, monkeypatch):
    class Failing:
        def __init__(self, directory, id, config):
            self.calls = 0

        def log(self, step, numbers):
            raise ConnectionError("no network")

        def close(self):
            raise AssertionError("it was left out")

    monkeypatch.setitem(tracking.SERVICES, "failing", Failing)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        train(SHORT, demonstrations(), tmp_path / "run", quiet=True, track=("failing",))

    said = [str(each.message) for each in told if "failing" in str(each.message)]
    assert len(said) == 1
    assert "no network" in said[0]
    assert len(read_metrics(tmp_path / "run" / "metrics.jsonl")) == 2


def test_one_that_there_is_not_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="wandb"):
        train(SHORT, demonstrations(), tmp_path / "run", quiet=True, track=("wandbs",))

    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "module"), [("wandb", "wandb"), ("mlflow", "mlflow.entities")])
def test_without_its_package_it_says_what_to_install(tmp_path, monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "config.json").write_text('{"config": {}}')

    with pytest.raises(MissingExtra, match=name):
        Trackers((name,), tmp_path)


def test_none_writes_nothing(tmp_path):
    made = Trackers((), tmp_path)
    made.log(1, {"x": 1.0})
    made.close()

    assert list(tmp_path.iterdir()) == []
