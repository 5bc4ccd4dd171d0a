"""A whole study of a very small grid (rare: ten trainings), how it goes on after a kill, and what it refuses."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import CONFIG, TASKS, demonstrations

from generalist.demonstrations.collect import collect
from generalist.eval.config import EvaluationConfig
from generalist.studies.scale import measure, study
from generalist.studies.scale.grid import Grid
from generalist.studies.scale.page import render_page
from generalist.studies.scale.study import scale
from generalist.train.metrics import read_metrics

TRAIN = replace(CONFIG, log_every=1)
GRID = Grid(sizes=("1", "1.5", "2"), tokens=(200, 400, 600))
EVALUATION = EvaluationConfig(selection_episodes=1, workers=1)
CALL = f"""
import sys
sys.path[:0] = {json.dumps([str(Path(__file__).resolve().parents[2] / "helpers")])}
from dataclasses import replace
from pathlib import Path
from tiny import CONFIG
from generalist.eval.config import EvaluationConfig
from generalist.studies.scale.grid import Grid
from generalist.studies.scale.study import scale
scale(replace(CONFIG, log_every=1), EvaluationConfig(selection_episodes=1, workers=1), data=Path(sys.argv[1]),
      out=Path(sys.argv[2]), grid=Grid(sizes=("1", "1.5", "2"), tokens=(200, 400, 600)), episodes=2, resamples=8)
