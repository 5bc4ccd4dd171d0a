"""A visual tokenizer that was not trained: what it gives back is nonsense, and the same each time."""

import numpy as np

from generalist.tokenizers.visual import VisualConfig, VisualTokenizer, parameter_shapes

SMALL = VisualConfig(shape=(8, 8, 3), strides=(4,), width=4, levels=(5, 5))


def visual_tokenizer(config: VisualConfig = SMALL) -> VisualTokenizer:
    rng = np.random.default_rng(0)
    shapes = parameter_shapes(config)
    values = {name: rng.normal(size=shape) * 2 / np.sqrt(shape[0]) for name, shape in shapes.items()}
    return VisualTokenizer(config, {name: value.astype(np.float32) for name, value in values.items()})
