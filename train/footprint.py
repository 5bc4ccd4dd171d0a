"""Memory of one device during an update: what is stored is exact, what is computed is estimated by a formula.

Parameters, optimizer and batch are counted from their shapes and shardings. Activations are those that the backward
pass needs, plus the largest workspace, with the shares that XLA was seen to use on a CPU (`benchmarks/memory.py`);
other compilers keep less by fusing or more by scheduling, so expect the truth within a factor of two there. Nothing is
allocated and no devices are needed: the mesh is abstract.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from generalist.agent.batch import abstract_batch
from generalist.agent.config import AgentConfig, InputSizes
from generalist.agent.embed import PATCHES_AT_ONCE, VECTORS_AT_ONCE
from generalist.agent.loss import ANSWERS_AT_ONCE
from generalist.agent.network import table_rows
from generalist.tokenizers.sequence import Capacity
from generalist.train.config import TrainConfig
from generalist.train.step import State
from generalist.train.trainable import split_trained

FLOAT = 4
"""Bytes of what is kept in float32 whatever the compute dtype: norms' inputs, softmax, logits."""


@dataclass(frozen=True, kw_only=True)
class Shares:
    """What a block's backward pass has in work, in multiples of sizes that follow from its shapes; measured.

    Args:
        residual: float32 copies of the residual stream.
        activations: of what the backward pass of a block needs.
        scores: float32 copies of a block's attention scores.
        gathered: of a block's parameters that other devices hold, brought here for the block, as their gradients are.
    """

    residual: float
    activations: float
    scores: float
    gathered: float


SHARES = {
    False: Shares(residual=18, activations=0, scores=2.1, gathered=1.85),
    True: Shares(residual=4, activations=0.7, scores=0.8, gathered=1.05),
}
"""By `remat`, with which the compiler is asked for little memory too; see `generalist.train.step.MEMORY_FIRST`."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Bytes on one device, by use.

    Args:
        parameters, optimizer: held between updates.
        gradients: of what is trained, in one update; twice that with accumulation.
        batch: token arrays and features of the device's rows.
        embedders: activations that the backward pass keeps of the patch, vector and image embedders it goes through.
        blocks: activations of the trunk that the backward pass keeps.
        workspace: the largest of what one block, the logits and the patches need while their gradients are computed;
            gathered parameters included.
    """

    parameters: int
    optimizer: int
    gradients: int
    batch: int
    embedders: int
    blocks: int
    workspace: int

    @property
    def activations(self) -> int:
        return self.embedders + self.blocks + self.workspace

    @property
    def arguments(self) -> int:
        """What is there before the update begins."""
        return self.parameters + self.optimizer + self.batch

    @property
    def temporary(self) -> int:
        """What lives during the update alone."""
        return self.gradients + self.activations

    @property
    def total(self) -> int:
        return self.arguments + self.temporary


