"""Muon over several devices: optax's numbers, and no matrix gathered whole by every device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from optax.contrib import MuonDimensionNumbers, scale_by_muon

from generalist.agent.sharding import axes_dividing, make_mesh, use_mesh
from generalist.train.collectives import collectives
from generalist.train.muon import by_layers

DIMENSIONS = {"stack": MuonDimensionNumbers((1,), (2,)), "plain": MuonDimensionNumbers((0,), (1,))}


def given(layers: int) -> list[dict[str, np.ndarray]]:
    """Gradients of three updates."""
    rng = np.random.default_rng(0)
    shapes = {"stack": (layers, 16, 32), "plain": (8, 12)}
    return [{name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()} for _ in range(3)]


def last_of(transformation, gradients, put=jnp.asarray):
    update = jax.jit(transformation.update)
    state = transformation.init(jax.tree.map(put, gradients[0]))
    for each in gradients:
        found, state = update(jax.tree.map(put, each), state)
    return found, state


@pytest.mark.parametrize(("mesh", "layers"), [((1, 1, 1), 8), ((2, 2, 2), 8), ((1, 4, 2), 6), ((1, 4, 2), 3)])
def test_numbers_and_state_are_those_of_optax_on_any_mesh(mesh, layers):
    """Three updates, so that the moment and its correction count; six layers divide over one axis, three over none."""
    expected = last_of(scale_by_muon(eps=1e-8, weight_dimension_numbers=DIMENSIONS), given(layers))
    over = make_mesh(*mesh)
    with use_mesh(over):
        lie = NamedSharding(over, PartitionSpec())
        found = last_of(by_layers(1e-8, DIMENSIONS), given(layers), lambda x: jax.device_put(x, lie))
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=2e-5), found, expected)


@pytest.mark.parametrize(
    ("mesh", "layers", "axes"),
    [((8, 1, 1), 8, ()), ((2, 2, 2), 4, ("tensor", "fsdp")), ((1, 4, 2), 6, ("tensor",)), ((1, 4, 2), 3, ())],
)
def test_layers_are_split_over_what_splits_parameters(mesh, layers, axes):
    """Copies along `data` have nothing to gather: there the update stays optax's to the last bit."""
    with use_mesh(make_mesh(*mesh)):
        assert axes_dividing(layers) == axes


def test_devices_exchange_layers_and_gather_none():
    """optax's own update of the same kernel gathers it for its products."""
    mesh = make_mesh(1, 4, 2)
    lie = NamedSharding(mesh, PartitionSpec(None, "fsdp", "tensor"))
    kernel = jax.ShapeDtypeStruct((8, 64, 128), jnp.float32, sharding=lie)

    def exchanged(transformation) -> dict[str, int]:
        with use_mesh(mesh):
            state = jax.eval_shape(transformation.init, {"stack": kernel})
            state = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=lie if leaf.ndim == 3 else None),
                state,
            )
            update = jax.jit(lambda *given: transformation.update(*given)[0], out_shardings={"stack": lie})
            text = update.lower({"stack": kernel}, state).compile().as_text()
        sizes: dict[str, int] = {}
        for each, times in collectives(text or "").items():
            sizes[each.kind] = sizes.get(each.kind, 0) + times * each.size
        return sizes

    stack = {"stack": DIMENSIONS["stack"]}
    mine, theirs = exchanged(by_layers(1e-8, stack)), exchanged(scale_by_muon(weight_dimension_numbers=stack))
    whole = 4 * 8 * 64 * 128
    assert theirs["all-gather"] >= whole
    assert "all-gather" not in mine
    assert mine["all-to-all"] <= whole  # two axes, there and back, an eighth or a quarter of the kernel each time
