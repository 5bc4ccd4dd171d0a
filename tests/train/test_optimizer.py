"""The schedule at its corners, and what the optimizer does to matrices and to the rest."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from generalist.agent.config import AgentConfig, InputSizes
from generalist.agent.network import Network
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.train.config import OptimizerConfig
from generalist.train.optimizer import optimizer, schedule


def test_the_schedule_at_its_corners():
    """Paper, app. C.3: linear from 1e-7 over 15,000 steps, then cosine by a factor of 10 over 1,000,000."""
    rate = schedule(OptimizerConfig(), 5_000_000)
    expected = {0: 1e-7, 7_500: (1e-7 + 2e-4) / 2, 15_000: 2e-4, 515_000: 1.1e-4, 1_015_000: 2e-5, 2_000_000: 2e-5}
    for step, value in expected.items():
        assert float(rate(step)) == pytest.approx(value, rel=1e-3), step


def test_a_decay_of_zero_steps_is_the_whole_run():
    rate = schedule(OptimizerConfig(learning_rate=1.0, warmup_steps=10, decay_steps=0, final_fraction=0.0), 110)
    assert [round(float(rate(step)), 3) for step in (10, 60, 110)] == [1.0, 0.5, 0.0]


def test_weight_decay_acts_on_kernels_only():
    """Norm scales of stacked layers are a matrix by their shape, and rows of a table may be nobody's in a batch."""
    config = OptimizerConfig(learning_rate=0.1, initial_rate=0.1, warmup_steps=0, weight_decay=0.5)
    transformation = optimizer(config, 10)
    block = {"norm": {"scale": jnp.ones((2, 3))}, "dense": {"kernel": jnp.ones((2, 3, 3)), "bias": jnp.ones((2, 3))}}
    parameters = {"blocks": block, "source": {"rows": jnp.ones((4, 3))}, "norm": {"scale": jnp.ones(3)}}
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    updates, _ = transformation.update(zeros, transformation.init(parameters), parameters)
    np.testing.assert_allclose(updates["blocks"]["dense"].pop("kernel"), -0.05, rtol=1e-5)
    assert not any(leaf.any() for leaf in jax.tree.leaves(updates))


@pytest.mark.parametrize("name", ["kernel", "scale", "rows"])
def test_weight_decay_knows_the_names_of_a_network(name):
    sizes = InputSizes(vocabulary=32, vector_values=3, sources=2)
    config = AgentConfig(width=16, layers=2, heads=2, head_size=8, feedforward=16, source_embedding=True)
    tuned = OptimizerConfig(learning_rate=0.1, initial_rate=0.1, warmup_steps=0, weight_decay=0.5, clip=0.0)
    with use_mesh(make_mesh(1)):
        network = Network(config, sizes, rngs=nnx.Rngs(0))
        before = jax.tree.map(jnp.copy, nnx.state(network))
        held = nnx.Optimizer(network, optimizer(tuned, 10), wrt=nnx.Param)
        held.update(network, jax.tree.map(jnp.zeros_like, before))
    changed = jax.tree.map(lambda old, new: bool((old != new).any()), before, nnx.state(network))
    found = {flag for path, flag in jax.tree_util.tree_leaves_with_path(changed) if f"'{name}'" in str(path)}
    assert found == {name == "kernel"}


def test_two_updates_equal_adam_by_hand():
    flat = OptimizerConfig(learning_rate=0.1, initial_rate=0.1, warmup_steps=0, decay_steps=10**9, weight_decay=0.0)
    config = replace(flat, b1=0.5, b2=0.75, eps=0.3)
    transformation = optimizer(config, 10)
    parameters = {"scale": jnp.zeros(2)}
    state, first, second = transformation.init(parameters), 0.0, 0.0
    for count, gradient in enumerate((np.array([1.0, -2.0]), np.array([3.0, 0.5])), start=1):
        updates, state = transformation.update({"scale": jnp.asarray(gradient, jnp.float32)}, state, parameters)
        first = 0.5 * first + 0.5 * gradient
        second = 0.75 * second + 0.25 * gradient**2
        expected = -0.1 * first / (1 - 0.5**count) / (np.sqrt(second / (1 - 0.75**count)) + 0.3)
        np.testing.assert_allclose(updates["scale"], expected, rtol=1e-5)


