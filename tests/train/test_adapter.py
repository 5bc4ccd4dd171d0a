"""An adapter file gives back the run it was made of, on its own foundation and on no other, whole or not at all."""

import functools
import hashlib
import json
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors import safe_open
from safetensors.numpy import load_file, save
from tiny import CONFIG, leaves_of, train_here, trained

from generalist.envs.checksums import sealed
from generalist.envs.files import read_json
from generalist.play.agent import Agent
from generalist.train.adapter import (
    WrongFoundation,
    apply_adapter,
    digests_of,
    merge_adapter,
    named_parameters,
    save_adapter,
)
from generalist.train.adapter_file import KEY, digest_of, fingerprint, read_parameters, read_said
from generalist.train.checkpoint import CheckpointError
from generalist.train.config import TrainableConfig
from generalist.train.run import EVALUATION, Run, read_run, write_merged
from generalist.train.start import Start
from generalist.train.trainable import name_of
from generalist.train.trained_network import abstract_network, trained_network

LORA = TrainableConfig(how="lora", rank=2, alpha=3.0, also=("vector/out",))


def changed(directory: Path, trainable: TrainableConfig, which=lambda name: True, **agent) -> Run:
    """The trained run with these settings and every parameter changed that `which` names, as a run of its own."""
    run = read_run(trained())
    config = replace(run.config, trainable=trainable, agent=replace(run.config.agent, **agent))
    _, abstract = abstract_network(config, run.layouts)
    before, rng = named_parameters(trained_network(run)[1]), np.random.default_rng(0)

    def value(path, leaf):
        name, shape = name_of(path), leaf.get_value().shape
        old = before.get(name, np.zeros(shape, np.float32))
        old = old if old.shape == shape else np.zeros(shape, np.float32)
        drawn = rng.normal(0, 0.3, shape).astype(np.float32) if which(name) or "lora" in name else 0.0
        return jax.numpy.asarray(old + drawn)

    values = [value(path, leaf) for path, leaf in nnx.to_flat_state(abstract)]
    state = jax.tree.unflatten(jax.tree.structure(abstract), values)
    write_merged(directory, replace(run, config=config), state, 9)
    return read_run(directory)


@pytest.fixture(scope="module")
def adapted(tmp_path_factory) -> Run:
    return changed(tmp_path_factory.mktemp("runs") / "door", LORA, lambda name: name.startswith("vector/out"))


