"""The schedule at its corners, and what the optimizer does to matrices and to the rest."""

import jax.numpy as jnp
import numpy as np
import pytest

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


def test_weight_decay_acts_on_matrices_only():
    config = OptimizerConfig(learning_rate=0.1, initial_rate=0.1, warmup_steps=0, weight_decay=0.5)
    transformation = optimizer(config, 10)
    parameters = {"kernel": jnp.ones((2, 2)), "scale": jnp.ones(2)}
    zeros = {"kernel": jnp.zeros((2, 2)), "scale": jnp.zeros(2)}
    updates, _ = transformation.update(zeros, transformation.init(parameters), parameters)
    np.testing.assert_allclose(updates["kernel"], -0.05, rtol=1e-5)
    assert not updates["scale"].any()


@pytest.mark.parametrize(("clip", "size"), [(0.0, 1.0), (1e-9, 0.1)])
def test_clipping_bounds_what_adam_sees(clip, size):
    """With a huge epsilon the update is proportional to the gradient, so a clipped one is tiny."""
    config = OptimizerConfig(learning_rate=1.0, initial_rate=1.0, warmup_steps=0, weight_decay=0.0, clip=clip, eps=1e-8)
    transformation = optimizer(config, 10)
    parameters = {"scale": jnp.ones(1)}
    updates, _ = transformation.update({"scale": jnp.full(1, 5.0)}, transformation.init(parameters), parameters)
    assert float(-updates["scale"][0]) == pytest.approx(size, abs=0.02)
