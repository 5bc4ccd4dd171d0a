"""What the compiler says of an update, on fake devices, beside what is stored."""

from dataclasses import replace
from math import prod

import jax
import pytest

from generalist.agent.config import InputSizes
from generalist.agent.sharding import abstract_mesh
from generalist.configs.smoke import config
from generalist.tokenizers.sequence import Capacity
from generalist.train.collectives import collectives
from generalist.train.compiled import compile_update, compiled_memory
from generalist.train.footprint import footprint
from generalist.train.step import abstract_state

SMOKE = config().train
CAPACITY = Capacity(tokens=64, targets=32, vectors=32, vector_values=4)
SIZES = InputSizes(vocabulary=SMOKE.vocabulary.size, sources=2, vector_values=4)


@pytest.mark.parametrize("mesh", [(1, 1, 1), (2, 2, 2)])
def test_what_is_stored_is_exact(mesh):
    _, state = abstract_state(SMOKE, SIZES, abstract_mesh(*mesh))
    predicted = footprint(SMOKE, SIZES, CAPACITY, mesh, state)
    compiled = compiled_memory(compile_update(SMOKE, SIZES, CAPACITY, mesh))
    assert compiled.arguments == pytest.approx(predicted.arguments, rel=0.01)
    assert compiled.total == compiled.arguments + compiled.temporary
    assert compiled.temporary > predicted.gradients


def test_more_devices_than_there_are_is_refused():
    with pytest.raises(ValueError, match="16 x 1 x 1 needs 16 devices, 8 are here"):
        compile_update(SMOKE, SIZES, CAPACITY, (16, 1, 1))


def test_devices_exchange_parameters_and_never_what_they_computed():
    """A row is 4,096 patch features wide, so that the features of a batch are far larger than any parameter."""
    job = replace(SMOKE, agent=replace(SMOKE.agent, dtype="bfloat16", width=64, patch_channels=64), batch_size=64)
    sizes = InputSizes(vocabulary=SMOKE.vocabulary.size, sources=2, patch_size=8, vector_values=4)
    capacity = Capacity(tokens=128, targets=128, patches=32, patch_values=8 * 8 * 3, vectors=32, vector_values=4)
    found = collectives(compile_update(job, sizes, capacity, (1, 8, 1)).as_text())
    _, state = abstract_state(job, sizes, abstract_mesh(1, 8, 1))
    largest = max(4 * prod(leaf.shape) for leaf in jax.tree.leaves(state))
    assert {each.kind for each in found} >= {"all-gather", "all-reduce"}
    assert not [each for each in found if each.largest > largest]
