"""An export plays as its run does, holds no path of this machine, and is whole or not there."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from exports import exported, said_otherwise
from flax import nnx
from safetensors.numpy import load_file
from tiny import CONFIG, TASKS, demonstrations, leaves_of, train_here, trained

from generalist.envs.files import read_json
from generalist.play.agent import Agent
from generalist.train.adapt import adapt
from generalist.train.adaptation import AdaptConfig
from generalist.train.adapter import named_parameters
from generalist.train.checkpoint import CheckpointError
from generalist.train.config import TrainableConfig
from generalist.train.export import prepared, public_corpus, write_export
from generalist.train.exported_files import CARD, WEIGHTS
from generalist.train.exported_files import CONFIG as SAID
from generalist.train.foundation import Weights
from generalist.train.made_here import is_made_here, remember
from generalist.train.run import read_run, write_merged
from generalist.train.start import Start
from generalist.train.trained_network import abstract_network, trained_network


def equal(one, other) -> bool:
    pairs = zip(leaves_of(one), leaves_of(other), strict=True)
    return all(np.array_equal(left, right) for left, right in pairs)


def test_it_has_the_parameters_the_tasks_and_the_statistics_of_the_run_to_the_bit(export):
    run, found = read_run(trained()), read_run(export)
    (graph, state, step), (there, stored, update) = trained_network(run), trained_network(found)
    assert (graph, step) == (there, update)
    assert equal(state, stored)
    assert found.layouts == run.layouts
    assert found.episodes == run.episodes
    assert (found.name, found.data) == ("tiny-1", "data")
    assert {*load_file(export / WEIGHTS)} == {*named_parameters(state)}


def test_the_mesh_is_that_of_whoever_loads_it(copy):
    said_otherwise(copy, config__mesh={"data": 64, "fsdp": 8, "tensor": 8, "cpu_devices": 10**6})
    mesh = read_run(copy).config.mesh
    assert (mesh.data, mesh.fsdp, mesh.tensor) == (-1, 1, 1)
    assert mesh.cpu_devices == os.cpu_count()


def test_its_agent_acts_as_that_of_the_run(export):
    agents = [Agent.load(trained()), Agent.load(export)]
    policies = [agent.policy(TASKS[0]) for agent in agents]
    for number in range(5):
        observation = np.full(4, 0.01 * number, np.float32)
        assert policies[0](observation) == policies[1](observation)


@pytest.mark.rare
def test_it_is_laid_out_on_the_mesh_of_whoever_trains_on_from_it(export, tmp_path):
    config = replace(CONFIG, mesh=replace(CONFIG.mesh, data=2, fsdp=2), steps=1)
    both = [
        train_here(tmp_path / name, config=config, start=Start(weights=Weights(run=place)), optimizer=STILL)
        for name, place in (("one", trained()), ("two", export))
    ]
    assert equal(*(trained_network(read_run(each))[1] for each in both))


STILL = replace(CONFIG.optimizer, learning_rate=1e-12)


def test_no_word_in_it_is_a_path_of_this_machine(export):
    text = "".join((export / name).read_text() for name in os.listdir(export) if name != WEIGHTS)
    for path in (trained().parent, Path.home(), Path.cwd(), demonstrations()):
        assert str(path) not in text
    assert public_corpus("text:/home/me/books") == "text:books"
    assert public_corpus("scenes/captions") == "scenes/captions"
    assert public_corpus("drawings:scenes/captions") == "drawings:scenes/captions"
    assert public_corpus("drawings:images:/home/me/rooms") == "drawings:images:rooms"


@pytest.mark.rare
def test_it_can_be_adapted_from_without_its_demonstrations(export, tmp_path):
    shutil.copytree(demonstrations(), tmp_path / "new")
    config = AdaptConfig(episodes=4, steps=2, failures=True)
    run = adapt(export, [TASKS[1]], config, data=tmp_path / "new", out=tmp_path / "adapted", quiet=True)
    assert run.foundation is not None
    assert run.foundation["run"] == str(export)
    with pytest.raises(FileNotFoundError, match="--data"):
        adapt(export, ["Acrobot-v1"], config, out=tmp_path / "other", quiet=True)
    again = exported(run, tmp_path / "second")
    assert read_json(again.directory / SAID, "")["foundation"]["run"] == "tiny-1"
    assert equal(trained_network(again)[1], trained_network(run)[1])


def test_a_run_with_lora_has_it_in_its_export_too(tmp_path):
    run = read_run(trained())
    config = replace(run.config, trainable=TrainableConfig(how="lora", rank=2))
    _, abstract = abstract_network(config, run.layouts)
    draw = np.random.default_rng(0)
    values = [jax.numpy.asarray(draw.normal(size=leaf.get_value().shape), "float32") for _, leaf in flat(abstract)]
    state = jax.tree.unflatten(jax.tree.structure(abstract), values)
    write_merged(tmp_path / "run", replace(run, config=config), state, 9)
    found = exported(tmp_path / "run", tmp_path / "lora")
    assert any("lora" in name for name in load_file(tmp_path / "lora" / WEIGHTS))
    assert equal(trained_network(found)[1], state)


def flat(state):
    return nnx.to_flat_state(state)


def test_a_run_that_computes_in_bfloat16_is_exported_as_any_other(tmp_path):
    run = read_run(trained())
    config = replace(run.config, agent=replace(run.config.agent, dtype="bfloat16"))
    state = trained_network(run)[1]
    write_merged(tmp_path / "run", replace(run, config=config), state, 9)
    found = exported(tmp_path / "run", tmp_path / "half")
    assert found.config.agent.dtype == "bfloat16"
    assert equal(trained_network(found)[1], state)


def test_a_chosen_checkpoint_is_exported_and_no_other_is_there_then(tmp_path):
    run = read_run(trained())
    found = write_export(prepared(run, "early", 3), tmp_path / "early", card="")
    assert found.exported is not None
    assert found.exported.step == 3
    assert trained_network(found, 3)[2] == 3
    with pytest.raises(CheckpointError, match="export of update 3 alone, asked for is update 6"):
        trained_network(found, 6)
    with run.open_weights() as checkpoints:
        best = checkpoints.chosen("best")
    made = write_export(prepared(run, "best", "best"), tmp_path / "best", card="")
    assert trained_network(made, "best")[2] == best
    with pytest.raises(ValueError, match="is an export already"):
        prepared(found, "again")
    with pytest.raises(ValueError, match="no name of an export"):
        prepared(run, "two words")


def test_what_is_there_is_replaced_only_if_it_is_an_export_and_that_is_asked_for(export, copy, tmp_path):
    found = prepared(read_run(trained()), "copy")
    with pytest.raises(FileExistsError, match="--overwrite"):
        write_export(found, copy, card="")
    write_export(found, copy, card="other", overwrite=True)
    assert (copy / CARD).read_text() == "other"
    (copy / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"it holds mine\.txt"):
        write_export(found, copy, card="", overwrite=True)
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / CARD).write_text("notes")
    with pytest.raises(FileExistsError, match="it holds no export"):
        write_export(found, folder, card="", overwrite=True)
    assert (folder / CARD).read_text() == "notes"
    assert {path.name for path in tmp_path.iterdir()} == {"copy", "notes"}


def test_one_that_cannot_be_finished_leaves_the_old_one_and_nothing_else(copy, tmp_path):
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    found = prepared(read_run(trained()), "copy")
    with pytest.raises(ValueError, match="Out of range float"):
        write_export(found, copy, card="", scores={"mean": float("nan")}, overwrite=True)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


@pytest.mark.parametrize("at", [1, 2])
def test_one_that_is_interrupted_leaves_the_old_one_and_nothing_else(copy, tmp_path, monkeypatch, at):
    """Ctrl-C before the old one is moved away, or after it and before the new one stands there."""
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    found, move, moved = prepared(read_run(trained()), "copy"), os.replace, []

    def replaced(source, target):
        if copy in (Path(source), Path(target)):
            moved.append(target)
            if len(moved) == at:
                raise KeyboardInterrupt
        move(source, target)

    monkeypatch.setattr(os, "replace", replaced)
    with pytest.raises(KeyboardInterrupt):
        write_export(found, copy, card="new", overwrite=True)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_nothing_is_trained_into_it(copy):
    before = sorted(os.listdir(copy))
    for start in (Start(resume=True), Start(overwrite=True), Start()):
        with pytest.raises(FileExistsError, match="is an export, which is only read"):
            train_here(copy, start=start)
    trained_network(read_run(copy))
    assert sorted(os.listdir(copy)) == before


def test_it_is_never_made_here(export, tmp_path):
    assert not is_made_here(export)
    run = Path(shutil.copytree(trained(), tmp_path / "run"))
    remember(run)
    assert is_made_here(run)
    shutil.rmtree(run)
    shutil.copytree(export, run)
    assert not is_made_here(run)
    remember(run)
    assert not is_made_here(run)
