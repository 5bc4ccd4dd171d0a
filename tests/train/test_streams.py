"""Which process makes which rows, and positions that any set of processes can go on from."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from tiny import CONFIG, demonstrations

from generalist.agent.sharding import make_mesh
from generalist.tokenizers.sequence import TokenBatch
from generalist.train.checkpoint import CheckpointError, Checkpoints
from generalist.train.makers import Order
from generalist.train.sources import open_mixture
from generalist.train.streams import BatchStream, open_stream, rows_here, streams_of_processes

STREAMS = 4
JOB = dataclasses.replace(CONFIG, batch_size=8, data_streams=STREAMS)


def made(*kept: int, **options) -> BatchStream:
    """Only these of the job's streams, as a process of several would make them."""
    mixture = open_mixture(JOB, demonstrations())
    order = Order(
        sources=mixture.sources,
        weights=mixture.weights,
        capacity=mixture.capacity,
        rows=JOB.batch_size // STREAMS,
        of=STREAMS,
        positions=dict.fromkeys(kept, 0),
    )
    return BatchStream(order, kept, **options)


def assert_rows(part: TokenBatch, whole: TokenBatch, rows: slice) -> None:
    for name, values in part.arrays().items():
        np.testing.assert_array_equal(values, getattr(whole, name)[rows], name)


@pytest.mark.parametrize("sizes", [(8, 1, 1), (2, 2, 2), (1, 1, 8)])
def test_one_process_makes_every_stream(sizes):
    mesh = make_mesh(*sizes)
    assert streams_of_processes(mesh, 8, 4) == {0: (0, 1, 2, 3)}
    assert streams_of_processes(mesh, 8, 1) == {0: (0,)}
    assert rows_here(mesh, 8, 4) == list(range(8))


def test_positions_are_of_streams_and_not_of_processes(tmp_path):
    """One process saves after three batches; two others go on, each with its half."""
    mesh, mixture = make_mesh(1), open_mixture(JOB, demonstrations())
    whole, state = open_stream(JOB, mixture, mesh), ({"a": np.zeros(1)}, {"b": np.zeros(1)})
    for _ in itertools.islice(whole, 3):
        pass
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, state, whole)
    following = next(whole)
    for kept, rows in (((0, 1), slice(0, 4)), ((2, 3), slice(4, 8))):
        part = made(*kept)
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.restore(3, state, part)
        assert_rows(next(part), following, rows)
        part.close()
    whole.close()


@pytest.fixture(scope="module")
def whole() -> list[TokenBatch]:
    """The first batches, made here."""
    with made(*range(STREAMS)) as stream:
        return list(itertools.islice(stream, 8))


def assert_batches(found: list[TokenBatch], whole: list[TokenBatch]) -> None:
    for one, other in zip(found, whole, strict=True):
        assert_rows(one, other, slice(None))


@pytest.mark.parametrize("ahead", [0, 1, 9])
def test_batches_do_not_depend_on_how_many_are_made_ahead(whole, ahead):
    with made(*range(STREAMS), ahead=ahead) as stream:
        assert_batches(list(itertools.islice(stream, 4)), whole[:4])


def test_batches_and_positions_do_not_depend_on_workers(whole, tmp_path):
    """Two workers for three streams, more than streams, and none, each going on from where the one before was."""
    state, places, kept = ({"a": np.zeros(1)}, {"b": np.zeros(1)}), [], (0, 1, 2)
    teams = [made(*kept, workers=workers) for workers in (2, 9, 0)]  # they begin at once
    for number, stream in enumerate(teams):
        with stream:
            if number:
                with Checkpoints(tmp_path / str(number - 1)) as before:
                    before.restore(1, state, stream)
            for batch in whole[2 * number : 2 * number + 2]:
                assert_rows(next(stream), batch, slice(0, 6))
            with Checkpoints(tmp_path / str(number)) as checkpoints:
                checkpoints.save(1, state, stream)
        files = sorted((tmp_path / str(number)).rglob("stream-*.json"))
        places.append([json.loads(file.read_text())["next"] for file in files])
    with made(*kept, ahead=0) as alone:
        for found in places:
            next(alone), next(alone)
            assert [alone._positions[stream] for stream in kept] == found


def test_a_stream_that_made_batches_can_be_set_back(whole, tmp_path):
    """Its worker is another then; what the first had made ahead is not used."""
    state = ({"a": np.zeros(1)}, {"b": np.zeros(1)})
    with made(*range(STREAMS), workers=1) as stream:
        next(stream)
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(1, state, stream)
        assert_batches([next(stream)], whole[1:2])
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.restore(1, state, stream)
        assert_batches([next(stream), next(stream)], whole[1:3])


def test_the_rate_is_of_all_makers_together():
    with made(*range(STREAMS), ahead=0) as stream:
        assert stream.tokens_per_second() == 0
        batch = next(stream)
        tokens, seconds = stream._tokens, stream._seconds
        assert tokens == (batch.segment > 0).sum()
        assert stream.tokens_per_second() == tokens / seconds
        assert stream.tokens_per_second() == 0


def test_a_position_that_is_not_there_is_named(tmp_path):
    state = ({"a": np.zeros(1)}, {"b": np.zeros(1)})
    first, second = made(0, 1), made(2, 3)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, state, first)
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(CheckpointError, match=r"no data position stream-00002-of-00004"),
    ):
        checkpoints.restore(3, state, second)
    first.close()
    second.close()
