"""Where each group of parameters lies: every array is in one line, and the lines agree with the shardings."""

import math

import jax
import pytest

from generalist.agent.config import InputSizes
from generalist.agent.sharding import REASONS, RULES, abstract_mesh
from generalist.configs.smoke import config
from generalist.train.footprint import bytes_per_device
from generalist.train.placement import WHOLE, Placement, placements
from generalist.train.step import abstract_state

SMOKE = config().train
SIZES = InputSizes(vocabulary=SMOKE.vocabulary.size, sources=2, vector_values=4, patch_size=16)


def network(mesh: tuple[int, int, int]):
    return abstract_state(SMOKE, SIZES, abstract_mesh(*mesh))[1][0]


def named(mesh: tuple[int, int, int]) -> dict[str, Placement]:
    return {each.name: each for each in placements(network(mesh))}


@pytest.mark.parametrize("mesh", [(1, 1, 1), (2, 2, 2), (1, 4, 2)])
def test_every_parameter_is_counted_once(mesh):
    found = placements(network(mesh))
    assert sum(each.bytes_per_device for each in found) == bytes_per_device(network(mesh))
    names = [name for each in found for name in each.name.split(",")]
    assert len(names) == len(jax.tree.leaves(network(mesh)))


def test_a_matrix_is_split_by_its_own_axes():
    found = named((2, 4, 2))["blocks.attention.key,query,value"]
    assert found.axes == ("layers", "embed", "heads")
    assert found.mesh_axes == (None, "fsdp", "tensor")
    assert (found.shape, found.per_device) == ((2, 32, 32), (2, 8, 16))
    assert found.bytes_per_device == 3 * 4 * math.prod(found.per_device)
    assert found.reason == f"{REASONS['embed']}; {REASONS['heads']}"
    assert named((2, 4, 2))["tokens.rows"].mesh_axes == ("fsdp+tensor", None)


def test_why_an_array_is_whole():
    assert named((8, 1, 1))["blocks.feedforward.down"].reason == "its mesh axes have one device"
    assert named((1, 8, 1))["blocks.attention_norm.scale,feedforward_norm.scale"].reason == WHOLE
    assert named((1, 8, 1))["norm.scale"].per_device == (32,)


def test_every_rule_has_a_reason():
    assert set(REASONS) == set(RULES)
