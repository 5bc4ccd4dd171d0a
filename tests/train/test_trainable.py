"""What is trained moves, the rest stays to the bit and has no optimizer state; LoRA trains, resumes and is split."""

import functools
import itertools
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding
from tiny import CONFIG, demonstrations, leaves_of, metrics_of, train_here

from generalist.agent.config import AgentConfig, InputSizes
from generalist.agent.loss import LossConfig
from generalist.agent.sharding import make_mesh
from generalist.play.agent import Agent
from generalist.tokenizers.sequence import TokenBatch
from generalist.train.config import OptimizerConfig, TrainableConfig, TrainConfig
from generalist.train.data import packed_rows
from generalist.train.metrics import MetricsWriter
from generalist.train.packing import to_batch
from generalist.train.sources import Mixture, input_sizes, open_mixture
from generalist.train.start import Start
from generalist.train.step import abstract_state, create_state, make_step
from generalist.train.trainable import name_of, split_trained, trained

LORA = TrainableConfig(how="lora", rank=2)
JOB = replace(
    CONFIG,
    agent=AgentConfig(
        width=32, layers=2, heads=8, head_size=4, feedforward=64, window=32, vector_hidden=16, source_embedding=True
    ),
    optimizer=OptimizerConfig(learning_rate=1e-2, initial_rate=0.0, warmup_steps=2, decay_steps=0, weight_decay=0.1),
    batch_size=8,
    steps=100,
)
"""Every dimension that a mesh axis may split is a multiple of 8."""


@functools.cache
def mixture() -> Mixture:
    return open_mixture(JOB, demonstrations())


@functools.cache
def examples() -> list[TokenBatch]:
    found = mixture()
    stream = packed_rows(found.sources, found.weights, found.capacity, rows=JOB.batch_size)
    return [to_batch([packed], found.capacity) for packed in itertools.islice(stream, 6)]


def job(trainable: TrainableConfig, **changes) -> TrainConfig:
    return replace(JOB, trainable=trainable, **changes)


def sizes() -> InputSizes:
    return input_sizes(JOB, list(mixture().layouts.values()))


def named(state) -> dict[str, np.ndarray]:
    return {name_of(path): np.asarray(leaf.get_value()) for path, leaf in nnx.to_flat_state(state)}


@functools.cache
def initial(trainable: TrainableConfig):
    """Graph and initial state on one device, as NumPy arrays."""
    graphdef, state = create_state(job(trainable), sizes(), make_mesh(1))
    return graphdef, jax.device_get(state)


@functools.cache
def placed_and_step(config: TrainConfig, mesh_sizes: tuple[int, int, int]):
    """How the state lies on a mesh, and the compiled update."""
    mesh = make_mesh(*mesh_sizes)
    graphdef, abstract = abstract_state(config, sizes(), mesh)
    layout = jax.tree.map(lambda leaf: NamedSharding(mesh, leaf.sharding.spec), abstract)
    loss = LossConfig(targets=mixture().capacity.targets)
    return layout, make_step(config, graphdef, jax.device_put(initial(config.trainable)[1], layout), loss, mesh)


def updates(config: TrainConfig, given: list[TokenBatch], mesh_sizes: tuple[int, int, int] = (1, 1, 1)):
    """The state after these updates, and the metrics of each."""
    layout, step = placed_and_step(config, mesh_sizes)
    state, metrics = jax.device_put(initial(config.trainable)[1], layout), []
    for batch in given:
        state, one = step(state, batch)
        metrics.append(jax.device_get(one))
    return jax.device_get(state), metrics


EXPECTED = {
    "lora": lambda name: "/lora/" in name or name == "source/rows",
    "head": lambda name: name in ("tokens/rows", "transformer/norm/scale"),
    "embedding": lambda name: name == "source/rows",
}


@pytest.mark.parametrize("how", EXPECTED)
def test_what_is_trained_moves_and_the_rest_stays_to_the_bit(how):
    """And the loss of one batch falls, whatever is trained; nothing of the rest has a place in the optimizer."""
    trainable = replace(LORA, how=how)
    after, metrics = updates(job(trainable), [examples()[0]] * 25)
    before, now = named(initial(trainable)[1][0]), named(after[0])
    moved = {name for name in now if not np.array_equal(before[name], now[name])}
    assert moved == {name for name in now if EXPECTED[how](name)}
    assert metrics[-1]["objective"] < 0.9 * metrics[0]["objective"]
    held = {name_of(path) for path, _ in nnx.to_flat_state(after[1])}
    for moment in ("mu", "nu"):
        names = {name.split(f"/{moment}/")[1] for name in held if f"/{moment}/" in name}
        assert names == moved
    assert sum(leaf.size for leaf in jax.tree.leaves(after[1])) - 2 * sum(now[name].size for name in moved) <= 3


