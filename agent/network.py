"""The network: a batch of token sequences in, logits of the next token out. `generalist.play.agent.Agent` plays it."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from generalist.agent.answer import Answer
from generalist.agent.attention import LANES, MASKED, attend_fused, attend_in_blocks, marks
from generalist.agent.batch import TokenBatch
from generalist.agent.config import AgentConfig, InputSizes
from generalist.agent.embed import ImageEmbed, PatchEmbed, Table, VectorEmbed
from generalist.agent.said import said_before
from generalist.agent.sharding import constrain, fuses_on_gpu, platform
from generalist.agent.transformer import Attend, Transformer
from generalist.tokenizers.sequence import Kind

TABLE_MULTIPLE = 128
"""Rows of the token table are rounded up to this, so that they divide over devices. The extra rows have no logits."""

MANY = 64
"""Of so many states or more, logits are computed from a copy of the part of the table that is asked for."""


def table_rows(sizes: InputSizes) -> int:
    """Rows of the token table."""
    return -(-sizes.vocabulary // TABLE_MULTIPLE) * TABLE_MULTIPLE


def sharded_sizes(config: AgentConfig, sizes: InputSizes) -> dict[str, int]:
    """Size of every dimension that a mesh may split, by logical name; `generalist.agent.sharding` says over what."""
    return {
        "embed": config.width,
        "heads": config.key_heads,
        "feedforward": config.feedforward // 2,
        "vocabulary": table_rows(sizes),
    }


class Network(nnx.Module):
    """One transformer over every modality (Reed et al. 2022, sec. 2.2).

    `network(batch)` gives logits [B, T, V]; training asks for `hidden` and computes logits only where a target stands.
    """

    def __init__(self, config: AgentConfig, sizes: InputSizes, *, rngs: nnx.Rngs):
        self.config, self.sizes = config, sizes
        self.tokens = Table(table_rows(sizes), config, rngs=rngs, axes=("vocabulary", None))
        self.local = Table(config.local_positions, config, rngs=rngs)
        self.source = Table(sizes.sources, config, rngs=rngs) if config.source_embedding else None
        self.patch = PatchEmbed(config, sizes, rngs=rngs) if sizes.patch_size else None
        self.vector = VectorEmbed(config, sizes, rngs=rngs) if sizes.vector_values else None
        self.image = ImageEmbed(config, sizes, rngs=rngs) if sizes.image_shape[0] else None
        self.answer = Answer(config, sizes, rngs=rngs) if sizes.answers else None
        self.transformer = Transformer(config, rngs=rngs)
        trunk = config.trunk
        self.head = None if trunk.tied else Table(table_rows(sizes), config, rngs=rngs, axes=("vocabulary", None))
        learned = trunk.learned_positions
        self.positions = Table(learned, config, rngs=rngs) if learned else None

    @jax.named_scope("embed")
    def embed(
        self, batch: TokenBatch, key: PRNGKeyArray | None = None, said: Float[Array, "B D"] | None = None
    ) -> Float[Array, "B T D"]:
        """Embed every position.

        Args:
            key: draws patch positions as in training; None takes their rounded means.
            said: what was said before this batch, which images are read by (`AgentConfig.image_text`); None is nothing.
        """
        x = tokens = self.tokens(batch.ids)
        if self.config.trunk.embedding_scale != 1:
            x = x * jnp.asarray(self.config.trunk.embedding_scale, x.dtype)
        if self.patch is not None and batch.patches.shape[1]:
            used = batch.patch_at < batch.ids.shape[1]
            rows = self.patch(batch.patches, batch.patch_rows, batch.patch_cols, used, key)
            x = place(x, rows, batch.patch_at)
        if self.vector is not None and batch.vectors.shape[1]:
            source = None if self.source is None else self.source(source_at(batch, batch.vector_at))
            there = batch.vector_at < batch.ids.shape[1]
            x = place(x, self.vector(batch.vectors, source, there), batch.vector_at)
        if self.image is not None and batch.images.shape[1]:
            shown = batch.image_at < batch.ids.shape[1]
            heard = None
            if self.config.image_text:
                earlier = jnp.zeros_like(tokens[:, 0]) if said is None else said
                heard = said_before(batch, tokens, batch.image_at, earlier)
            x = place(x, self.image(batch.images, shown, heard), batch.image_at)
        x = x + self.local(batch.local)
        if self.positions is not None:
            x = x + self.positions(batch.position)
        if self.source is not None:
            observed = (batch.kind != Kind.ACTION) & (batch.kind != Kind.PAD)
            x = x + jnp.where(observed[..., None], self.source(batch.source), 0)
        return constrain(x, "batch", None, None)

    def hidden(self, batch: TokenBatch, key: PRNGKeyArray | None = None) -> Float[Array, "B T D"]:
        """Final hidden state of every position."""
        return self.trunk(self.embed(batch, key), batch)

    def trunk(self, x: Float[Array, "B T D"], batch: TokenBatch) -> Float[Array, "B T D"]:
        """Final hidden state of every position from its embedding."""
        return self.transformer(x, batch.position, attending(batch, self.config, self.sizes))

    def logits(
        self, hidden: Float[Array, "*shape D"], first: int | Int[Array, ""] = 0, count: int = 0
    ) -> Float[Array, "*shape V"]:
        """Scores of the next token in float32, from the embedding table, or one of their own.

        With a `count`, only those of the ids `first` to `first + count - 1`.
        """
        return logits_of(self.table.rows[...], hidden, first, count or self.sizes.vocabulary)

    @property
    def table(self) -> Table:
        """The rows by which ids are scored."""
        return self.tokens if self.head is None else self.head

    def __call__(self, batch: TokenBatch, key: PRNGKeyArray | None = None) -> Float[Array, "B T V"]:
        return self.logits(self.hidden(batch, key))


def attending(batch: TokenBatch, config: AgentConfig, sizes: InputSizes) -> Attend:
    """Attention of whole rows, for training. Raises ValueError where splash is asked for and is not exact."""
    where, context, block = marks(batch), batch.context, config.attention_block
    how = config.attention if config.attention != "auto" else fitting(config, sizes, batch.ids.shape[1])
    if how == "cudnn":
        return lambda query, key, value, window: attend_fused(query, key, value, where, context, window)
    if how == "splash":
        if not exact_by_splash(config, sizes):
            raise ValueError(
                "attention splash knows causality, segments and one window: layouts that hide past actions or have a "
                "context, and trunks with local layers, need blocked"
            )
        from generalist.agent.splash import attend_splash  # what it imports takes a while

        return lambda query, key, value, window: attend_splash(query, key, value, where.segment, config.window)
    return lambda query, key, value, window: attend_in_blocks(query, key, value, where, context, window, block)


def exact_by_splash(config: AgentConfig, sizes: InputSizes) -> bool:
    return sizes.plain_mask and not config.trunk.global_every


def fitting(config: AgentConfig, sizes: InputSizes, length: int) -> str:
    """The attention for rows of this length on the devices in use: what is exact there, fused where it can be."""
    if platform() == "tpu" and exact_by_splash(config, sizes) and length % LANES == 0:
        return "splash"
    return "cudnn" if config.fits_cudnn and fuses_on_gpu() else "blocked"


def logits_of(
    rows: Float[Array, "rows D"], hidden: Float[Array, "*shape D"], first: int | Int[Array, ""], count: int
) -> Float[Array, "*shape V"]:
    """Scores in float32 of the ids `first` to `first + count - 1`, from the rows of the table of all.

    A small part of the table is cut out, which copies it; for few states, to read the whole of it costs less than to
    copy a third.
    """
    flat = hidden.reshape(-1, hidden.shape[-1])
    many = isinstance(flat.shape[0], int) and flat.shape[0] >= MANY  # a number that is not known yet is taken for few
    cut = 3 * count < rows.shape[0] or (many and count + TABLE_MULTIPLE <= rows.shape[0])
    table = jax.lax.dynamic_slice_in_dim(rows, first, count) if cut else rows
    logits = products(flat, table)
    logits = constrain(logits, "batch", None if cut else "logits")  # else they may be exchanged instead of the table
    if not cut:
        logits = jax.lax.dynamic_slice_in_dim(logits, first, count, axis=1)
    return logits.reshape(*hidden.shape[:-1], count)


def scored(rows: Float[Array, "rows D"], hidden: Float[Array, "*shape D"], count: int) -> Float[Array, "*shape rows"]:
    """`logits_of` the first `count` ids, `MASKED` for the rows beyond: to cut them off would copy all the others."""
    logits = constrain(products(hidden.reshape(-1, hidden.shape[-1]), rows), "batch", "logits")
    beyond = jnp.where(jnp.arange(rows.shape[0]) < count, 0, MASKED)
    return (logits + beyond[None]).reshape(*hidden.shape[:-1], -1)


def products(flat: Float[Array, "M D"], rows: Float[Array, "V D"]) -> Float[Array, "M V"]:
    """Of states and rows, summed in float32; the gradient is multiplied in the dtype of the states, too."""
    table = rows.astype(flat.dtype)
    if flat.dtype == jnp.float32:
        return jnp.einsum("MD,VD->MV", flat, table)
    return _low_products(flat, table)


@jax.custom_vjp
def _low_products(flat: jax.Array, table: jax.Array) -> jax.Array:
    return jnp.einsum("MD,VD->MV", flat, table, preferred_element_type=jnp.float32)


def _forward(flat: jax.Array, table: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _low_products(flat, table), (flat, table)


def _backward(kept: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    (flat, table), low = kept, gradient.astype(kept[0].dtype)
    return jnp.einsum("MV,VD->MD", low, table), jnp.einsum("MV,MD->VD", low, flat)


_low_products.defvjp(_forward, _backward)


def unstacked(network: Network, *, consume: bool = False) -> Network:
    """The same network with an array per layer instead of one for all: what acting wants, see `Transformer.extend`.

    `network` itself is not changed, and every parameter of its layers is copied; with `consume` it is used up, which
    saves the memory of a second copy.
    """
    graphdef, state = nnx.split(network)
    copied = nnx.merge(graphdef, state)
    copied.transformer.blocks = nnx.List(copied.transformer.layers(consume=consume))
    return copied


def place(x: Float[Array, "B T D"], rows: Float[Array, "B P D"], at: Int[Array, "B P"]) -> Float[Array, "B T D"]:
    """Put feature rows at their positions, in place of the placeholder's embedding; rows at T or beyond are dropped.

    No position is given twice. To tell the compiler so keeps it from asking, in every gradient, which row was last.
    """
    T, P = x.shape[1], rows.shape[1]
    apart = jnp.where(at < T, at, T + jnp.arange(P)[None])

    def one(x: jax.Array, rows: jax.Array, at: jax.Array) -> jax.Array:
        return x.at[at].set(rows, mode="drop", unique_indices=True)

    return jax.vmap(one)(x, rows.astype(x.dtype), apart)


def source_at(batch: TokenBatch, at: Int[Array, "B N"]) -> Int[Array, "B N"]:
    """Source of the positions `at`; -1 is a task that was not trained on, and any will do for an unused row."""
    return jnp.take_along_axis(batch.source, jnp.minimum(at, batch.source.shape[1] - 1), axis=1)


def parameter_count(agent: nnx.Module) -> int:
    """Number of parameters; works on an abstract agent too."""
    return sum(int(leaf.size) for leaf in jax.tree.leaves(nnx.state(agent, nnx.Param)))
