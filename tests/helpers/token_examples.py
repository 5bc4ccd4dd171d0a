"""Small layouts of every modality, random episodes for them, and a small network: shared by the agent's tests."""

import functools
from collections.abc import Callable

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from generalist.agent.config import AgentConfig, InputSizes
from generalist.agent.network import Network
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.tokenizers.layout import Layout, LayoutOptions
from generalist.tokenizers.sequence import FEATURES, TOKEN_FIELDS, TokenBatch, TokenSequence, stack
from generalist.tokenizers.vocabulary import Vocabulary

VOCABULARY = Vocabulary(bins=32, discrete_size=32)
CONFIG = AgentConfig(
    width=32, layers=2, heads=2, head_size=16, feedforward=64, window=64, attention_block=5, patch_channels=8,
    vector_hidden=16, image_patch=4, image_channels=8,
)  # fmt: skip
BOX = gym.spaces.Box(-1, 1, (3,), np.float32)
IMAGE = gym.spaces.Box(0, 255, (8, 16, 3), np.uint8)
SPACES = {
    "tokens": (BOX, gym.spaces.Discrete(3)),
    "vector": (BOX, gym.spaces.Box(-1, 1, (2,), np.float32)),
    "discrete": (gym.spaces.Discrete(7), gym.spaces.MultiDiscrete([3, 4])),
    "patches": (gym.spaces.Dict(image=IMAGE, mission=gym.spaces.Text(5)), gym.spaces.Discrete(4)),
    "conv": (gym.spaces.Dict(image=IMAGE, mission=gym.spaces.Text(5)), gym.spaces.Discrete(4)),
}
OPTIONS = {
    "tokens": {},
    "vector": {"continuous": "vector"},
    "discrete": {},
    "patches": {"patch_size": 8},
    "conv": {"images": "conv", "image_shape": (8, 16, 3)},
}
DIRECT = {"past_actions": "hidden", "actions": "direct"}
ANSWERS = 8
"""Tokens of the longest action that the networks predict directly."""


def layout(name: str, **options) -> Layout:
    chosen = LayoutOptions(**OPTIONS[name], **options)
    return Layout.from_spaces(*SPACES[name], vocabulary=VOCABULARY, options=chosen)


@functools.cache
def network(name: str, config: AgentConfig = CONFIG, sources: int = 2, vocabulary: Vocabulary = VOCABULARY) -> Network:
    """A network that reads the named layout, its parameters large enough for attention to matter.

    Filled by NumPy, because compiling an initialiser takes longer than the tests do.
    """
    sizes = {
        "vector": {"vector_values": 3},
        "patches": {"patch_size": 8},
        "conv": {"image_shape": (8, 16, 3)},
    }
    inputs = InputSizes(vocabulary=vocabulary.size, sources=sources, answers=ANSWERS, **sizes.get(name, {}))
    with use_mesh(make_mesh(1)):
        abstract = nnx.eval_shape(lambda: Network(config, inputs, rngs=nnx.Rngs(0)))
    graphdef, state = nnx.split(abstract)
    rng, answering = np.random.default_rng(0), np.random.default_rng(1)

    def fill(path, leaf):
        name = jax.tree_util.keystr(path)
        if "scale" in name:
            return jnp.full(leaf.shape, 1.5, leaf.dtype)
        drawn = answering if "answer" in name else rng
        return jnp.asarray(drawn.normal(0, 1.5 * 32**-0.5, leaf.shape), leaf.dtype)

    return nnx.merge(graphdef, jax.tree_util.tree_map_with_path(fill, state))


@functools.cache
def _jitted(function: Callable, graphdef: nnx.GraphDef) -> Callable:
    return jax.jit(lambda state, *args: function(nnx.merge(graphdef, state), *args))


def jitted(function: Callable, model: Network, *args):
    """`function(model, *args)`, compiled once per function (of a module), structure and shapes."""
    graphdef, state = nnx.split(model)
    return _jitted(function, graphdef)(state, *args)


def hidden(model: Network, example: TokenBatch) -> np.ndarray:
    """Final hidden states of a batch [B, T, D]."""
    return np.asarray(jitted(_hidden, model, example))


def _hidden(model: Network, example: TokenBatch) -> jax.Array:
    return model.hidden(example)


def steps(name: str, count: int, seed: int = 0) -> tuple[list, list]:
    """Random observations and actions of `count` timesteps."""
    observation, action = SPACES[name]
    observation.seed(seed)
    action.seed(seed)
    return [observation.sample() for _ in range(count)], [action.sample() for _ in range(count)]


def stacked(values: list):
    if isinstance(values[0], dict):
        return {key: stacked([value[key] for value in values]) for key in values[0]}
    return values if isinstance(values[0], str) else np.stack(values)


def episode(name: str, count: int, seed: int = 0, source: int = 0, **options) -> TokenSequence:
    """One segment of `count` random timesteps."""
    observations, actions = steps(name, count, seed)
    return layout(name, **options).encode(
        stacked(observations),
        stacked(actions),
        timesteps=np.arange(count),
        segments=np.ones(count, int),
        source=source,
    )


def batch(*sequences: TokenSequence) -> TokenBatch:
    """Sequences of equal sizes as a batch."""
    return stack(list(sequences))


def padded(sequence: TokenSequence, tokens: int, features: dict[str, int] | None = None) -> TokenSequence:
    """The sequence with padding after it, and unused feature rows up to `features[name of its position array]`."""
    arrays = sequence.arrays()
    for name in TOKEN_FIELDS:
        arrays[name] = np.pad(arrays[name], (0, tokens - len(sequence)))
    for at, names in FEATURES.items():
        more = (features or {}).get(at, len(arrays[at])) - len(arrays[at])
        arrays[at] = np.pad(arrays[at], (0, more), constant_values=tokens)
        arrays |= {name: np.pad(arrays[name], [(0, more)] + [(0, 0)] * (arrays[name].ndim - 1)) for name in names}
    return TokenSequence(**arrays)