def test_the_foundation_under_lora_is_that_without_it_and_so_is_the_first_loss():
    plain, low = named(initial(TrainableConfig())[1][0]), named(initial(LORA)[1][0])
    for name, value in plain.items():
        np.testing.assert_array_equal(low[name], value, err_msg=name)
    first = [updates(job(how), examples()[:1])[1][0]["objective"] for how in (TrainableConfig(), LORA)]
    assert first[0] == first[1]


def test_by_default_the_parameters_are_those_of_earlier_versions():
    """So that their checkpoints restore: no name is new, none is gone."""
    assert trained(TrainableConfig()) is nnx.Param
    names = {"query/kernel", "key/kernel", "value/kernel", "out/kernel"}
    found = {name for name in named(initial(TrainableConfig())[1][0]) if "/attention/" in name}
    assert {name.split("/attention/")[1] for name in found} == names


def test_parts_and_also_choose():
    config = TrainableConfig(
        how="lora", rank=2, parts=("feedforward", "query"), also=("vector/out", "transformer/norm")
    )
    part, rest = split_trained(create_state(job(config), sizes(), make_mesh(1))[1][0], config)
    low = {f"transformer/blocks/{name}/lora" for name in ("attention/query", *(f"feedforward/{n}" for n in GATED))}
    whole = {"source", "vector/out", "transformer/norm"}
    assert {name.rsplit("/", 1)[0] for name in named(part)} == low | whole
    assert not any(name.startswith("vector/out") for name in named(rest))
    assert any(name.startswith("vector/hidden") for name in named(rest))


GATED = ("gate", "up", "down")


def test_with_lora_accumulation_equals_one_batch():
    whole = updates(job(LORA), examples()[:3])[1]
    parts = updates(job(LORA, accumulation=4), examples()[:3])[1]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(other["objective"], one["objective"], rtol=1e-3)
    np.testing.assert_allclose(parts[0]["gradient_norm"], whole[0]["gradient_norm"], rtol=1e-5)


def test_with_lora_eight_devices_equal_one():
    expected, found = (updates(job(LORA), examples(), mesh)[1] for mesh in ((1, 1, 1), (2, 2, 2)))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other["objective"], one["objective"], rtol=1e-3)
    np.testing.assert_allclose(found[0]["gradient_norm"], expected[0]["gradient_norm"], rtol=1e-4)


def test_lora_lies_split_as_its_matrix_does():
    _, state = abstract_state(job(LORA), sizes(), make_mesh(2, 2, 2))
    query = state[0]["transformer"]["blocks"]["attention"]["query"]
    lora = {name: leaf.get_value() for name, leaf in query["lora"].items()}
    assert {name: value.shape for name, value in lora.items()} == {"a": (2, 32, 2), "b": (2, 2, 32)}
    shards = {name: value.sharding.shard_shape(value.shape) for name, value in lora.items()}
    assert shards == {"a": (2, 16, 2), "b": (2, 2, 16)}


class Killed(Exception):  # noqa: N818
    pass


def test_a_lora_run_resumes_to_the_bit_and_plays(tmp_path, monkeypatch):
    write = MetricsWriter.write

    def write_and_stop(self, line):
        write(self, line)
        if line["step"] == 4:
            raise Killed

    changes = {"trainable": LORA, "agent": replace(CONFIG.agent, source_embedding=True), "held_out": 0.0}
    whole = train_here(tmp_path / "whole", **changes)
    with monkeypatch.context() as patch:
        patch.setattr(MetricsWriter, "write", write_and_stop)
        with pytest.raises(Killed):
            train_here(tmp_path / "run", **changes)
    train_here(tmp_path / "run", start=Start(resume=True), **changes)
    assert metrics_of(tmp_path / "run") == metrics_of(whole)
    agents = [Agent.load(run) for run in (tmp_path / "run", whole)]
    for one, other in zip(*(leaves_of(agent.state) for agent in agents), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any("lora" in name and value.any() for name, value in named(agents[0].state).items())
    policy = agents[0].policy("CartPole-v1")
    assert policy(np.zeros(4, np.float32)) in (0, 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parts": ("attention", "quary")}, r"trainable\.parts: the trunk has no 'quary': did you mean query"),
        ({"rank": 0}, "trainable.rank must be positive, got 0"),
        ({"alpha": -1.0}, r"trainable.alpha must be positive, got -1\.0"),
        ({"alpha": float("nan")}, "trainable.alpha must be positive, got nan"),
        ({"parts": ()}, "trainable.parts is empty"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        TrainableConfig(how="lora", **changes)


def test_parts_that_this_network_has_not_are_refused():
    with pytest.raises(ValueError, match=r"trainable\.also: the network has no part 'vectr': did you mean vector"):
        abstract_state(job(replace(LORA, also=("vectr",))), sizes(), make_mesh(1))
    without = job(replace(LORA, how="embedding"), agent=replace(JOB.agent, source_embedding=False))
    with pytest.raises(ValueError, match="this network has no task embedding"):
        abstract_state(without, sizes(), make_mesh(1))
