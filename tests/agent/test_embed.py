"""What the embedders of pictures are given: pixels, which they normalise themselves."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from token_examples import CONFIG

from generalist.agent.config import AgentConfig, InputSizes
from generalist.agent.embed import PatchEmbed, residual_block
from generalist.agent.sharding import make_mesh, use_mesh


@pytest.mark.parametrize("side", [4, 8])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("bfloat16", 2e-2)])
def test_pixels_of_a_patch_lie_in_minus_one_to_one_over_the_root_of_its_side(side, dtype, tolerance):
    config = AgentConfig(**{**vars(CONFIG), "dtype": dtype})
    with use_mesh(make_mesh(1)):
        layer = PatchEmbed(config, InputSizes(vocabulary=8, patch_size=side), rngs=nnx.Rngs(0))
    layer.conv2.kernel[...] = jnp.zeros_like(layer.conv2.kernel[...])  # what is left is the stem
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, side, side, 3), dtype=np.uint8)
    pixels[0, 0], pixels[1, 0] = 0, 255
    found = residual_block(layer.block, jnp.asarray(pixels.reshape(2, 5, -1)))
    expected = (pixels / 127.5 - 1) / np.sqrt(side) @ np.asarray(layer.stem.kernel[...])[0, 0]
    np.testing.assert_allclose(
        np.asarray(found, np.float32).reshape(expected.shape), expected, atol=tolerance, rtol=tolerance
    )
