"""A network with the parameters of a public language model, and nothing else in it."""

from flax import nnx

from generalist.agent.config import InputSizes
from generalist.agent.network import Network
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.train.public.loading import PublicWeights
from generalist.train.public.weights import PublicModel


def public_network(model: PublicModel) -> Network:
    """Its text alone, in float32 on one device: a vocabulary of its own ids, and no embedder of other modalities.

    Raises:
        CheckpointError: as `PublicWeights.restore_agent`.
    """
    sizes = InputSizes(vocabulary=model.vocabulary)
    with use_mesh(make_mesh(1)):
        made = nnx.as_abstract(nnx.eval_shape(lambda: Network(model.config, sizes, rngs=nnx.Rngs(0))))
        graphdef, state = nnx.split(made)
        return nnx.merge(graphdef, PublicWeights(model).restore_agent(0, state))
