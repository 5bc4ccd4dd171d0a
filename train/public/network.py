"""A network with the parameters of a public language model."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from generalist.agent.config import InputSizes
from generalist.agent.network import Network
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.train.public.weights import PublicModel, read_parameters

LOCAL = "local/rows"
"""Positions inside a timestep are ours: text has none."""


def public_network(model: PublicModel) -> Network:
    """Its text alone, in float32: a vocabulary of its own ids, and no embedder of other modalities.

    Raises:
        ValueError: as `read_parameters`.
    """
    sizes = InputSizes(vocabulary=model.vocabulary)
    with use_mesh(make_mesh(1)):
        abstract = nnx.eval_shape(lambda: Network(model.config, sizes, rngs=nnx.Rngs(0)))
    graphdef, state = nnx.split(abstract)
    shapes = {path_of(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(state)}
    found = read_parameters(model, {path: shape for path, shape in shapes.items() if path != LOCAL})

    def fill(path: tuple, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        array, own = np.zeros(leaf.shape, np.float32), found.get(path_of(path))
        if own is not None:
            array[: len(own)] = own.astype(np.float32)
        return jnp.asarray(array)

    return nnx.merge(graphdef, jax.tree_util.tree_map_with_path(fill, state))


def path_of(path: tuple) -> str:
    """A parameter's path with slashes, without the name of its value."""
    names = [str(getattr(part, "key", getattr(part, "name", getattr(part, "idx", part)))) for part in path]
    return "/".join(names[:-1] if names[-1] in ("value", "raw_value") else names)
