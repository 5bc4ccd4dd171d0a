"""What a run that goes on is asked for, and what is said of it; `test_loop` has whole runs."""

import shutil
from dataclasses import replace

import pytest
from tiny import CONFIG, demonstrations, train_here, trained

from generalist.envs.files import read_json
from generalist.envs.lock import LOCK, locked
from generalist.train.checkpoint import CheckpointError
from generalist.train.foundation import Weights
from generalist.train.loop import train
from generalist.train.optimizer import schedule
from generalist.train.run import read_run
from generalist.train.start import Start, go_on


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run").mkdir()
    shutil.copy(trained() / "config.json", tmp_path / "run")
    return read_run(tmp_path / "run")


def test_only_the_number_of_updates_changes_in_the_file(run):
    before = read_json(run.directory / "config.json", "")
    longer, _ = go_on(run, replace(CONFIG, steps=40), 6)
    stored = read_json(run.directory / "config.json", "")
    assert stored == before | {"config": before["config"] | {"steps": 40}}
    assert longer == read_run(run.directory)


def test_the_rate_that_follows_is_named_beside_the_one_that_would_have(run):
    """The decay of the whole run moves with its end; a fixed one stays."""
    _, said = go_on(run, replace(CONFIG, steps=40), 6)
    before, after = (float(schedule(CONFIG.optimizer, steps)(6)) for steps in (6, 40))
    assert before < 0.2 * after
    assert f"the schedule of 40 updates: it is {after:.2e} at update 7, where that of 6 has {before:.2e}" in said
    fixed = replace(CONFIG, optimizer=replace(CONFIG.optimizer, decay_steps=100))
    _, said = go_on(replace(run, config=fixed), replace(fixed, steps=40), 6)
    rate = float(schedule(fixed.optimizer, 40)(6))
    assert f"it is {rate:.2e} at update 7, where that of 6 has {rate:.2e}" in said


def test_an_unfinished_run_may_become_longer_or_shorter_but_not_than_it_is(run):
    assert go_on(run, CONFIG, 3) == (run, "")
    assert go_on(run, replace(CONFIG, steps=5), 4)[0].config.steps == 5
    assert "going on from update 0 to 7 instead of 6" in go_on(run, replace(CONFIG, steps=7), 0)[1]
    for steps in (3, 4):
        with pytest.raises(ValueError, match=rf"is at update 4 of 6 .* {steps}: ask for more than 4 \(--train.steps\)"):
            go_on(run, replace(CONFIG, steps=steps), 4)


def test_two_do_not_train_in_one_directory(tmp_path):
    """Neither of them; the second says who the first is, and evaluation, which reads, is not held off."""
    run = shutil.copytree(trained(), tmp_path / "run")
    before = sorted(path.relative_to(run) for path in run.rglob("*"))
    for start in (Start(), Start(resume=True), Start(overwrite=True)):
        with (
            locked(run, "training"),
            pytest.raises(ValueError, match=r"another process is training in .*/run: process \d+ on .*, since "),
        ):
            train_here(run, start=start)
    assert sorted(path.relative_to(run) for path in run.rglob("*")) == before
    with locked(run, "training"), read_run(run).open_checkpoints() as checkpoints:
        assert checkpoints.latest == 6


def test_a_refused_start_leaves_no_directory(tmp_path):
    with pytest.raises(FileNotFoundError, match="no demonstrations of"):
        train(CONFIG, tmp_path / "nowhere", tmp_path / "runs" / "new", quiet=True)
    assert not (tmp_path / "runs").exists()
    run = train_here(tmp_path / "run", steps=1)
    assert not (run / LOCK).exists()


def test_weights_that_do_not_fit_blame_no_file(tmp_path):
    """The other run's checkpoint is whole; nothing says to remove it."""
    message = r"run holds another network .*: local.rows is 512 x 16 there, 512 x 24 here, .* more; take its width"
    wider = replace(CONFIG, agent=replace(CONFIG.agent, width=24))
    with pytest.raises(CheckpointError, match=message) as raised:
        train(wider, demonstrations(), tmp_path / "run", start=Start(weights=Weights(run=trained())), quiet=True)
    for word in ("remove", "delete", "move", "damaged", "free"):
        assert word not in str(raised.value)


def test_damaged_weights_are_refused_and_stay(tmp_path):
    other = shutil.copytree(trained(), tmp_path / "other")
    file = max((other / "checkpoints" / "6" / "agent").rglob("d/*"), key=lambda path: path.stat().st_size)
    content = file.read_bytes()
    file.write_bytes(content[:99] + bytes([content[99] ^ 16]) + content[100:])
    with pytest.raises(CheckpointError, match=rf"checkpoint .*/6 is refused: .*{file.name} is damaged.*Whole are 3"):
        train_here(tmp_path / "run", start=Start(weights=Weights(run=other)))


def test_a_run_without_a_checkpoint_goes_on_with_the_weights_that_it_began_with_alone(tmp_path):
    other = shutil.copytree(trained(), tmp_path / "other")
    run = train_here(tmp_path / "run", start=Start(weights=Weights(run=trained())), steps=2)
    shutil.rmtree(run / "checkpoints")
    message = r"run began with the parameters of .*/run .*and has no checkpoint yet: .*needed"
    for weights in (None, Weights(run=other), Weights(run=trained(), step=3)):
        with pytest.raises(CheckpointError, match=message):
            train_here(run, start=Start(resume=True, weights=weights), steps=2)
    bare = train_here(tmp_path / "bare", steps=1)
    shutil.rmtree(bare / "checkpoints")
    with pytest.raises(CheckpointError, match=r"bare began with no other run's parameters: leave out --weights"):
        train_here(bare, start=Start(resume=True, weights=Weights(run=other)), steps=1)


def test_without_config_json_nothing_is_deleted_until_overwriting_is_asked_for(tmp_path):
    run = shutil.copytree(trained(), tmp_path / "run")
    (run / "config.json").rename(tmp_path / "config.json")
    (run / "report.json").write_text("{}")
    before = sorted(path.relative_to(run) for path in run.rglob("*"))
    said = r"run holds checkpoints, .*metrics.jsonl, report.json, .*and no config.json: .* bring it back, .*--overwrite"
    with pytest.raises(FileExistsError, match=said):
        train_here(run, start=Start(resume=True))
    assert sorted(path.relative_to(run) for path in run.rglob("*")) == before
    (run / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty and holds no run"):
        train_here(run, start=Start(overwrite=True))
    (run / "notes.txt").unlink()
    train_here(run, start=Start(overwrite=True), steps=1)
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["1"]
    assert not (run / "report.json").exists()


def test_a_start_that_was_killed_before_config_json_goes_on(tmp_path):
    (tmp_path / "tokenizer.model").write_text("half")
    run = train_here(tmp_path, start=Start(resume=True), steps=1)
    assert not (run / "tokenizer.model").exists()
