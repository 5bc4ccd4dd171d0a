"""FLOPs by the formula against those that XLA counts in the same forward pass."""

from dataclasses import replace

import jax
import pytest
from flax import nnx

from generalist.agent import embed
from generalist.agent import loss as loss_module
from generalist.agent.batch import abstract_batch
from generalist.agent.config import AgentConfig, InputSizes
from generalist.agent.loss import LossConfig, loss_and_metrics
from generalist.agent.network import Network
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.tokenizers.sequence import Capacity
from generalist.tokenizers.vocabulary import Vocabulary
from generalist.train.flops import measured_peak, update_flops

VOCABULARY = Vocabulary(bins=64, discrete_size=64)
ACTIONS = Vocabulary(text_size=2, bins=64, discrete_size=64)
"""Of little but actions: answers have the logits of these alone, all other targets those of every id."""
CONFIG = AgentConfig(
    width=128, layers=1, heads=4, head_size=32, feedforward=512, window=512, vector_hidden=256,
    patch_channels=32, image_patch=4, image_channels=32,
)  # fmt: skip
ROWS = 2
CASES = {
    "text": (InputSizes(vocabulary=VOCABULARY.size, sources=2), {}),
    "vectors": (InputSizes(vocabulary=VOCABULARY.size, sources=2, vector_values=96), {"vectors": 64}),
    "patches": (
        InputSizes(vocabulary=VOCABULARY.size, sources=2, patch_size=8),
        {"patches": 16, "patch_values": 8 * 8 * 3},
    ),
    "images": (InputSizes(vocabulary=VOCABULARY.size, sources=2, image_shape=(32, 32, 3)), {"images": 8}),
    "answers": (InputSizes(vocabulary=ACTIONS.size, sources=2, answers=8), {"answers": 2048}),
}


@pytest.mark.parametrize("case", CASES)
def test_three_times_what_xla_counts_in_the_forward_pass(case, monkeypatch):
    """A backward pass takes twice the forward one's products; norms and softmax are what XLA counts beside them.

    XLA counts a loop once, so that all patches, vectors, images or answers have to be one part.
    """
    for module, name in ((embed, "PATCHES_AT_ONCE"), (embed, "VECTORS_AT_ONCE"), (loss_module, "ANSWERS_AT_ONCE")):
        monkeypatch.setattr(module, name, 2048)
    sizes, features = CASES[case]
    capacity = Capacity(
        tokens=512, targets=32, vector_values=sizes.vector_values, image_shape=sizes.image_shape, **features
    )
    loss, vocabulary = LossConfig(targets=capacity.targets), ACTIONS if sizes.answers else VOCABULARY
    with use_mesh(make_mesh(1)):
        abstract = nnx.eval_shape(lambda: Network(CONFIG, sizes, rngs=nnx.Rngs(0)))
        graphdef, state = nnx.split(abstract)

        def forward(state, batch):
            return loss_and_metrics(nnx.merge(graphdef, state), batch, jax.random.key(0), vocabulary, loss)[0]

        counted = jax.jit(forward).lower(state, abstract_batch(capacity, ROWS)).cost_analysis()["flops"]
    assert update_flops(CONFIG, sizes, capacity, ROWS) == pytest.approx(3 * counted, rel=0.1)


def test_layers_and_rows_multiply():
    sizes, capacity = CASES["text"][0], Capacity(tokens=64, targets=32)
    one, four, deep = (
        update_flops(config, sizes, capacity, rows)
        for config, rows in ((CONFIG, 1), (CONFIG, 4), (replace(CONFIG, layers=2), 1))
    )
    head = 6 * 32 * 128 * VOCABULARY.size
    assert four == 4 * one
    assert deep - head == 2 * (one - head)


def test_what_the_device_reaches_is_positive():
    assert measured_peak(size=64, repeats=1) > 0
