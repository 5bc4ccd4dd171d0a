"""The evaluation on what is held out: fixed batches, the same numbers as one position at a time, on any mesh."""

import functools
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding
from tiny import CONFIG, TASKS, compilations, demonstrations, leaves_of

from generalist.agent.config import AgentConfig
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.corpora.corpus import BadExampleError, Part
from generalist.tokenizers.document import DocumentLayout
from generalist.tokenizers.parts import Document, Words
from generalist.tokenizers.pictures import PictureOptions
from generalist.tokenizers.sequence import TokenBatch
from generalist.tokenizers.text import ByteTokenizer
from generalist.train.documents import DocumentSource
from generalist.train.packing import to_batch
from generalist.train.sources import Mixture, input_sizes, open_mixture
from generalist.train.step import abstract_state, create_state, loss_config, make_step
from generalist.train.streams import open_stream
from generalist.train.validation import figures, make_evaluation, sample_batches

JOB = replace(
    CONFIG,
    agent=AgentConfig(width=32, layers=1, heads=8, head_size=4, feedforward=64, window=32, vector_hidden=16),
    batch_size=8,
    held_out=0.3,
    held_out_batches=3,
    label_width=1.0,
)
"""Every dimension that a mesh axis may split is a multiple of 8."""


@functools.cache
def mixture() -> Mixture:
    return open_mixture(JOB, demonstrations())


@functools.cache
def initial():
    """Graph and initial state on one device, as NumPy arrays."""
    graphdef, state = create_state(JOB, input_sizes(JOB, list(mixture().layouts.values())), make_mesh(1))
    return graphdef, jax.device_get(state)


def placed(*sizes: int):
    """The initial state on a mesh, laid out as training would."""
    mesh = make_mesh(*sizes)
    _, abstract = abstract_state(JOB, input_sizes(JOB, list(mixture().layouts.values())), mesh)
    layout = jax.tree.map(lambda leaf: NamedSharding(mesh, leaf.sharding.spec), abstract)
    return mesh, jax.device_put(initial()[1], layout)


def sample(config=JOB, mesh=None) -> list[TokenBatch]:
    found = open_mixture(config, demonstrations())
    return [to_batch(parts, found.capacity) for parts in sample_batches(config, found, mesh or make_mesh(1))]


def assert_same(one: list[TokenBatch], other: list[TokenBatch]) -> None:
    for mine, theirs in zip(one, other, strict=True):
        for name, values in mine.arrays().items():
            np.testing.assert_array_equal(values, getattr(theirs, name), name)


def test_the_sample_is_a_function_of_the_seed_and_not_of_the_devices():
    assert len(sample()) == 3
    assert {*sample()[0].source[sample()[0].segment > 0]} == {0, 1}
    assert_same(sample(), sample())
    assert_same(sample(), sample(mesh=make_mesh(2, 2, 2)))
    assert_same(sample()[:2], sample(replace(JOB, held_out_batches=2)))
    with pytest.raises(AssertionError):
        assert_same(sample(), sample(replace(JOB, seed=1)))


def slow_figures() -> dict:
    """From the logits of every position, in float64 and one target after the other."""
    graphdef, state = initial()
    network = nnx.merge(graphdef, state)[0]
    start, stop = JOB.vocabulary.continuous
    names = ("loss", "correct", "targets", "correct_actions", "actions", "bin_error", "bins")
    sums = {name: np.zeros(2) for name in names}
    with use_mesh(make_mesh(1)):
        logits = jax.jit(lambda batch: network(batch))
        for batch in sample():
            rows = np.asarray(logits(batch), np.float64)
            for row, column in zip(*np.nonzero(batch.loss_mask), strict=True):
                here, target, of = rows[row, column], batch.targets[row, column], batch.source[row, column]
                share = np.exp(here - here.max()) / np.exp(here - here.max()).sum()
                assert not start <= target < stop  # so labels are one-hot
                sums["loss"][of] -= np.log(share[target])
                sums["targets"][of] += 1
                sums["actions"][of] += 1
                sums["correct"][of] += here.argmax() == target
                sums["correct_actions"][of] += here.argmax() == target
    return figures(sums, TASKS)


