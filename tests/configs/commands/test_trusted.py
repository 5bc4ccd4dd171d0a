"""Names inside data sets and runs are imported only where the command line has named them."""

import json
import os
import shutil
import subprocess
import sys

import gymnasium
import pytest
from tfds_sets import PUSHES, prepare, pushes

from generalist.configs.commands.cli import main
from generalist.configs.commands.trusted import without_trust
from generalist.demonstrations.collect import collect
from generalist.demonstrations.storage import dataset_folder
from generalist.envs import trust as module
from generalist.envs.files import read_json, write_json

ID = "gym:planted:Planted-v0"
COMMAND = [sys.executable, "-c", "from generalist.configs.commands.cli import main; raise SystemExit(main())"]


@pytest.fixture
def planted(tmp_path):
    """A module that leaves a file when it is imported, on the path of commands."""
    (tmp_path / "lib").mkdir()
    entry = "'gymnasium.envs.classic_control:CartPoleEnv', max_episode_steps=9"
    code = (
        f"import gymnasium\nopen({str(tmp_path / 'OWNED')!r}, 'w').close()\ngymnasium.register('Planted-v0', {entry})\n"
    )
    (tmp_path / "lib" / "planted.py").write_text(code)
    return tmp_path / "OWNED"


def command(folder, *arguments):
    """Exit code and output of a command in a process of its own."""
    path = os.pathsep.join([str(folder / "lib"), *sys.path])
    environment = os.environ | {
        "PYTHONPATH": path,
        "JAX_PLATFORMS": "cpu",
        "MINARI_DATASETS_PATH": str(folder / "minari"),
    }
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def recording(folder, id):
    """A recording of CartPole that says it is of that task."""
    collect("CartPole-v1", out=folder, episodes=2, workers=0, quiet=True)
    place = dataset_folder(folder, "CartPole-v1")
    write_json(place / "collection.json", read_json(place / "collection.json", "") | {"task": id})
    return place


def minari_set(folder, id):
    from generalist.demonstrations.public.minari import export_minari
    from generalist.demonstrations.storage import Demonstrations

    collect("CartPole-v1", out=folder / "own", episodes=2, workers=0, quiet=True)
    place = export_minari(Demonstrations.open(dataset_folder(folder / "own", "CartPole-v1")), "own/set-v0")
    about = json.loads((place / "data" / "metadata.json").read_text())
    (place / "data" / "metadata.json").write_text(json.dumps(about | {"dataset_id": id}))
    return place


def rlds_set(folder, id):
    place = prepare(folder, "pushing", PUSHES, pushes())
    info = json.loads((place / "dataset_info.json").read_text())
    info |= {"name": id, "moduleName": "planted"}
    info["splits"][0]["filepathTemplate"] = "pushing-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    (place / "dataset_info.json").write_text(json.dumps(info))
    return place


@pytest.mark.parametrize(("scheme", "make"), [("rlds", recording), ("rlds", rlds_set), ("minari", minari_set)])
def test_a_data_set_that_names_a_module_is_imported_and_the_module_is_not(
    tmp_path, planted, monkeypatch, capsys, scheme, make
):
    monkeypatch.setattr(module, "_trusted", set())
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.syspath_prepend(tmp_path / "lib")
    place = make(tmp_path / "given", ID)
    assert main(["import", f"{scheme}:{place}", "--out", str(tmp_path / "data")]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "the module 'planted' is named by a data set or a run and not imported" in said
    assert "--trust planted" in said
    assert not planted.exists()
    assert main(["import", f"{scheme}:{place}", "--out", str(tmp_path / "again"), "--trust", "planted"]) == 0
    assert planted.exists()
    del sys.modules["planted"]
    gymnasium.registry.pop("Planted-v0")


@pytest.mark.slow
def test_a_run_of_others_that_names_a_module_is_evaluated_with_it_only_if_it_is_trusted(tmp_path, planted):
    shared = ("--episodes", "2", "--policy", "random", "--workers", "1")
    code, said = command(tmp_path, "collect", "--task", ID, *shared)
    assert (code, planted.exists()) == (0, True), said
    code, said = command(tmp_path, "train", "smoke", "--task", ID, "--train.steps", "2", "--out", "run")
    assert code == 0, said
    planted.unlink()
    played = ("--episodes", "1", "--prompts", "0", "--no-films", "--workers", "1")
    code, said = command(tmp_path, "eval", "run", *played)
    assert (code, planted.exists()) == (0, True), f"it was trained here: {said}"
    planted.unlink()
    shutil.move(tmp_path / "run", tmp_path / "given")
    code, said = command(tmp_path, "eval", "given", *played)
    assert code == 2
    assert "the module 'planted' is named by a data set or a run and not imported" in said
    assert not planted.exists()
    shutil.rmtree(tmp_path / "given" / "evaluation", ignore_errors=True)
    code, said = command(tmp_path, "eval", "given", *played, "--trust", "planted")
    assert (code, planted.exists()) == (0, True), said


@pytest.mark.parametrize(
    ("given", "left", "trusted"),
    [
        (["eval", "run", "--trust", "mine"], ["eval", "run"], {"mine"}),
        (["eval", "run", "--trust=mine.envs", "--trust", "yours"], ["eval", "run"], {"mine.envs", "yours"}),
        (["collect", "--task", ID], ["collect", "--task", ID], {"planted"}),
        (["collect", f"--task={ID}"], ["collect", f"--task={ID}"], {"planted"}),
        (["train", "smoke", "--train.sources.0.task", ID], None, {"planted"}),
        (["collect", "--policy", "mine:act"], None, {"mine"}),
        (["collect", "--policy", "actor.npz"], None, set()),
        (["import", "minari:gym:planted:X-v0"], None, set()),
        (["collect", "--task", "gym:CartPole-v1"], None, set()),
    ],
)
def test_what_the_command_line_names_is_trusted(monkeypatch, given, left, trusted):
    monkeypatch.setattr(module, "_trusted", set())
    assert without_trust(given) == (given if left is None else left)
    assert module._trusted == trusted


def test_trust_needs_a_module():
    with pytest.raises(ValueError, match="--trust needs one such as my_package"):
        without_trust(["eval", "run", "--trust"])