"""


def run(out: Path, grid: Grid = GRID, **changes) -> dict:
    given = {"data": demonstrations(), "episodes": 2, "quiet": True, "resamples": 8} | changes
    return scale(TRAIN, EVALUATION, out=out, grid=grid, **given)


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """A study that another process began and that was killed while it trained its fourth run."""
    out = tmp_path_factory.mktemp("study") / "out"
    command = [sys.executable, "-c", CALL, str(demonstrations()), str(out)]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while len(list((out / "parts").glob("*.json"))) < 2 and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, process.stderr and process.stderr.read().decode()
    return out


@pytest.fixture(scope="module")
def finished(killed) -> tuple[Path, dict, dict[str, int]]:
    """The same study gone on with here, its record, and when the parts of before were written."""
    before = {path.name: path.stat().st_mtime_ns for path in (killed / "parts").glob("*.json")}
    return killed, run(killed), before


@pytest.mark.rare
def test_a_killed_study_goes_on_where_it_was(finished):
    out, record, before = finished
    assert 2 <= len(before) < 9
    after = {path.name: path.stat().st_mtime_ns for path in (out / "parts").glob("*.json")}
    assert {name: after[name] for name in before} == before
    assert len(record["runs"]) == 9


@pytest.mark.rare
def test_every_run_has_its_loss_tokens_and_scores(finished):
    out, record, _ = finished
    for found in [*record["runs"], record["beyond"]["came"]]:
        lines = read_metrics(out / "runs" / found["name"] / "metrics.jsonl")
        assert found["loss"] == lines[-1]["held_out"]["loss"]
        assert set(found["sources"]) == set(TASKS) == set(found["tasks"]) == set(found["passes"])
        assert found["tokens"] == sum(line["tokens"] for line in lines)
        assert found["tokens"] == pytest.approx(found["asked_tokens"], rel=0.4)  # a run of two updates is coarse
        assert found["compute"] == 6 * found["parameters"] * found["tokens"]
        assert found["residual"] == pytest.approx(found["loss"] / found["law_loss"] - 1, abs=0.1)
        assert found["score"] is not None
        assert 0 <= found["success"] <= 1
    assert len({found["parameters"] for found in record["runs"]}) == 3
    assert json.loads((out / "scale.json").read_text())["law"] == json.loads(json.dumps(record["law"]))


@pytest.mark.rare
def test_the_prediction_was_written_before_the_run_beyond_was_trained(finished):
    out, record, _ = finished
    beyond = record["beyond"]
    assert beyond["prediction"]["before_training"]
    written = (out / "parts" / "prediction.json").stat().st_mtime_ns
    assert written < (out / "runs" / beyond["came"]["name"] / "config.json").stat().st_mtime_ns
    low, high = beyond["prediction"]["loss"]["interval"]
    assert beyond["inside"]["loss"] == (low <= beyond["came"]["loss"] <= high)
    assert beyond["came"]["compute"] > max(found["compute"] for found in record["runs"])


@pytest.mark.rare
def test_the_same_call_again_trains_and_plays_nothing(finished, monkeypatch):
    out, record, _ = finished

    def refuse(*_, **__):
        raise AssertionError("this was done before")

    monkeypatch.setattr(measure, "train", refuse)
    monkeypatch.setattr(study, "local_pool", lambda workers: _NoPool())
    again = run(out)
    assert {name: again[name] for name in ("runs", "law", "beyond")} == {
        name: record[name] for name in ("runs", "law", "beyond")
    }


class _NoPool:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, *_, **__):
        raise AssertionError("this was played before")


@pytest.mark.rare
def test_the_page_shows_every_run_and_the_numbers_of_the_law(finished):
    out, _, _ = finished
    page = (out / "scale.html").read_text()
    assert page.startswith("<!doctype html>")
    assert not re.findall(r"https?://", page)
    for title in (
        "Loss against compute",
        "Loss against size",
        "Loss against tokens",
        "Residuals",
        "Loss to normalised",
    ):
        assert title in page
    assert len(re.findall(r'class="dot c\d" d=[^>]*><title>', page)) == 9 * (4 + 2)
    assert ">nan" not in page
    assert "Foretold and came" in page


@pytest.mark.rare
def test_another_configuration_is_refused_with_what_differs(finished):
    out, _, _ = finished
    with pytest.raises(
        ValueError, match=r"another configuration .*\(train\.label_width: 0\.0 -> 1\.0\).*choose another --out"
    ):
        scale(replace(TRAIN, label_width=1.0), EVALUATION, data=demonstrations(), out=out, grid=GRID, episodes=2)
    with pytest.raises(ValueError, match=r"evaluation\.episodes: 2 -> 3"):
        run(out, episodes=3)


@pytest.mark.rare
def test_a_ray_cluster_plays_the_same_episodes(finished, tmp_path):
    out, record, _ = finished
    again = shutil.copytree(out, tmp_path / "out")
    for folder in (again / "baselines", *(again / "runs").glob("*/evaluation")):
        shutil.rmtree(folder)
    found = run(again, ray="local")
    assert [each["tasks"] for each in found["runs"]] == [each["tasks"] for each in record["runs"]]


def test_a_folder_keeps_to_one_configuration(tmp_path):
    data = shutil.copytree(demonstrations(), tmp_path / "data")
    same = {"config": TRAIN, "evaluation": EVALUATION, "grid": GRID, "data": data}

    def check(**changes):
        study.check_same(tmp_path / "study.json", *(same | changes).values())

    check()
    check(grid=replace(GRID, sizes=("1", "2"), tokens=(1,), seeds=3), evaluation=replace(EVALUATION, workers=7))
    with pytest.raises(
        ValueError, match=r"or of other demonstrations \(train\.agent\.width: 16 -> 32\).*choose another --out"
    ):
        check(config=replace(TRAIN, agent=replace(TRAIN.agent, width=32)))
    with pytest.raises(ValueError, match=r"\(evaluation\.episodes: 50 -> 9\)"):
        check(evaluation=replace(EVALUATION, episodes=9))
    with pytest.raises(ValueError, match=r"\(rate_power: 1\.0 -> 0\.0\)"):
        check(grid=replace(GRID, rate_power=0.0))
    with pytest.raises(ValueError, match=r"\(data: "):
        check(data=shutil.copytree(data, tmp_path / "other"))
    collect(("CartPole-v1",), data, seed=5, episodes=1, policy="random", workers=0, quiet=True, overwrite=True)
    with pytest.raises(ValueError, match=r"of other demonstrations \(demonstrations\.CartPole-v1\.0: \d+ -> \d+"):
        check()


def test_missing_demonstrations_are_named_before_anything_is_made(tmp_path):
    with pytest.raises(FileNotFoundError, match="no demonstrations of CartPole-v1"):
        run(tmp_path / "out", data=tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_grid_that_cannot_be_fitted_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="runs cannot determine"):
        run(tmp_path / "out", grid=Grid(sizes=("1", "2"), tokens=(200, 400)))
    assert not (tmp_path / "out").exists()


@pytest.mark.rare
def test_without_a_run_beyond_and_without_scores_the_page_still_stands(finished):
    _, record, _ = finished
    bare = record | {"beyond": None, "scores": {"score": None, "success": None}}
    bare["runs"] = [found | {"score": None, "score_ci95": None, "success": None} for found in record["runs"]]
    page = render_page(bare)
    assert "Foretold" not in page
    assert "From loss to success" not in page
