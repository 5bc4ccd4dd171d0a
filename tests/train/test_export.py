"""An export plays as its run does, holds no path of this machine, is whole or not there, and is believed in nothing."""

import json
import os
import shutil
import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file
from tiny import CONFIG, TASKS, demonstrations, leaves_of, train_here, trained

from generalist.envs.checksums import CHECKSUM, sealed
from generalist.envs.files import read_json
from generalist.play.agent import Agent
from generalist.train import timestep_sizes
from generalist.train.adapt import adapt
from generalist.train.adaptation import AdaptConfig
from generalist.train.adapter import named_parameters
from generalist.train.adapter_file import digest_of
from generalist.train.checkpoint import CheckpointError
from generalist.train.config import TrainableConfig
from generalist.train.export import prepared, public_corpus, write_export
from generalist.train.exported import FORMAT
from generalist.train.exported_files import CARD, EVALUATION, WEIGHTS
from generalist.train.exported_files import CONFIG as SAID
from generalist.train.foundation import Weights
from generalist.train.made_here import is_made_here, remember
from generalist.train.run import read_run, write_merged
from generalist.train.start import Start
from generalist.train.trained_network import abstract_network, trained_network


def exported(run, to: Path, **how):
    return write_export(prepared(read_run(run), to.name), to, card="# A card", **how)


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> Path:
    """Of the tiny run; not to be changed."""
    return exported(trained(), tmp_path_factory.mktemp("exports") / "tiny-1").directory


@pytest.fixture
def copy(export, tmp_path) -> Path:
    return Path(shutil.copytree(export, tmp_path / "copy"))


def said_otherwise(folder: Path, **changes) -> None:
    """Change its config.json as a stranger would, checksum and all; "a.b" is a field inside a field."""
    stored = json.loads((folder / SAID).read_text())
    for path, value in changes.items():
        *outer, last = path.split("__")
        part = stored
        for key in outer:
            part = part[int(key)] if isinstance(part, list) else part[key]
        part[last] = value
    (folder / SAID).write_text(json.dumps(sealed(stored)))


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


def test_another_format_is_refused(copy):
    said_otherwise(copy, export__format=FORMAT + 1)
    with pytest.raises(ValueError, match=f"export of format {FORMAT + 1}.*upgrade generalist"):
        read_run(copy)


def test_a_missing_file_is_named(copy):
    (copy / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=rf"{WEIGHTS} is missing; fetch it again"):
        read_run(copy)


def test_a_missing_configuration_is_named(copy):
    (copy / SAID).unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        read_run(copy)


def flipped(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("at", [0, 7, 12, 300, -1, -500])
def test_damaged_parameters_are_refused(copy, at):
    flipped(copy / WEIGHTS, at)
    with pytest.raises(CheckpointError, match=r"the export .* is damaged"):
        trained_network(read_run(copy))


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_a_file_that_is_cut_short_is_refused(copy, size):
    content = (copy / WEIGHTS).read_bytes()
    (copy / WEIGHTS).write_bytes(content[:size])
    with pytest.raises(CheckpointError, match=r"the export .* is damaged"):
        trained_network(read_run(copy))


def with_parameters(folder: Path, change) -> None:
    """Other arrays, which config.json agrees with: what a stranger may write."""
    arrays = change(load_file(folder / WEIGHTS))
    save_file(arrays, folder / WEIGHTS)
    said_otherwise(folder, export__digests={name: digest_of(value) for name, value in arrays.items()})


def test_other_parameters_than_the_configuration_needs_are_refused_by_name(copy):
    with_parameters(copy, lambda arrays: {**arrays, "more": np.zeros(3, np.float32)})
    with pytest.raises(CheckpointError, match="other parameters than its configuration says: more"):
        trained_network(read_run(copy))


def test_shapes_types_and_values_are_checked(copy):
    before = load_file(copy / WEIGHTS)
    [name] = [each for each in before if each.startswith("tokens/")]
    for wrong in (before[name][:-1], before[name].astype(np.float16), np.full_like(before[name], np.nan)):
        with_parameters(copy, lambda arrays, wrong=wrong: {**before, name: np.ascontiguousarray(wrong)})
        with pytest.raises(CheckpointError, match=f"is damaged: ({name}|its configuration needs at least)"):
            trained_network(read_run(copy))


HOSTILE = {
    "config__agent__width": 2**20,
    "config__agent__layers": 10**9,
    "config__agent__window": 2**40,
    "config__agent__feedforward": 2**40,
    "config__agent__local_positions": 2**40,
    "config__vocabulary__bins": 10**11,
    "config__vocabulary__text_size": 10**12,
    "config__accumulation": 10**9,
    "config__agent__vector_hidden": 10**12,
    "config__sources": 3,
    "layouts": {},
    "config": [],
    "files": {"/dev/zero": [1, "x"]},
    "export__name": "../../elsewhere",
    "export__step": None,
    "export__digests": {},
    "export": 3,
}


@pytest.mark.parametrize("field", HOSTILE)
def test_what_a_stranger_asks_for_is_refused_before_it_is_allocated(copy, field):
    resource = pytest.importorskip("resource")
    said_otherwise(copy, **{field: HOSTILE[field]})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=str(copy)):
        trained_network(read_run(copy))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