@pytest.mark.parametrize(("clip", "norm"), [(0.0, 5.0), (1.0, 1.0)])
def test_clipping_bounds_the_norm_of_all_gradients_together(clip, norm):
    """With a huge epsilon an update is proportional to what Adam is given: its first one is `gradient / eps`."""
    config = OptimizerConfig(learning_rate=1.0, initial_rate=1.0, warmup_steps=0, weight_decay=0.0, clip=clip, eps=1e6)
    transformation = optimizer(config, 10)
    parameters = {"scale": jnp.ones(1), "bias": jnp.ones(1)}
    gradients = {"scale": jnp.full(1, 3.0), "bias": jnp.full(1, -4.0)}
    updates, _ = transformation.update(gradients, transformation.init(parameters), parameters)
    found = [-1e6 * float(updates[name][0]) for name in ("scale", "bias")]
    assert found == pytest.approx([0.6 * norm, -0.8 * norm], rel=1e-3)


def one_update(config, parameters, gradients):
    transformation = optimizer(config, 10)
    return transformation.update(gradients, transformation.init(parameters), parameters)[0]


MUON = OptimizerConfig(method="muon", learning_rate=0.5, initial_rate=0.5, warmup_steps=0, weight_decay=0.0)


def test_muon_makes_the_update_of_every_matrix_nearly_orthogonal():
    """Of each layer of a stack by itself, and of a convolution as the matrix [h w I, O] that it is.

    A gradient of any size and of singular values over two orders of magnitude gives singular values of about
    `rate * 0.2 * sqrt(longer side)`: the five steps of Newton and Schulz bring all between 0.6 and 1.25 of it.
    """
    shapes = {"plain": (8, 12), "stack": (3, 8, 12), "conv": (3, 3, 4, 8)}
    rng, given = np.random.default_rng(0), {}
    for name, shape in shapes.items():
        matrix = rng.normal(size=shape) * np.logspace(-1, 1, shape[-1])
        given[name] = {"kernel": jnp.asarray(matrix * np.arange(1, shape[0] + 1).reshape(-1, *[1] * (len(shape) - 1)))}
    found = one_update(MUON, jax.tree.map(jnp.ones_like, given), given)
    for name, longer in (("plain", 12), ("stack", 12), ("conv", 36)):
        each = np.asarray(found[name]["kernel"])
        for matrix in each if name == "stack" else [each.reshape(-1, each.shape[-1])]:
            values = np.linalg.svd(matrix, compute_uv=False) / (0.5 * 0.2 * longer**0.5)
            assert values.min() > 0.6, name
            assert values.max() < 1.25, name
    assert all((np.sign(found[name]["kernel"] * given[name]["kernel"]) < 0).mean() > 0.6 for name in shapes)


def test_muon_leaves_the_rest_to_adam_and_decays_kernels_alone():
    parameters = {"norm": {"scale": jnp.ones((2, 3)), "bias": jnp.ones(3)}, "table": {"rows": jnp.ones((4, 3))}}
    gradients = jax.tree.map(lambda leaf: jnp.linspace(-1, 2, leaf.size).reshape(leaf.shape), parameters)
    adam = optax.adam(0.5, b1=MUON.b1, b2=MUON.b2, eps=MUON.eps)
    expected, _ = adam.update(gradients, adam.init(parameters), parameters)
    found = one_update(replace(MUON, weight_decay=0.5), parameters, gradients)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5), found, expected)
    matrices = {"kernel": jnp.full((2, 3, 3), 2.0), "lora": {"a": jnp.full((3, 1), 2.0)}}
    still = one_update(replace(MUON, weight_decay=0.5), matrices, jax.tree.map(jnp.zeros_like, matrices))
    for leaf in jax.tree.leaves(still):
        np.testing.assert_allclose(leaf, -0.5 * 0.5 * 2.0, rtol=1e-5)


def test_muon_has_one_moment_of_every_kernel_of_a_network():
    sizes = InputSizes(vocabulary=32, vector_values=3, image_shape=(16, 16, 3), sources=2, answers=2)
    config = AgentConfig(width=16, layers=2, heads=2, head_size=8, feedforward=16, source_embedding=True)
    with use_mesh(make_mesh(1)):
        state = nnx.state(Network(config, sizes, rngs=nnx.Rngs(0)), nnx.Param)
        held = {method: optimizer(replace(MUON, method=method), 10).init(state) for method in ("adamw", "muon")}
    moments = {name: sum(leaf.size for leaf in jax.tree.leaves(found)) for name, found in held.items()}
    leaves = jax.tree_util.tree_leaves_with_path(state)
    kernels = sum(leaf.size for path, leaf in leaves if "'kernel'" in str(path))
    assert kernels > 1000
    assert kernels == pytest.approx(moments["adamw"] - moments["muon"], abs=10)