def assert_close(found: dict, expected: dict, **tolerance) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        if isinstance(value, dict):
            assert_close(found[name], value, **tolerance)
        else:
            np.testing.assert_allclose(found[name], value, err_msg=name, **tolerance)


@pytest.mark.parametrize("accumulation", [1, 4])
def test_the_evaluation_is_the_mean_over_every_held_out_target(accumulation):
    mesh, state = placed(1)
    found = make_evaluation(replace(JOB, accumulation=accumulation), mixture(), initial()[0], mesh)(state)
    assert_close(found, slow_figures(), rtol=1e-4)
    assert set(found["sources"]) == set(TASKS)


@pytest.mark.parametrize("sizes", [(8, 1, 1), (2, 2, 2)])
def test_eight_devices_equal_one(sizes):
    one, eight = (
        make_evaluation(JOB, mixture(), initial()[0], mesh)(state) for mesh, state in (placed(1), placed(*sizes))
    )
    assert_close(eight, one, rtol=1e-4)


def test_it_compiles_once_and_changes_nothing():
    """Between updates, whose states are laid out as the first."""
    mesh, state = placed(2, 2, 2)
    step = make_step(JOB, initial()[0], state, loss_config(JOB, mixture().capacity), mesh)
    evaluate = make_evaluation(JOB, mixture(), initial()[0], mesh)
    stream = open_stream(JOB, mixture(), mesh, ahead=0)
    state, _ = step(state, next(stream))
    before = leaves_of(state)
    first = evaluate(state)
    for mine, theirs in zip(before, leaves_of(state), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with compilations() as compiled:
        assert evaluate(state) == first
        state, _ = step(state, next(stream))
        second = evaluate(state)
    assert compiled == []
    assert second["targets"] == first["targets"]
    assert second["loss"] != first["loss"]


def test_figures_are_means_of_what_is_there():
    sums = {
        "weight": np.asarray(9.0),
        "loss": np.asarray([6.0, 0.0, 2.0]),
        "targets": np.asarray([3.0, 0.0, 5.0]),
        "correct": np.asarray([1.0, 0.0, 5.0]),
        "actions": np.asarray([2.0, 0.0, 0.0]),
        "correct_actions": np.asarray([1.0, 0.0, 0.0]),
        "bins": np.asarray([2.0, 0.0, 0.0]),
        "bin_error": np.asarray([3.0, 0.0, 0.0]),
    }
    acts = {"loss": 2.0, "accuracy": 1 / 3, "action_accuracy": 0.5, "error_in_bins": 1.5, "targets": 3}
    total = {"loss": 1.0, "accuracy": 0.75, "action_accuracy": 0.5, "error_in_bins": 1.5, "targets": 8}
    tells = {"loss": 0.4, "accuracy": 1.0, "targets": 5}
    assert figures(sums, ("acts", "none", "tells")) == total | {"sources": {"acts": acts, "tells": tells}}


class Texts:
    measure, labels = "text", ()

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Document:
        if index == 1:
            raise BadExampleError("line 1: broken")
        return (Words("abc"[index]),)


def test_where_nothing_is_held_out_or_all_of_it_is_damaged_there_is_no_evaluation():
    graphdef, mesh = initial()[0], make_mesh(1)
    assert make_evaluation(JOB, replace(mixture(), held_out=None), graphdef, mesh) is None
    layout = DocumentLayout(JOB.vocabulary, ByteTokenizer(), PictureOptions())
    settings = {"layout": layout, "sequence_length": JOB.sequence_length, "pictures": 0, "seed": 0}
    training = DocumentSource(index=0, name="x", corpus=Texts(), **settings)
    broken = replace(training, corpus=Part(training.corpus, (1,)))
    alone = Mixture((broken,), (1.0,), ("x",), broken.capacity)
    assert make_evaluation(JOB, replace(alone, held_out=alone), graphdef, mesh) is None
    assert training.bad == {"line 1": "line 1: broken"}
    both = Mixture((broken, training), (1.0, 1.0), ("x", "y"), training.capacity)
    assert len(sample_batches(JOB, replace(both, held_out=both), mesh)) == 3
