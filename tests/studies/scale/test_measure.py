"""One run of a study: its figures are those of its metrics and of its report, and finished parts are not done again."""

import shutil
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest
from tiny import CONFIG, TASKS, demonstrations, trained

from generalist.envs.failures import PartsFailed
from generalist.envs.table import find_task
from generalist.envs.workers import JobFailed
from generalist.eval.config import EvaluationConfig
from generalist.eval.evaluate import evaluate
from generalist.studies.kept import Kept
from generalist.studies.scale import measure
from generalist.studies.scale.grid import Point
from generalist.train.metrics import read_metrics
from generalist.train.sources import open_mixture

EVALUATION = EvaluationConfig(episodes=2, slots=2, films=False, selection_episodes=1, workers=1)
POINT = Point(name="run", size="1", tokens=700, config=CONFIG)


class Here:
    """A pool that does the work at once, in this process."""

    def __init__(self):
        self.done = 0

    def submit(self, function, /, *args, **kwargs):
        future: Future = Future()
        self.done += 1
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def runs(tmp_path):
    shutil.copytree(trained(), tmp_path / "runs" / "run")
    return tmp_path / "runs"


def figures(runs):
    return measure.trained(POINT, demonstrations(), runs, Kept(runs.parent / "parts"), EVALUATION, quiet=True)


@pytest.mark.slow
def test_a_finished_run_is_read_kept_and_not_trained_again(runs, monkeypatch):
    found = figures(runs)
    lines = read_metrics(runs / "run" / "metrics.jsonl")
    assert found["loss"] == lines[-1]["held_out"]["loss"]
    assert found["tokens"] == sum(line["tokens"] for line in lines)
    assert found["targets"] == sum(line["targets"] for line in lines)
    read = {name for line in lines for name in line["sources"]}
    counted = {name: sum(line["sources"].get(name, {"tokens": 0})["tokens"] for line in lines) for name in read}
    assert found["source_tokens"] == counted
    assert sum(found["source_tokens"].values()) == found["tokens"]
    monkeypatch.setattr(measure, "train", None)
    assert figures(runs) == found
    with pytest.raises(TypeError):  # another job is not the one that was kept
        measure.trained(
            replace(POINT, config=replace(CONFIG, seed=1)),
            demonstrations(),
            runs,
            Kept(runs.parent / "parts"),
            EVALUATION,
            quiet=True,
        )


def test_passes_are_tokens_read_over_tokens_there():
    mixture = open_mixture(CONFIG, demonstrations())
    steps = [
        np.concatenate([start + np.arange(length) for start, length in zip(table.starts, table.lengths, strict=True)])
        for table in (source.table for source in mixture.sources)
    ]
    there = int(mixture.sources[0].step_tokens.of(steps[0]).sum())
    found = measure.passes({TASKS[0]: 500}, mixture)
    assert found == {TASKS[0]: pytest.approx(500 / there), TASKS[1]: 0.0}


@pytest.mark.slow
def test_scores_are_those_of_the_report_and_are_played_once(runs, tmp_path):
    pool, said = Here(), []
    tasks = [find_task(id) for id in TASKS]

    def scores():
        beside = measure.baselines(
            pool, tasks, CONFIG, demonstrations(), EVALUATION, tmp_path / "baselines", said.append
        )
        where = runs / "run", CONFIG, demonstrations(), EVALUATION, said.append
        return measure.score(measure.played(pool, tasks, *where), beside)

    found = scores()
    assert sorted(said) == [f"{part} on {task}" for part in ("agent", "baselines") for task in TASKS]
    assert pool.done == 4
    assert scores() == found
    assert pool.done == 4
    report = evaluate(runs / "run", EVALUATION, data=demonstrations(), out=tmp_path / "report", quiet=True)
    assert (found["score"], found["score_ci95"]) == (report["overall"]["mean"], report["overall"]["mean_ci95"])
    assert found["success"] == report["overall"]["success"]
    assert found["tasks"] == {task["id"]: [task["normalized"], task["success"]] for task in report["tasks"]}
    plain = {name: report["baselines"][name]["overall"]["mean"] for name in ("constant", "linear", "nearest_neighbour")}
    assert found["best_baseline"] == [max(plain, key=plain.__getitem__), max(plain.values())]


def test_a_task_that_cannot_be_played_is_one_line_and_the_others_are_kept(tmp_path, monkeypatch):
    original, tasks = measure.measure_baselines, [find_task(id) for id in TASKS]

    def fails(task, *given, **options):
        if task.id == TASKS[0]:
            raise JobFailed(None, "OSError: the simulator is gone", "")
        return original(task, *given, **options)

    monkeypatch.setattr(measure, "measure_baselines", fails)
    given = tasks, CONFIG, demonstrations(), EVALUATION, tmp_path, [].append
    with pytest.raises(PartsFailed, match="OSError: the simulator is gone"):
        measure.baselines(Here(), *given)
    monkeypatch.setattr(measure, "measure_baselines", original)
    pool = Here()
    assert set(measure.baselines(pool, *given)) == set(TASKS)
    assert pool.done == 1