def test_a_space_that_no_memory_would_hold_is_refused(copy):
    stored = json.loads((copy / SAID).read_text())
    text = json.dumps(stored["layouts"][TASKS[0]]).replace("[4]", f"[{2**40}]")
    said_otherwise(copy, **{f"layouts__{TASKS[0]}": json.loads(text)})
    with pytest.raises(ValueError, match="it speaks of an array of"):
        read_run(copy)


def shown_as(folder: Path, *, observation=None, action=None, **options) -> None:
    """Other spaces and options of the first task, as a stranger would write them."""
    stored = json.loads((folder / SAID).read_text())
    layout = stored["layouts"][TASKS[0]]
    layout["observation_space"] = observation or layout["observation_space"]
    layout["statistics"] = {} if observation else layout["statistics"]
    layout["action_space"] = action or layout["action_space"]
    stored["config"]["sources"][0]["layout"] |= options
    (folder / SAID).write_text(json.dumps(sealed(stored)))


def binary(*shape) -> dict:
    return {"space": "MultiBinary", "shape": [*shape]}


def text(length: int) -> dict:
    return {"space": "Text", "min_length": 1, "max_length": length, "charset": "ab"}


def box(shape: list, dtype: str) -> dict:
    return {"space": "Box", "shape": shape, "dtype": dtype, "low": 0, "high": 1}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"action": text(2 * 10**6)}, "has 2,000,001 tokens or more, its agent.window is 32"),
        ({"action": binary([2**21])}, r"\[\[2097152\]\] is no shape of an array"),
        ({"action": binary(2**16), "chunk": 32}, "has 2,097,153 tokens or more"),
        ({"action": binary(2**20)}, "has 1,048,577 tokens or more"),
        ({"observation": binary(2**20)}, "has 1,048,577 tokens or more"),
        ({"observation": box([2**18], "float32")}, "has 262,144 values, more than there are parameters"),
        ({"observation": {"space": "Tuple", "spaces": [box([2**23], "float64")] * 9}}, "arrays of 134,236,544 bytes"),
        ({"image_shape": ["9", "9", "3"]}, "is no shape of an array"),
    ],
)
def test_a_few_bytes_that_speak_of_many_tokens_are_refused_before_anything_is_made_of_them(copy, asked, said):
    """Python's own memory: a layout of a million tokens takes a hundred megabytes."""
    shown_as(copy, **asked)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=said):
            read_run(copy)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_all_tasks_together_are_bounded_too(copy, monkeypatch):
    monkeypatch.setattr(timestep_sizes, "MOST_TOKENS", 20)
    shown_as(copy, action=binary(18))
    with pytest.raises(CheckpointError, match=r"timesteps of its tasks have 2\d tokens or more, more than 20"):
        read_run(copy)


def test_a_value_that_is_called_a_shape_is_no_shape(copy):
    """Its statistics stand under its path."""
    shape = "observation/shape"
    shown_as(copy, observation={"space": "Dict", "spaces": [["shape", box([2], "float32")]]})
    said_otherwise(copy, **{f"layouts__{TASKS[0]}__statistics": {shape: [[0.5, 0.5], [1.0, 1.0]]}})
    assert list(read_run(copy).layouts[TASKS[0]].statistics) == [shape]


def test_a_large_or_endless_file_beside_it_is_refused(copy):
    (copy / EVALUATION).symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=rf"{EVALUATION} is no file of at most"):
        read_run(copy)


def test_a_text_tokenizer_is_never_taken_from_elsewhere(copy):
    said_otherwise(copy, config__text={"tokenizer": "sentencepiece", "model": "/etc/passwd"})
    with pytest.raises(ValueError, match=r"tokenizer\.model is missing"):
        read_run(copy)


def test_a_module_that_a_stranger_names_is_not_imported(copy, tmp_path, monkeypatch):
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    stored = json.loads((copy / SAID).read_text())
    evil = "gym:evil_module:CartPole-v1"
    stored["config"]["sources"][0]["task"] = evil
    stored["layouts"][evil] = stored["layouts"].pop(TASKS[0])
    (copy / SAID).write_text(json.dumps(sealed(stored)))
    agent = Agent.load(copy)
    from generalist.eval.playable import split_tasks

    with pytest.raises(ValueError, match="--trust evil_module"):
        split_tasks(agent, (), "data")


def test_a_header_that_says_it_is_huge_is_not_read(copy):
    content = (copy / WEIGHTS).read_bytes()
    (copy / WEIGHTS).write_bytes(struct.pack("<Q", 2**62) + content[8:])
    with pytest.raises(CheckpointError, match="its header says that it has"):
        trained_network(read_run(copy))


def test_one_changed_by_hand_needs_no_checksum(copy):
    stored = json.loads((copy / SAID).read_text())
    stored["config"]["steps"] = 77
    (copy / SAID).write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="is damaged"):
        read_run(copy)
    del stored[CHECKSUM]
    (copy / SAID).write_text(json.dumps(stored))
    assert read_run(copy).config.steps == 77
