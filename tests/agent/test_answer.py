"""Answers against a slow reference, each from its own position and part alone."""

import jax
import jax.numpy as jnp
import numpy as np
from token_examples import ANSWERS, CONFIG, jitted, network


def answers(model, hidden: jax.Array, part: jax.Array) -> jax.Array:
    return model.answer(hidden, part)


def slow(model, hidden: np.ndarray, part: int) -> np.ndarray:
    """State [D] from which a part is predicted, in float64."""
    parts, kernels, biases = (
        np.asarray(model.answer.parts.rows[...], np.float64),
        [np.asarray(each.kernel[...], np.float64) for each in (model.answer.hidden, model.answer.out)],
        [np.asarray(each.bias[...], np.float64) for each in (model.answer.hidden, model.answer.out)],
    )
    x = (hidden + parts[part]) @ kernels[0] + biases[0]
    gelu = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return hidden + gelu @ kernels[1] + biases[1]


def test_against_a_slow_reference():
    model = network("tokens")
    hidden = np.random.default_rng(0).normal(size=(2, 5, CONFIG.width)).astype(np.float32)
    part = np.random.default_rng(1).integers(0, ANSWERS, (2, 5))
    found = jitted(answers, model, jnp.asarray(hidden), jnp.asarray(part))
    for row, column in np.ndindex(2, 5):
        expected = slow(model, hidden[row, column].astype(np.float64), part[row, column])
        np.testing.assert_allclose(found[row, column], expected, rtol=1e-4, atol=1e-4)


def test_the_parts_of_an_action_are_told_apart():
    model = network("tokens")
    hidden = jnp.broadcast_to(jnp.ones(CONFIG.width), (1, ANSWERS, CONFIG.width))
    found = np.asarray(jitted(answers, model, hidden, jnp.arange(ANSWERS)[None]))[0]
    apart = np.abs(found[:, None] - found[None]).max(axis=-1) + np.eye(ANSWERS)
    assert apart.min() > 1e-2
