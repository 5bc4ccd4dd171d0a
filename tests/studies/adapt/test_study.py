"""A whole study of adaptation on tiny runs: what it finds, keeps, goes on with and refuses."""

import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from tiny import CONFIG, _folder

from generalist.demonstrations.collect import collect
from generalist.demonstrations.storage import dataset_folder
from generalist.envs.files import read_json
from generalist.eval.config import EvaluationConfig
from generalist.studies.adapt.measure import Place, adapted_run, play_cell, play_plain
from generalist.studies.adapt.settings import KEPT, SCRATCH, Cell, Settings
from generalist.studies.adapt.study import _Study, adapt_study
from generalist.studies.display import StudyDisplay
from generalist.train.checkpoint import CheckpointError
from generalist.train.run import read_run

NEW = ("CliffWalking-v1", "Taxi-v4")
SETTINGS = Settings(
    numbers=(1, 2),
    demonstration_seeds=2,
    ways=(KEPT,),
    plain=("linear", "nearest_neighbour"),
    steps=(2, 4),
    episodes=3,
    selection_episodes=2,
    old_number=9,
    old_episodes=4,
)


@cache
def foundation() -> Path:
    """A run on CartPole and FrozenLake, and demonstrations of two new tasks beside its own."""
    data = _folder() / "study-data"
    collect(("CartPole-v1", "FrozenLake8x8-v1"), data, seed=0, episodes=6, policy="random", workers=0, quiet=True)
    collect(NEW, data, seed=0, episodes=4, workers=0, quiet=True)
    run = _folder() / "study-foundation"
    from generalist.train.loop import train

    few = replace(CONFIG, agent=replace(CONFIG.agent, source_embedding=True), steps=4, checkpoint_every=2)
    train(few, data, run, quiet=True)
    return run


@cache
def studied() -> Path:
    """The folder of a finished study; not to be changed."""
    out = _folder() / "study"
    adapt_study(foundation(), NEW, SETTINGS, out=out, quiet=True)
    return out


def record(out: Path) -> dict:
    return read_json(out / "adapt.json", "")


def test_every_way_is_measured_at_every_number():
    found = record(studied())
    assert [way["way"] for way in found["ways"]] == [KEPT, SCRATCH, "linear", "nearest_neighbour"]
    for way in found["ways"]:
        assert [point["number"] for point in way["points"]] == [1, 2]
        for point in way["points"]:
            low, high = point["score"]["ci95"]
            assert low <= point["score"]["value"] <= high
            assert len(point["score"]["tasks"]) == 2
    assert len(found["episodes"]) == 4 * 2 * 2
    assert all(len(each["returns"]) == 3 for row in found["episodes"] for each in row["tasks"].values())
    plain = found["ways"][2]["points"][0]
    assert plain["cost"]["parameters"] > 0
    assert (studied() / "adapt.html").exists()


def test_budgets_are_chosen_by_play_and_said():
    found = record(studied())
    assert len(found["sweep"]) == 2 * 2 * 2
    for way in (KEPT, SCRATCH):
        for number in (1, 2):
            tried = [row for row in found["sweep"] if (row["way"], row["number"]) == (way, number)]
            best = max(row["score"] for row in tried)
            [chosen] = [row for row in tried if row["chosen"]]
            assert chosen["steps"] == min(row["steps"] for row in tried if row["score"] == best)
            [point] = [p for w in found["ways"] if w["way"] == way for p in w["points"] if p["number"] == number]
            assert point["steps"] == chosen["steps"]


def test_what_was_lost_is_paired_with_the_foundation_itself():
    lost = record(studied())["lost"]
    assert lost["tasks"] == ["CartPole-v1", "FrozenLake8x8-v1"]
    assert lost["number"] == 2, "the nearest to the asked for of the numbers"
    [part] = (studied() / "parts").glob("foundation-old.json")
    assert all(len(each["returns"]) == 4 for each in read_json(part, "")["part"].values()), "more than of new tasks"
    assert [way["way"] for way in lost["ways"]] == [KEPT]
    for way in lost["ways"]:
        assert way["difference"]["value"] == pytest.approx(way["after"]["value"] - lost["before"]["value"])