def footprint(
    config: TrainConfig, sizes: InputSizes, capacity: Capacity, mesh: tuple[int, int, int], state: State
) -> Footprint:
    """Memory of one device of a (data, fsdp, tensor) mesh.

    Args:
        state: `abstract_state` on that mesh, abstract too.

    Raises:
        ValueError: the mesh does not divide the batch or another sharded size.
    """
    shards = mesh[0] * mesh[1]
    part = config.batch_size // config.accumulation
    if part % shards:
        raise ValueError(
            f"{part} rows (batch_size {config.batch_size} / accumulation {config.accumulation}) do not divide over "
            f"{shards} devices (mesh data {mesh[0]} x fsdp {mesh[1]}); make the batch a multiple, or change the mesh"
        )
    rows, agent = part // shards, config.agent
    tokens, tensor = rows * capacity.tokens, mesh[2]
    trained, _ = split_trained(state[0], config.trainable)
    backward = _gone_through(sizes, trained)
    residual, one = tokens * agent.width * FLOAT, rows * block_activations(agent, capacity.tokens, tensor)
    gathered = block_parameters(agent, tensor) * FLOAT * (1 - 1 / mesh[1])
    kernel = sizes.patch_size**2 * agent.patch_channels * agent.width * FLOAT
    shares = SHARES[agent.remat]
    scores = 0 if agent.attention == "cudnn" else shares.scores  # a TPU's kernel was seen to take as much otherwise
    block = (
        shares.residual * residual
        + shares.activations * one
        + scores * rows * attention_scores(agent, capacity.tokens, tensor)
        + shares.gathered * gathered
    )
    logits = replace(capacity, targets=min(config.loss_chunk or capacity.targets, capacity.targets))
    carried = rows * block_kept(agent, capacity.tokens, tensor)
    return Footprint(
        parameters=bytes_per_device(state[0]),
        optimizer=bytes_per_device(state[1]),
        gradients=bytes_per_device(trained) * (2 if config.accumulation > 1 else 1),
        batch=_bytes(abstract_batch(capacity, config.batch_size // shards)),
        embedders=rows * embedder_activations(agent, backward, capacity),
        blocks=agent.layers * (carried if agent.remat else one),
        workspace=max(
            int(block),
            rows * head_activations(agent, sizes, logits),
            rows * embedder_work(agent, backward, capacity) + int(2 * kernel * (1 - 1 / mesh[1])),
        ),
    )


def bytes_per_device(state: Any) -> int:
    """Bytes of the shards that one device holds of an abstract state."""
    leaves = jax.tree.leaves(state)
    return sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in leaves)


def _gone_through(sizes: InputSizes, trained: Any) -> InputSizes:
    """Without the embedders that no backward pass goes through: nothing of them is trained, nor what they read."""
    names = {str(path[0]) for path, _ in nnx.to_flat_state(trained)}
    return replace(
        sizes,
        patch_size=sizes.patch_size if "patch" in names else 0,
        vector_values=sizes.vector_values if names & {"vector", "source"} else 0,  # it reads the task embedding
        image_shape=sizes.image_shape if "image" in names else (0, 0, 0),
    )


def block_parameters(config: AgentConfig, tensor: int = 1) -> int:
    """Number of parameters of the matrices of one block, of one part of the tensor axis."""
    return config.block_matrices // tensor


def block_activations(config: AgentConfig, T: int, tensor: int = 1) -> int:
    """Bytes that the backward pass of one block needs of one row of T tokens.

    With c bytes of compute dtype, A = heads x head_size and F = feedforward / 2, both divided over the tensor axis:
    T (2 D (8 + c) + 7 A c + 8 F c) for the norms (two float32 copies each), query, key, value and output, some of them
    both ways around, and the gated GELU. Attention scores are computed again and not kept.
    """
    c, D = jnp.dtype(config.dtype).itemsize, config.width
    A, F = config.heads * config.head_size / tensor, config.feedforward / 2 / tensor
    return int(T * (2 * D * (2 * FLOAT + c) + 7 * A * c + 8 * F * c))


def block_kept(config: AgentConfig, T: int, tensor: int = 1) -> int:
    """Bytes that a block that is recomputed keeps of one row of T tokens: its input, and its products if it does."""
    each = config.width
    if config.remat_keeps == "products":
        heads = (config.heads + 2 * config.key_heads) * config.head_size
        hidden = (2 if config.trunk.gated else 1) * config.feedforward // 2
        each += 2 * config.width + (heads + hidden) // tensor
    return T * each * jnp.dtype(config.dtype).itemsize


def attention_scores(config: AgentConfig, T: int, tensor: int = 1) -> int:
    """Bytes of one float32 copy of one block's scores, of one row of T tokens."""
    return int(config.heads / tensor * T * T * FLOAT)


def embedder_work(config: AgentConfig, sizes: InputSizes, capacity: Capacity) -> int:
    """Bytes that the patches, whole images and vectors of one row need while their gradients are computed.

    Of those in work together, for each pixel of a patch and channel four float32 values of the two group norms and
    eleven in the compute dtype, of an image its pixels and five values of each of its two layers (seven if texts scale
    them), of a vector five of its hidden layer (eight with a gate); of all patches the features and their gradient.
    """
    c = jnp.dtype(config.dtype).itemsize
    features = sizes.patch_size**2 * config.patch_channels
    patches = features * (min(capacity.patches, PATCHES_AT_ONCE) * (4 * FLOAT + 11 * c) + capacity.patches * c)
    height, width, channels = sizes.image_shape
    cells = (height // config.image_patch) * (width // config.image_patch)
    layers = 2 * (7 if config.image_text else 5) * cells * config.image_channels
    image = (height * width * channels + layers) * c
    vectors = min(capacity.vectors, VECTORS_AT_ONCE) * config.vector_hidden * (8 if config.vector_gate else 5) * c
    return patches + min(capacity.images, PATCHES_AT_ONCE) * image + (vectors if sizes.vector_values else 0)


def embedder_activations(config: AgentConfig, sizes: InputSizes, capacity: Capacity) -> int:
    """Bytes that the backward pass keeps of the embedders and of answers, of one row.

    A patch keeps its features, a vector its values, its task and what came of it, an image what came of it and the text
    that it is read by, an answer the state that it begins with, and its gradient.
    """
    c = jnp.dtype(config.dtype).itemsize
    total = capacity.patches * sizes.patch_size**2 * config.patch_channels * c
    if sizes.vector_values:
        total += capacity.vectors * (sizes.vector_values + (1 + config.source_embedding) * config.width) * c
    if sizes.image_shape[0]:
        total += capacity.images * (1 + config.image_text) * config.width * c
    return total + capacity.answers * 2 * config.width * c


def head_activations(config: AgentConfig, sizes: InputSizes, capacity: Capacity) -> int:
    """Bytes for the logits of one row and their gradient (float32), at its targets, or at a part of them."""
    c, targets = jnp.dtype(config.dtype).itemsize, max(capacity.targets, min(capacity.answers, ANSWERS_AT_ONCE))
    return targets * 2 * (table_rows(sizes) * FLOAT + config.width * c)


def with_remat(config: TrainConfig, remat: bool) -> TrainConfig:
    return replace(config, agent=replace(config.agent, remat=remat))


def _bytes(tree: Any) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
