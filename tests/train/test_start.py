"""What a run that goes on is asked for, and what is said of it; `test_loop` has whole runs."""

import shutil
from dataclasses import replace

import pytest
from tiny import CONFIG, trained

from generalist.envs.files import read_json
from generalist.train.optimizer import schedule
from generalist.train.run import read_run
from generalist.train.start import go_on


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
