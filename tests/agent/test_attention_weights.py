"""What is shown of attention is what the network attends by."""

import jax
import numpy as np
import pytest
from token_examples import batch, episode, network, padded

from generalist.agent.attention import attention_mask, marks
from generalist.agent.attention_weights import attention_weights
from generalist.agent.network import attending


@pytest.mark.parametrize(("name", "options"), [("tokens", {}), ("discrete", {"context": 2, "past_actions": "hidden"})])
def test_a_later_layer_attends_to_what_the_earlier_ones_made(name, options):
    model, example = network(name), batch(padded(episode(name, 4, **options), 24))
    where = marks(example)
    own = attending(example, model.config, model.sizes)
    first, second = model.transformer.layers()
    kind, _ = model.transformer.kinds()
    seen = []

    def watched(query: jax.Array, key: jax.Array, value: jax.Array, window: int) -> jax.Array:
        seen.append((query, key))
        return own(query, key, value, window)

    second(first(model.embed(example), example.position, own, kind)[0], example.position, watched, kind)
    ((query, key),) = seen
    scores = np.einsum("btnh,bsnh->bnts", query, key) / np.sqrt(query.shape[-1])
    mask = np.asarray(attention_mask(where, example.context, where, model.config.window))[:, None]
    expected = np.where(mask, np.exp(scores), 0)
    expected /= np.maximum(expected.sum(axis=-1, keepdims=True), 1e-30)
    found = np.asarray(attention_weights(model, example))
    assert found.shape == (2, 1, 2, 24, 24)
    np.testing.assert_allclose(found[1], expected, rtol=1e-4, atol=1e-6)
    there = np.asarray(example.segment[0]) > 0
    np.testing.assert_allclose(found.sum(axis=-1), np.broadcast_to(there, (2, 1, 2, 24)), rtol=1e-5)
