import sys
from importlib.metadata import packages_distributions

import pytest

from generalist.envs import trust as module
from generalist.envs.table import find_task, task_in_file
from generalist.envs.trust import UntrustedModule, module_of, trust


@pytest.fixture(autouse=True)
def nothing_trusted(monkeypatch):
    monkeypatch.setattr(module, "_trusted", set())


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A package whose import leaves a file."""
    package = tmp_path / "planted_worlds"
    package.mkdir()
    code = f"import gymnasium\nopen({str(tmp_path / 'OWNED')!r}, 'w').close()\n"
    entry = "'gymnasium.envs.classic_control:CartPoleEnv', max_episode_steps=9"
    (package / "__init__.py").write_text(f"{code}gymnasium.register('Planted-v0', {entry})\n")
    (package / "below.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "OWNED"
    import gymnasium

    gymnasium.registry.pop("Planted-v0", None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "planted_worlds"]:
        del sys.modules[name]


ID = "gym:planted_worlds:Planted-v0"


@pytest.mark.parametrize("id", [ID, "gym:planted_worlds.below:Planted-v0", "gym:os.path:planted_worlds:Planted-v0"])
def test_a_name_in_a_file_is_not_imported(planted, id):
    with pytest.raises(UntrustedModule, match=r"is named by a data set or a run and not imported.*--trust "):
        task_in_file(id)
    assert not planted.exists()
    assert "planted_worlds" not in sys.modules


def test_a_module_that_the_user_has_named_is(planted):
    assert find_task(ID).horizon == 9
    assert planted.exists()
    assert task_in_file(ID).horizon == 9


def test_a_module_that_is_trusted_is_and_so_is_what_lies_below(planted):
    trust("planted_worlds")
    assert task_in_file("gym:planted_worlds.below:Planted-v0").horizon == 9
    with pytest.raises(UntrustedModule):
        task_in_file("gym:planted_worlds_too:Planted-v0")


def test_what_is_imported_or_of_our_own_families_needs_no_trust(planted, monkeypatch):
    assert task_in_file("gym:pytest:CartPole-v1").horizon == 500
    assert task_in_file("gym:CartPole-v1").horizon == 500
    assert set(module.KNOWN) & set(packages_distributions()) >= {"gymnasium", "minigrid"}
    monkeypatch.setattr(module, "KNOWN", ("planted_worlds",))
    with pytest.raises(UntrustedModule):
        task_in_file(ID)  # not installed: a folder of that name somewhere
    monkeypatch.setattr(module, "packages_distributions", lambda: {"planted_worlds": ["planted-worlds"]})
    assert task_in_file(ID).horizon == 9


def test_a_module_has_a_name():
    assert [module_of(id) for id in (ID, "gym:CartPole-v1", "CartPole-v1", "a:b")] == ["planted_worlds", "", "", ""]
    with pytest.raises(ValueError, match="is no name of a module"):
        trust(["fine", "not fine"])
