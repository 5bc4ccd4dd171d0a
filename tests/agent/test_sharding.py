"""The mesh: sizes that fit the devices, and clear refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from generalist.agent.sharding import (
    AXES,
    abstract_mesh,
    batch_sharding,
    check_divides,
    constrain,
    make_mesh,
    place_rows,
    rows_of_processes,
    spec,
    use_mesh,
)


def test_minus_one_takes_what_is_left():
    assert dict(make_mesh(2, -1, 2).shape) == {"data": 2, "fsdp": 2, "tensor": 2}
    assert dict(make_mesh(-1).shape) == {"data": 8, "fsdp": 1, "tensor": 1}
    assert make_mesh(1, 3).size == 3
    assert make_mesh(-1, devices=jax.devices()[:2]).size == 2


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 1, 1), "must be positive"),
        ((-2, 1, 1), "must be positive"),
        ((-1, -1, 1), "one at most -1"),
        ((16, 1, 1), "16 x 1 x 1 needs 16 devices, 8 are here"),
        ((3, 4, -1), "needs 12 devices"),
    ],
)
def test_a_mesh_that_does_not_fit_is_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        make_mesh(*sizes)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"embed": 12, "heads": 6}, "heads of 6 does not divide over 4 devices .mesh tensor 4."),
        ({"embed": 3, "heads": 8}, "embed of 3 does not divide over 2 devices .mesh fsdp 2."),
        ({"vocabulary": 12}, "vocabulary of 12 does not divide over 8 devices .mesh fsdp 2 x tensor 4."),
    ],
)
def test_a_size_that_does_not_divide_is_named(sizes, message):
    with pytest.raises(ValueError, match=message):
        check_divides(sizes, abstract_mesh(1, 2, 4))


def test_sizes_that_divide_pass():
    check_divides({"embed": 6, "heads": 8, "vocabulary": 16, "layers": 7}, abstract_mesh(5, 2, 4))


def test_logical_names_become_mesh_axes():
    assert spec("batch", None, "heads") == PartitionSpec(("data", "fsdp"), None, "tensor")
    with pytest.raises(KeyError, match="width"):
        spec("width")
    assert tuple(abstract_mesh(2, 2, 2).axis_names) == AXES


def test_constrain_lays_out_an_activation_and_leaves_a_single_device_alone():
    x = jnp.zeros((8, 4))
    with use_mesh(make_mesh(4, 2)):
        laid = jax.jit(lambda x: constrain(x, "batch", None))(x)
    assert {shard.data.shape for shard in laid.addressable_shards} == {(1, 4)}
    with use_mesh(make_mesh(1)):
        assert constrain(x, "batch", None) is x
    assert constrain(x, "batch", None) is x


def test_rows_of_a_batch_are_split_over_data_and_fsdp():
    placed = jax.device_put(jnp.zeros((8, 3)), batch_sharding(make_mesh(2, 2, 2)))
    assert {shard.data.shape for shard in placed.addressable_shards} == {(2, 3)}


@pytest.mark.parametrize("sizes", [(8, 1, 1), (2, 2, 2), (1, 2, 4), (1, 1, 8)])
def test_rows_are_placed_as_the_whole_batch_would_be(sizes):
    mesh, whole = make_mesh(*sizes), np.arange(24).reshape(8, 3)
    placed = place_rows({"ids": whole}, mesh, 8, np.arange(8))["ids"]
    assert placed.sharding == batch_sharding(mesh)
    expected = jax.device_put(whole, batch_sharding(mesh))
    for one, other in zip(placed.addressable_shards, expected.addressable_shards, strict=True):
        assert one.device == other.device
        np.testing.assert_array_equal(one.data, other.data)


def test_one_process_holds_all_rows():
    assert rows_of_processes(make_mesh(2, 2, 2), 8) == {0: [range(0, 2), range(2, 4), range(4, 6), range(6, 8)]}
    assert rows_of_processes(make_mesh(1, 1, 8), 8) == {0: [range(8)]}
    with pytest.raises(ValueError, match=r"batch_size 6 does not divide over 4 devices \(mesh data 2 x fsdp 2\)"):
        rows_of_processes(make_mesh(2, 2, 2), 6)
