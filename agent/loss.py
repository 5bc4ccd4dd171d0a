"""Masked next-token loss on text and actions (Reed et al. 2022, sec. 2.3), with metrics per source.

Logits are computed only at the positions that carry a target; [B, T, V] never exists.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from generalist.agent.network import Network
from generalist.tokenizers.sequence import TokenBatch
from generalist.tokenizers.vocabulary import Vocabulary
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """How targets are scored.

    Args:
        targets: positions per row at which logits are computed; the packer never puts more targets into a row.
        label_width: standard deviation, in bins, of a Gaussian around the target bin of a continuous action; 0 is the
            paper's one-hot label.
        source_weights: weight of each source's targets in the loss, normalised over the batch; empty is 1 for all.
    """

    targets: int
    label_width: float = 0.0
    source_weights: tuple[float, ...] = ()


def gather_targets(mask: Bool[Array, "B T"], count: int) -> tuple[Int[Array, "B M"], Bool[Array, "B M"]]:
    """Positions of the first `count` targets of every row, and which of them are real."""
    chosen, index = jax.lax.top_k(mask.astype(jnp.int32), count)
    return index, chosen > 0


def cross_entropy(
    logits: Float[Array, "B M V"], targets: Int[Array, "B M"], vocabulary: Vocabulary, label_width: float
) -> Float[Array, "B M"]:
    """Cross-entropy in nats, with Gaussian labels over the bins where the target is a continuous bin."""
    hard = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    if not label_width:
        return hard
    start, stop = vocabulary.continuous
    bins = jnp.arange(stop - start)
    offset = (bins[None, None, :] - (targets - start)[..., None]).astype(jnp.float32) / label_width
    labels = jax.nn.softmax(-0.5 * offset**2)
    soft = jax.nn.logsumexp(logits, axis=-1) - jnp.einsum("bmv,bmv->bm", labels, logits[..., start:stop])
    return jnp.where((targets >= start) & (targets < stop), soft, hard)


def loss_and_metrics(
    network: Network, batch: TokenBatch, key: PRNGKeyArray | None, vocabulary: Vocabulary, config: LossConfig
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Sum of weighted losses, and sums from which means over any number of batches are exact.

    Returns:
        The weighted sum of losses in nats, and `weight` (its denominator), `tokens` (positions that are not padding) and,
        per source [sources]: `loss`, `correct`, `targets` and `source_tokens`.
    """
    hidden = network.hidden(batch, key)
    index, real = gather_targets(batch.loss_mask, config.targets)
    at = jnp.take_along_axis(hidden, index[..., None], axis=1)
    targets = jnp.take_along_axis(batch.targets, index, axis=1)
    source = jnp.take_along_axis(batch.source, index, axis=1)
    logits = network.logits(at)
    losses = jnp.where(real, cross_entropy(logits, targets, vocabulary, config.label_width), 0.0)
    correct = jnp.where(real, jnp.argmax(logits, axis=-1) == targets, False)
    weight = real.astype(jnp.float32)
    if config.source_weights:
        weight = weight * jnp.asarray(config.source_weights, jnp.float32)[source]
    count = network.sizes.sources

    def per_source(values: jax.Array, sources: jax.Array) -> jax.Array:
        return jnp.zeros(count, jnp.float32).at[sources.reshape(-1)].add(values.reshape(-1).astype(jnp.float32))

    present = batch.segment > 0
    metrics = {
        "weight": weight.sum(),
        "tokens": present.sum().astype(jnp.float32),
        "loss": per_source(losses, source),
        "correct": per_source(correct, source),
        "targets": per_source(real, source),
        "source_tokens": per_source(present, batch.source),
    }
    return (losses * weight).sum(), metrics
