"""What the user typed becomes a directory: folders, exports of the package, exports on the Hub, also without a net."""

import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from tiny import TASKS, trained

import generalist
from generalist.play.agent import Agent
from generalist.train import hub
from generalist.train.export import prepared, write_export
from generalist.train.exported_files import CARD, FILES
from generalist.train.places import directory_of, named, pretrained
from generalist.train.run import read_run

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> Path:
    to = tmp_path_factory.mktemp("exports") / "rooms-tiny"
    return write_export(prepared(read_run(trained()), to.name), to, card="# A card").directory


@pytest.fixture
def shipped(export, monkeypatch):
    """The package with this export as a part of it."""
    monkeypatch.setattr(generalist.pretrained, "__path__", [str(export.parent)])


def cached(folder: Path, cache: Path, repository: str, branch: str = "main") -> None:
    """What huggingface_hub leaves in its cache of a repository with these files, by its own functions."""
    from huggingface_hub import file_download

    home = cache / file_download.repo_folder_name(repo_id=repository, repo_type="model")
    for path in folder.iterdir():
        blob = home / "blobs" / f"blob-{path.name}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(path.read_bytes())
        pointer = Path(file_download._get_pointer_path(str(home), COMMIT, path.name))
        pointer.parent.mkdir(parents=True, exist_ok=True)
        file_download._create_symlink(str(blob), str(pointer))
    (home / "refs").mkdir(exist_ok=True)
    file_download._cache_commit_hash_for_specific_revision(str(home), branch, COMMIT)


@pytest.fixture
def offline(export, tmp_path, monkeypatch) -> Path:
    """A cache with the export as hf:me/rooms, and no network."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    cached(export, tmp_path / "hub", "me/rooms")
    hub.fetched.cache_clear()
    yield tmp_path / "hub"
    hub.fetched.cache_clear()


def test_a_folder_is_itself_also_where_it_is_not_there_or_named_like_a_place(tmp_path):
    assert directory_of("runs/new") == Path("runs/new")
    assert directory_of(tmp_path) == tmp_path
    assert directory_of("other:name") == Path("other:name")
    Path("hf:a").mkdir()
    assert directory_of("hf:a") == Path("hf:a")
    assert named("hf:a/b@main") == ("hf", "a/b@main")
    assert named(Path("pretrained:ml45")) == ("pretrained", "ml45")


def test_an_export_of_the_package_is_found_by_its_name_and_a_typo_names_the_nearest(shipped, export):
    assert pretrained() == {"rooms-tiny": export}
    assert Agent.load("pretrained:rooms-tiny").tasks == TASKS
    with pytest.raises(FileNotFoundError, match="no pretrained:room-tiny: did you mean rooms-tiny"):
        Agent.load("pretrained:room-tiny")


def test_every_export_of_the_package_is_whole():
    for name, folder in pretrained().items():
        run = read_run(folder)
        assert run.exported is not None
        assert run.name == name
        assert {path.name for path in folder.iterdir()} <= set(FILES)
        assert (folder / CARD).exists()
    files = [path.read_bytes() for folder in pretrained().values() for path in folder.iterdir()]
    assert sum(len(zlib.compress(file)) for file in files) < 12e6, "more than a wheel should carry"


def test_an_export_on_the_hub_is_read_from_the_cache_without_a_network(offline):
    before = {path for path in offline.rglob("*") if path.is_file()}
    agent = Agent.load("hf:me/rooms")
    assert agent.tasks == TASKS
    assert agent.run.name == "rooms-tiny"
    assert Agent.load("hf:me/rooms@main").run.directory == agent.run.directory
    assert Agent.load(f"hf:me/rooms@{COMMIT}").run.directory == agent.run.directory
    assert {path for path in offline.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["me/others", "me/rooms@v2"])
def test_what_is_neither_on_the_hub_nor_in_the_cache_is_one_clear_error(offline, name):
    with pytest.raises(FileNotFoundError, match=f"hf:{name} cannot be reached, or is neither there nor in the cache"):
        Agent.load(f"hf:{name}")


@pytest.mark.parametrize("name", ["me", "me/", "/rooms", "a/b/c", "me/rooms@"])
def test_what_is_no_name_of_a_repository_says_so(name):
    with pytest.raises(ValueError, match=r"give hf:USER/NAME\[@REVISION\]"):
        directory_of(f"hf:{name}")


def test_without_the_library_the_error_names_the_extra():
    code = """
import sys
sys.modules["huggingface_hub"] = None
from generalist.configs.commands.cli import main
raise SystemExit(main(["eval", "hf:me/rooms"]))
"""
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert "pip install 'generalist[hub]'" in done.stderr
    assert "Traceback" not in done.stderr
