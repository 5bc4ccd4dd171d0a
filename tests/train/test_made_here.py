import shutil

import pytest
from tiny import trained

from generalist.envs.files import user_cache
from generalist.train.made_here import is_made_here, remember
from generalist.train.run import rewrite_steps


@pytest.fixture
def run(tmp_path):
    return shutil.copytree(trained(), tmp_path / "run")


def test_a_run_that_was_trained_here_is_known_where_it_is(run):
    assert is_made_here(trained())
    assert not is_made_here(run), "a copy may have come from anywhere"
    assert not is_made_here(run.parent / "nothing")


def test_one_whose_configuration_was_changed_is_not(run):
    remember(run)
    assert is_made_here(run)
    rewrite_steps(run, 99)
    assert is_made_here(run), "we changed it"
    path = run / "config.json"
    path.write_text(path.read_text().replace("CartPole-v1", "gym:evil:Id-v0"))
    assert not is_made_here(run)


def test_a_cache_that_was_emptied_or_cannot_be_written_says_no(run, monkeypatch, tmp_path):
    remember(run)
    shutil.rmtree(user_cache() / "runs")
    assert not is_made_here(run)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    remember(run)
    assert not is_made_here(run)
