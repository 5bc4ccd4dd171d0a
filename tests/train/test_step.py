"""One update: it learns, it does not recompile, and neither accumulation nor the mesh changes what it computes."""

import functools
import itertools
from dataclasses import replace

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding
from tiny import CONFIG, compilations, demonstrations, leaves_of

from generalist.agent.config import AgentConfig
from generalist.agent.loss import LossConfig
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.tokenizers.sequence import TokenBatch
from generalist.train.config import OptimizerConfig, TrainConfig
from generalist.train.data import packed_rows
from generalist.train.packing import to_batch
from generalist.train.sources import Mixture, input_sizes, open_mixture
from generalist.train.step import abstract_state, create_state, make_create, make_step

MESHES = [(2, 2, 2), (8, 1, 1), (1, 8, 1), (1, 1, 8)]
STEPS = replace(
    CONFIG,
    sources=(replace(CONFIG.sources[0], layout=replace(CONFIG.sources[0].layout, actions="direct")), CONFIG.sources[1]),
    agent=AgentConfig(width=32, layers=1, heads=8, head_size=4, feedforward=64, window=32, vector_hidden=16),
    optimizer=OptimizerConfig(learning_rate=1e-2, initial_rate=0.0, warmup_steps=2, decay_steps=0, weight_decay=0.0),
    batch_size=8,
    steps=100,
)
"""Direct and sequential actions; every dimension that a mesh axis may split is a multiple of 8."""


@functools.cache
def mixture() -> Mixture:
    return open_mixture(STEPS, demonstrations())


@functools.cache
def examples() -> list[TokenBatch]:
    found = mixture()
    stream = packed_rows(found.sources, found.weights, found.capacity, rows=STEPS.batch_size)
    return [to_batch([packed], found.capacity) for packed in itertools.islice(stream, 20)]


def loss() -> LossConfig:
    return LossConfig(targets=mixture().capacity.targets)


@functools.cache
def initial(config: TrainConfig = STEPS):
    """Graph and initial state on one device, as NumPy arrays."""
    graphdef, state = create_state(config, input_sizes(config, list(mixture().layouts.values())), make_mesh(1))
    return graphdef, jax.device_get(state)


def placed(sizes: tuple[int, int, int], config: TrainConfig = STEPS):
    """The initial state on a mesh, laid out as training would."""
    mesh = make_mesh(*sizes)
    _, abstract = abstract_state(config, input_sizes(config, list(mixture().layouts.values())), mesh)
    layout = jax.tree.map(lambda leaf: NamedSharding(mesh, leaf.sharding.spec), abstract)
    return mesh, jax.device_put(initial(config)[1], layout)


@functools.cache
def on_one_device(config: TrainConfig = STEPS):
    mesh, state = placed((1, 1, 1), config)
    return make_step(config, initial(config)[0], state, loss(), mesh)


def play(step, state, given: list[TokenBatch]) -> list[dict]:
    metrics = []
    for batch in given:
        state, one = step(state, batch)
        metrics.append(jax.device_get(one))
    return metrics


def test_it_overfits_one_batch_and_compiles_once():
    step = on_one_device()
    state = placed((1, 1, 1))[1]
    state, first = step(state, examples()[0])
    with compilations() as compiled:
        for _ in range(99):
            state, last = step(state, examples()[0])
    assert compiled == []
    assert float(first["objective"]) > 3
    assert float(last["objective"]) < 0.5 * float(first["objective"])
    assert float(last["correct"].sum() / last["targets"].sum()) > 0.5


def test_accumulation_equals_one_large_batch():
    whole = play(on_one_device(), placed((1, 1, 1))[1], examples()[:3])
    config = replace(STEPS, accumulation=4)
    mesh, state = placed((1, 1, 1))
    parts = play(make_step(config, initial()[0], state, loss(), mesh), state, examples()[:3])
    for one, other in zip(whole, parts, strict=True):
        for name in one:
            np.testing.assert_allclose(other[name], one[name], rtol=2e-3, atol=1e-3, err_msg=name)
    np.testing.assert_allclose(parts[0]["gradient_norm"], whole[0]["gradient_norm"], rtol=1e-5)


def test_parameters_are_created_the_same_on_any_mesh():
    mesh = make_mesh(2, 2, 2)
    sizes = input_sizes(STEPS, list(mixture().layouts.values()))
    _, state = create_state(STEPS, sizes, mesh)
    for one, other in zip(leaves_of(initial()[1]), leaves_of(state), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6)
    table = state[0]["tokens"]["rows"][...]
    assert table.addressable_shards[0].data.shape[0] == table.shape[0] // 4


def test_parameters_are_a_function_of_the_seed():
    sizes = input_sizes(STEPS, list(mixture().layouts.values()))
    expected = initial()[1][0]["tokens"]["rows"][...]
    for seed, same in ((STEPS.seed, True), (1, False)):
        with use_mesh(make_mesh(1)):
            network, _ = make_create(replace(STEPS, seed=seed), sizes)()
        assert np.allclose(network.tokens.rows[...], expected, atol=1e-6) == same


@pytest.mark.slow
@pytest.mark.parametrize("method", ["adamw", "muon"])
def test_eight_devices_equal_one(method):
    """20 updates on 8 devices, split by rows, by parameters, by heads and by all three."""
    config = replace(STEPS, optimizer=replace(STEPS.optimizer, method=method))
    expected = [one["objective"] for one in play(on_one_device(config), placed((1, 1, 1), config)[1], examples())]
    assert expected[-1] < expected[0]
    for sizes in MESHES:
        mesh, state = placed(sizes, config)
        step = make_step(config, initial(config)[0], state, loss(), mesh)
        found = [one["objective"] for one in play(step, state, examples())]
        np.testing.assert_allclose(found, expected, rtol=2e-3, err_msg=str(sizes))
        np.testing.assert_allclose(found[:3], expected[:3], rtol=1e-5, err_msg=str(sizes))


def test_an_uneven_batch_is_refused():
    with pytest.raises(ValueError, match="batch_size 8 must be a multiple of accumulation 3"):
        TrainConfig(**{**vars(STEPS), "accumulation": 3})
