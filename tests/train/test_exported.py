"""An export that is damaged, or a stranger's, is refused with its name, and nothing large is made before."""

import json
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from exports import said_otherwise
from safetensors.numpy import load_file, save_file
from tiny import TASKS

from generalist.envs.checksums import CHECKSUM, sealed
from generalist.play.agent import Agent
from generalist.train import timestep_sizes
from generalist.train.adapter_file import digest_of
from generalist.train.checkpoint import CheckpointError
from generalist.train.exported import FORMAT
from generalist.train.exported_files import CONFIG as SAID
from generalist.train.exported_files import EVALUATION, WEIGHTS
from generalist.train.run import read_run
from generalist.train.trained_network import trained_network


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
        ({"action": binary(2**20), "actions": "direct"}, "has 1,048,576 tokens, more than there are parameters"),
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