def test_a_finished_study_makes_nothing_again(tmp_path):
    again = shutil.copytree(studied(), tmp_path / "study")
    before = record(again)
    found = adapt_study(foundation(), NEW, SETTINGS, out=again, quiet=True)
    assert not (again / "runs").exists()
    for payload in (before, found):
        payload.pop("created"), payload.pop("generalist_checksum", None)
    assert json.loads(json.dumps(found)) == before


def test_an_interrupted_study_makes_what_is_missing_and_no_more(tmp_path):
    again = shutil.copytree(studied(), tmp_path / "study")
    [lost] = (again / "parts").glob("kept-2-draw1-*-evaluation.json")
    lost.unlink()
    marks = {path.name: path.stat().st_mtime_ns for path in (again / "parts").iterdir()}
    found = adapt_study(foundation(), NEW, SETTINGS, out=again, quiet=True)
    assert {path.name for path in (again / "parts").iterdir() if marks.get(path.name) != path.stat().st_mtime_ns} == {
        lost.name
    }
    assert found["ways"] == record(studied())["ways"]


@pytest.mark.rare
def test_runs_of_another_foundation_are_not_taken_for_its_own(tmp_path):
    """Its runs are left; the same study of an earlier checkpoint of the foundation begins anew."""
    few = replace(SETTINGS, numbers=(1,), steps=(2,), demonstration_seeds=1, plain=(), ways=("full",))
    out = tmp_path / "study"
    adapt_study(foundation(), NEW, few, out=out, quiet=True, keep_runs=True)
    [one] = (out / "runs").glob("full-1-draw0-2-*")
    adapt_study(foundation(), NEW, few, out=out, step=2, quiet=True, keep_runs=True)
    [other] = set((out / "runs").glob("full-1-draw0-2-*")) - {one}
    foundations = [read_run(each).foundation["step"] for each in (one, other)]
    assert foundations == [4, 2]


def test_a_run_that_is_left_is_not_taken_for_one_of_other_settings(tmp_path):
    place = Place(run=foundation(), step=4, tasks=NEW[:1], data=_folder() / "study-data", runs=tmp_path)
    cell = Cell(way="full", number=1, seed=0, steps=2)
    rows = [replace(SETTINGS, adaptation=replace(SETTINGS.adaptation, batch_size=size)) for size in (8, 8, 16)]
    first, again, changed = (adapted_run(place, each, cell) for each in rows)
    assert first == again
    assert [read_run(each).config.batch_size for each in (first, changed)] == [8, 16]


def test_more_episodes_are_played_than_the_foundation_is_evaluated_with(tmp_path):
    place = Place(run=foundation(), step=4, tasks=NEW[:1], data=_folder() / "study-data", runs=tmp_path)
    few = EvaluationConfig(episodes=2, slots=4)
    found = play_cell(place, SETTINGS, None, ("CartPole-v1",), [2**30, 2**30 + 1, 2**30 + 2], few)
    assert len(found["CartPole-v1"]["returns"]) == 3


@pytest.mark.rare
def test_what_is_kept_in_mind_is_made_again_with_another_share(tmp_path):
    again = shutil.copytree(studied(), tmp_path / "study")
    marks = {path.name: path.stat().st_mtime_ns for path in (again / "parts").iterdir()}
    adapt_study(foundation(), NEW, replace(SETTINGS, keep=0.25), out=again, quiet=True)
    new = {path.name for path in (again / "parts").iterdir() if marks.get(path.name) != path.stat().st_mtime_ns}
    assert new
    assert all(name.startswith("kept-") for name in new)


@pytest.mark.rare
def test_a_ray_cluster_makes_the_same_parts(tmp_path):
    few = replace(SETTINGS, numbers=(1,), steps=(2,), demonstration_seeds=1, plain=("linear",), ways=("full",))
    here = adapt_study(foundation(), NEW, few, out=tmp_path / "here", quiet=True)
    there = adapt_study(foundation(), NEW, few, out=tmp_path / "there", ray="local", quiet=True)
    for one, other in zip(here["episodes"], there["episodes"], strict=True):
        assert {task: each["returns"] for task, each in one["tasks"].items()} == {
            task: each["returns"] for task, each in other["tasks"].items()
        }, one["way"]
    assert here["lost"]["ways"] == there["lost"]["ways"]