@pytest.fixture(scope="module")
def file(adapted, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("files") / "door.safetensors"
    save_adapter(adapted, path)
    return path


@functools.cache
def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    return {name: value.shape for name, value in load_file(path).items()}


def equal(one: Agent, other: Agent) -> bool:
    pairs = zip(leaves_of(one.state), leaves_of(other.state), strict=True)
    return one.graphdef == other.graphdef and all(np.array_equal(left, right) for left, right in pairs)


def test_the_foundation_with_the_file_is_the_run_to_the_bit(adapted, file):
    agent = Agent.load(trained(), adapter=file)
    assert equal(agent, Agent.load(adapted.directory))
    assert not equal(agent, Agent.load(trained()))
    assert (agent.step, agent.tasks) == (9, tuple(adapted.layouts))
    assert agent.run.config == adapted.config
    assert agent.policy("CartPole-v1")(np.zeros(4, np.float32)) in (0, 1)


def test_it_holds_what_was_trained_alone_and_says_what_it_is(adapted, file):
    names = {f"{part}/lora/{each}" for part in MATRICES for each in "ab"} | {"vector/out/kernel", "vector/out/bias"}
    assert {*shapes(file)} == {f"transformer/blocks/{name}" if "lora" in name else name for name in names}
    with safe_open(file, framework="numpy") as opened:
        said = json.loads(opened.metadata()[KEY])
    assert said["format"] == 1
    assert (said["run"], said["step"], said["tasks"]) == ("door", 9, list(adapted.layouts))
    assert said["config"]["trainable"] | {"parts": 0} == {
        "how": "lora", "rank": 2, "alpha": 3.0, "parts": 0, "also": ["vector/out"]
    }  # fmt: skip
    assert {*said["layouts"]} == {*adapted.layouts}
    assert {*said["frozen"]} == {*named_parameters(trained_network(adapted)[1])} - {*shapes(file)}
    assert str(trained()) not in file.read_bytes().decode(errors="replace")  # no path of this machine


MATRICES = (*(f"attention/{name}" for name in ("query", "key", "value", "out")), *(
    f"feedforward/{name}" for name in ("gate", "up", "down")
))  # fmt: skip


def test_a_head_is_a_file_too_and_a_whole_network_is_none(tmp_path):
    head = changed(tmp_path / "head", TrainableConfig(how="head"), lambda name: name in HEAD)
    save_adapter(head, tmp_path / "head.safetensors")
    assert {*shapes(tmp_path / "head.safetensors")} == HEAD
    assert equal(Agent.load(trained(), adapter=tmp_path / "head.safetensors"), Agent.load(head.directory))
    with pytest.raises(ValueError, match="trained all of its parameters"):
        save_adapter(trained(), tmp_path / "full.safetensors")
    assert not (tmp_path / "full.safetensors").exists()


HEAD = {"tokens/rows", "transformer/norm/scale"}


def test_another_foundation_is_refused_with_both_fingerprints(tmp_path, file):
    other = changed(tmp_path / "other", TrainableConfig(), lambda name: name == "local/rows")
    mine = fingerprint(frozen_of(trained(), file))[:12]
    its = fingerprint(frozen_of(other.directory, file))[:12]
    assert mine != its
    said = rf"\(of the run 'door'\) was trained on the foundation {mine}, .*/other at update 9 is {its}: 1 of 1\d "
    with pytest.raises(WrongFoundation, match=said + r"parameters differ \(local/rows\)"):
        Agent.load(other.directory, adapter=file)
    wide = changed(tmp_path / "wide", TrainableConfig(), local_positions=CONFIG.agent.local_positions)
    deep = replace(wide, config=replace(wide.config, agent=replace(wide.config.agent, window=64)))
    write_merged(tmp_path / "deep", deep, trained_network(wide)[1], 9)
    with pytest.raises(WrongFoundation, match="its agent differs"):
        apply_adapter(tmp_path / "deep", file)


def test_what_the_file_replaces_may_differ_in_the_foundation(tmp_path, file, adapted):
    """Only what stays is the foundation's: parts that are trained whole come with the file."""
    other = changed(tmp_path / "other", TrainableConfig(), lambda name: name.startswith("vector/out"))
    assert equal(Agent.load(other.directory, adapter=file), Agent.load(adapted.directory))


def test_an_adapter_may_look_back_further_and_number_more_positions_than_its_foundation(tmp_path):
    """As that of a task whose timesteps are longer."""
    wider = {"window": CONFIG.agent.window * 2, "local_positions": CONFIG.agent.local_positions + 8}
    run = changed(tmp_path / "run", replace(LORA, also=("local",)), lambda name: name == "local/rows", **wider)
    save_adapter(run, tmp_path / "one.safetensors")
    assert equal(Agent.load(trained(), adapter=tmp_path / "one.safetensors"), Agent.load(run.directory))


def frozen_of(run: Path, file: Path) -> dict[str, str]:
    names = read_said(file)["frozen"]
    found = named_parameters(trained_network(read_run(run))[1])
    return digests_of({name: value for name, value in found.items() if name in names})


def test_the_fingerprint_is_a_sha256_that_any_program_can_compute():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    one = hashlib.sha256(b"[2, 3]" + struct.pack("<6f", *range(6))).hexdigest()
    assert digest_of(array) == digest_of(np.asfortranarray(array)) == one
    both = {"b/kernel": one, "a": digest_of(np.zeros(1, np.float32))}
    assert fingerprint(both) == hashlib.sha256(f"a {both['a']}\nb/kernel {one}\n".encode()).hexdigest()
    assert digest_of(array) != digest_of(array.reshape(3, 2))


def test_damage_is_refused_wherever_it_is(tmp_path, file):
    """One flipped bit at a time, and every kind of end: refused with the file's name, or it changes nothing."""
    whole, path = file.read_bytes(), tmp_path / "damaged.safetensors"
    rng, kept = np.random.default_rng(0), 0
    damaged = [whole[:length] for length in (0, 5, 8, 100, len(whole) // 2, len(whole) - 1)] + [whole + b"\0"]
    for at in (*range(0, 8), *rng.integers(8, len(whole), 300)):
        damaged.append(whole[:at] + bytes([whole[at] ^ 1 << rng.integers(8)]) + whole[at + 1 :])
    wanted = load_file(file)
    for content in damaged:
        path.write_bytes(content)
        found, refusal = tried(path, file)
        assert refusal is None or ("damaged.safetensors" in refusal and "\n" not in refusal)
        kept += refusal is None
        assert refusal or all(np.array_equal(found[name], wanted[name]) for name in wanted)
    assert kept <= 3  # spaces that pad the header


def tried(path: Path, file: Path):
    """The parameters, or why the file is refused."""
    try:
        return read_parameters(path, read_said(path), shapes(file)), None
    except ValueError as error:
        return {}, str(error)


def written(path: Path, file: Path, change, arrays=None) -> Path:
    """The file with another description, sealed as if it had been written so."""
    said = read_said(file)
    change(said)
    content = save(arrays or load_file(file), metadata={KEY: json.dumps(sealed(said))})
    path.write_bytes(content)
    return path


def bomb(said):
    said["layouts"]["CartPole-v1"]["observation_space"]["shape"] = [10**6, 10**6]


def many_tokens(said):
    said["layouts"]["CartPole-v1"]["action_space"] = {"space": "MultiBinary", "shape": [2**18]}


def long_vector(said):
    said["layouts"]["CartPole-v1"]["observation_space"] |= {"shape": [2**18], "low": 0, "high": 1}
    said["layouts"]["CartPole-v1"]["statistics"] = {}


def other_type(said):
    said["layouts"]["CartPole-v1"]["observation_space"]["dtype"] = "V1000000000"


def many_layers(said):
    said["config"]["agent"]["layers"] = 10**9


def high_rank(said):
    said["config"]["trainable"]["rank"] = 10


def unknown_field(said):
    said["config"]["command"] = "rm"


def older(said):
    said["format"] = 0


def less_frozen(said):
    said["frozen"].pop("local/rows")
    said["foundation"] = fingerprint(said["frozen"])


def many_spaces(said):
    part = said["layouts"]["CartPole-v1"]["observation_space"]
    said["layouts"]["more"] = {str(number): part | {"shape": [2**20]} for number in range(129)}


def endless_window(said):
    said["config"]["agent"]["window"] = 10**12


def endless_positions(said):
    said["config"]["agent"]["local_positions"] = 10**12


def no_episodes(said):
    said["episodes"] = 5


def no_layout(said):
    said["layouts"].pop("CartPole-v1")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (bomb, "it speaks of an array of 1000000 x 1000000"),
        (many_spaces, "it speaks of arrays of 134,2.* more than 134,217,728"),
        (many_tokens, "a timestep of CartPole-v1 has 262,145 tokens or more"),
        (long_vector, "a vector of CartPole-v1 has 262,144 values, more than there are parameters"),
        (endless_window, "its agent.window 1000000000000 is more than 16 times"),
        (endless_positions, "its agent.local_positions 1000000000000 is more than 16 times"),
        (no_episodes, "does not say what is needed to play it"),
        (other_type, "'V1000000000' is no type of numbers"),
        (many_layers, "its agent differs"),
        (high_rank, r"transformer/blocks/attention/key/lora/a is F32 \[1, 16, 2\], needed is F32 \[1, 16, 10\]"),
        (unknown_field, "not a training configuration.*command"),
        (older, "format 0, this version reads 1"),
        (less_frozen, "what it says of its foundation is not what its configuration needs"),
        (no_layout, "does not say what is needed to play it: 'CartPole-v1'"),
    ],
)
def test_a_file_that_says_what_cannot_be_is_refused(tmp_path, file, change, said):
    with pytest.raises(ValueError, match=said):
        apply_adapter(trained(), written(tmp_path / "made.safetensors", file, change))


def test_arrays_that_cannot_be_are_refused(tmp_path, file):
    arrays = load_file(file)
    name = next(name for name in arrays if name.endswith("/a"))
    for value, said in (
        (np.full_like(arrays[name], np.nan), "values that are not finite"),
        (arrays[name].astype(np.float16), "is F16"),
        (arrays[name] + 1, "is not what was written"),
    ):

        def digests(found, value=value):
            if value.dtype == np.float32 and np.isnan(value).any():
                found["parameters"][name] = digest_of(value)

        path = written(tmp_path / "made.safetensors", file, digests, arrays | {name: value})
        with pytest.raises(ValueError, match=said):
            apply_adapter(trained(), path)
    path = written(tmp_path / "made.safetensors", file, lambda found: None, arrays | {"more": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match="holds other parameters than it says: more"):
        apply_adapter(trained(), path)


def test_a_header_is_not_believed(tmp_path, file):
    path = tmp_path / "long.safetensors"
    path.write_bytes(struct.pack("<Q", 2**60) + file.read_bytes()[8:])
    with pytest.raises(ValueError, match=f"its header says that it has {2**60} bytes"):
        read_said(path)
    path.write_bytes(save({"a": np.zeros(3, np.float32)}))
    with pytest.raises(ValueError, match="no adapter of generalist"):
        read_said(path)
    path.write_bytes(save({"a": np.zeros(3, np.float32)}, metadata={KEY: "[" * 10**5}))
    with pytest.raises(ValueError, match="is damaged"):
        read_said(path)
    path.write_bytes(save({"a": np.zeros(3, np.float32)}, metadata={KEY: json.dumps({"format": 1})}))
    with pytest.raises(ValueError, match="its description has no checksum"):
        read_said(path)
    with pytest.raises(FileNotFoundError, match=r"there is no adapter .*generalist adapter export"):
        read_said(tmp_path / "none.safetensors")


def test_merged_is_a_run_that_plays_the_same_and_cannot_be_resumed(tmp_path, file):
    run = merge_adapter(trained(), file, tmp_path / "whole")
    assert run.config.trainable == TrainableConfig()
    whole, apart = Agent.load(tmp_path / "whole"), Agent.load(trained(), adapter=file)
    assert len(leaves_of(whole.state)) == len(leaves_of(Agent.load(trained()).state)) < len(leaves_of(apart.state))
    rng, policies = np.random.default_rng(0), [agent.policy("CartPole-v1") for agent in (whole, apart)]
    for observation in rng.normal(0, 1, (10, 4)).astype(np.float32):
        assert policies[0](observation) == policies[1](observation)
    with pytest.raises(FileExistsError, match="is there already"):
        merge_adapter(trained(), file, tmp_path / "whole")
    with pytest.raises(CheckpointError, match=r"holds a network alone, which training cannot go on from; .*--weights"):
        train_here(tmp_path / "whole", start=Start(resume=True), steps=20)


def test_merged_is_measured_as_its_foundation_is(tmp_path, file):
    foundation = shutil.copytree(trained(), tmp_path / "foundation")
    (foundation / EVALUATION).write_text('{"episodes": 7}')
    merge_adapter(foundation, file, tmp_path / "whole")
    assert read_json(tmp_path / "whole" / EVALUATION, "") == {"episodes": 7}


def test_a_merge_that_fails_leaves_nothing(tmp_path, file, monkeypatch):
    def fail(*_):
        raise RuntimeError("cannot")

    monkeypatch.setattr("generalist.train.adapter.write_merged", lambda begun, *rest: (begun.mkdir(), fail()))
    with pytest.raises(RuntimeError):
        merge_adapter(trained(), file, tmp_path / "whole")
    assert [*tmp_path.iterdir()] == []


def test_an_adapter_on_a_run_with_lora_of_its_own_is_refused(adapted, file):
    with pytest.raises(WrongFoundation, match=r"LoRA of its own, not merged; .* adapter merge"):
        apply_adapter(adapted, file)