def test_a_part_is_made_again_where_what_it_was_made_with_is_another(tmp_path):
    run = foundation()
    data = shutil.copytree(_folder() / "study-data", tmp_path / "data")
    place = Place(run=run, step=4, tasks=NEW, data=data, runs=tmp_path / "runs")
    kept, full = (Cell(way=way, number=1, seed=0, steps=2) for way in (KEPT, "full"))

    def parts(settings: Settings = SETTINGS, evaluation: EvaluationConfig = EvaluationConfig()) -> list:  # noqa: B008
        study = _Study(read_run(run), place, settings, evaluation, None, StudyDisplay(quiet=True), tmp_path)
        jobs = [study._play(cell, "evaluation") for cell in (kept, full)] + [study._plain("linear", 1, 0)]
        return [made_with for _, made_with, _, _ in jobs]

    def changed(now: list) -> list[bool]:
        return [one != other for one, other in zip(before, now, strict=True)]

    before = parts()
    assert changed(parts(evaluation=EvaluationConfig(likeliest=("toy text",)))) == [True, True, False]
    failures = replace(SETTINGS, adaptation=replace(SETTINGS.adaptation, failures=True))
    assert changed(parts(failures)) == [True, True, True]
    collect(("CartPole-v1",), data, seed=7, episodes=1, policy="random", workers=0, quiet=True, overwrite=True)
    assert changed(parts()) == [True, False, False], "the foundation's own data are those that are kept in mind"


def test_plain_policies_see_the_demonstrations_that_the_agents_are_given(tmp_path):
    place = Place(run=foundation(), step=4, tasks=NEW[:1], data=_folder() / "study-data", runs=tmp_path)
    found = play_plain(place, SETTINGS, "nearest_neighbour", 2, 0, [2**30])
    assert found[NEW[0]]["fitted_on_episodes"] == 2
    whole = play_plain(place, SETTINGS, "nearest_neighbour", 4, 0, [2**30])
    assert whole[NEW[0]]["fitted_on_episodes"] == 4
    assert whole[NEW[0]]["fitted_on"] > found[NEW[0]]["fitted_on"]


@pytest.mark.parametrize(
    ("tasks", "change", "error", "message"),
    [
        ((), {}, ValueError, r"no task to adapt to; name some"),
        (("CartPole-v1",), {}, ValueError, r"was trained on CartPole-v1: name tasks that are new"),
        (("Taxi-v5",), {}, ValueError, r"unknown task 'Taxi-v5': the nearest are Taxi-v4"),
        (NEW, {"numbers": (1, 99)}, ValueError, r"too few episodes: 99 asked for, .* has 4"),
        (("Acrobot-v1",), {}, FileNotFoundError, r"no demonstrations of Acrobot-v1"),
    ],
    ids=["none", "known", "unknown", "too few", "no demonstrations"],
)
def test_bad_input_is_refused_before_anything_is_done(tmp_path, tasks, change, error, message):
    with pytest.raises(error, match=message):
        adapt_study(foundation(), tasks, replace(SETTINGS, **change), out=tmp_path / "study", quiet=True)
    assert not (tmp_path / "study").exists()


def test_a_foundation_that_lacks_what_is_asked_for_is_refused_before_anything_is_done(tmp_path):
    with pytest.raises(CheckpointError, match=r"checkpoints/7: there is no such checkpoint; there (is|are) .*4"):
        adapt_study(foundation(), NEW, SETTINGS, out=tmp_path / "study", step=7, quiet=True)
    plain = shutil.copytree(foundation(), tmp_path / "plain")
    said = json.loads((plain / "config.json").read_text())
    said["config"]["agent"]["source_embedding"] = False
    said.pop("generalist_checksum")
    (plain / "config.json").write_text(json.dumps(said))
    with pytest.raises(ValueError, match=r"plain has no task embeddings .*: leave out that way"):
        adapt_study(plain, NEW, replace(SETTINGS, ways=("embedding",)), out=tmp_path / "study", quiet=True)
    assert not (tmp_path / "study").exists()


def test_what_is_to_be_kept_in_mind_must_be_there(tmp_path):
    run, data = foundation(), tmp_path / "data"
    for task in NEW:
        folder = dataset_folder("", task).parent.name
        shutil.copytree(_folder() / "study-data" / folder, data / folder)
    with pytest.raises(
        FileNotFoundError, match=r"no demonstrations of CartPole-v1 under .* other ways than 'kept' \(--ways\)"
    ):
        adapt_study(run, NEW, SETTINGS, data=data, out=tmp_path / "study", quiet=True)
    assert not (tmp_path / "study").exists()
