"""Masked next-token loss on text and actions (Reed et al. 2022, sec. 2.3), with metrics per source.

`loss_and_metrics` is what training computes; `held_out_metrics` is more, for what is not trained on.

Logits are computed only at the positions that carry a target; [B, T, V] never exists.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from generalist.agent.answer import Answer
from generalist.agent.embed import Table
from generalist.agent.network import Network, logits_of, scored
from generalist.agent.parts import in_parts
from generalist.agent.sharding import constrain, platform
from generalist.tokenizers.sequence import TokenBatch
from generalist.tokenizers.vocabulary import Vocabulary

ANSWERS_AT_ONCE = 32
"""So many answers for each row have their logits in work together."""


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """How targets are scored.

    Args:
        targets: positions per row at which logits are computed; the packer never puts more targets into a row.
        label_width: standard deviation, in bins, of a Gaussian around the target bin of a continuous action; 0 is the
            paper's one-hot label.
        chunk: targets of a row whose logits exist at one time, forwards and backwards; 0 is all of them.
        source_weights: weight of each source's targets in the loss, normalised over the batch; empty is 1 for all.
    """

    targets: int
    label_width: float = 0.0
    chunk: int = 0
    source_weights: tuple[float, ...] = ()


class ActionIds(NamedTuple):
    """Half-open ranges of the ids of actions, counted from the first of them."""

    continuous: tuple[int, int]
    discrete: tuple[int, int]


def gather_targets(mask: Bool[Array, "B T"], count: int) -> tuple[Int[Array, "B M"], Bool[Array, "B M"]]:
    """Positions of the first `count` targets of every row, and which of them are real."""
    chosen, index = jax.lax.top_k(mask.astype(jnp.int32), count)
    return index, chosen > 0


def cross_entropy(
    logits: Float[Array, "B M V"], targets: Int[Array, "B M"], vocabulary: Vocabulary | ActionIds, label_width: float
) -> tuple[Float[Array, "B M"], Bool[Array, "B M"]]:
    """Cross-entropy in nats, and whether the target is the likeliest id.

    With a `label_width` the label of a continuous bin is a Gaussian around it, cut at four standard deviations and at
    the ends of the range.
    """
    if not label_width and platform() != "cpu":
        return one_label(logits, targets)
    highest = jax.lax.stop_gradient(logits.max(axis=-1))
    log_sum = highest + jnp.log(jnp.exp(logits - highest[..., None]).sum(axis=-1))
    at_target = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    correct = at_target >= highest
    if not label_width:
        return log_sum - at_target, correct
    start, stop = vocabulary.continuous
    reach = int(4 * label_width) + 1
    offsets = jnp.arange(-reach, reach + 1)
    near = targets[..., None] + offsets[None, None, :]
    inside = (near >= start) & (near < stop)
    label = jnp.where(inside, jnp.exp(-0.5 * (offsets / label_width) ** 2)[None, None, :], 0.0)
    label = label / jnp.maximum(label.sum(axis=-1, keepdims=True), 1e-9)
    soft = (label * jnp.take_along_axis(logits, jnp.clip(near, start, stop - 1), axis=-1)).sum(axis=-1)
    continuous = (targets >= start) & (targets < stop)
    return log_sum - jnp.where(continuous, soft, at_target), correct


@jax.custom_vjp
def one_label(
    logits: Float[Array, "B M V"], targets: Int[Array, "B M"]
) -> tuple[Float[Array, "B M"], Bool[Array, "B M"]]:
    """Cross-entropy with one label, and whether it is the likeliest; the gradient is one pass over the logits.

    What JAX derives scatters into a copy of them, which takes long on accelerators, and is faster on a CPU.
    """
    return _one_label(logits, targets)[0]


def _one_label(logits: jax.Array, targets: jax.Array) -> tuple[tuple[jax.Array, jax.Array], tuple]:
    highest = logits.max(axis=-1)
    weights = jnp.exp(logits - highest[..., None])
    total = weights.sum(axis=-1)
    at_target = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return (highest + jnp.log(total) - at_target, at_target >= highest), (weights, total, targets)


def _of_logits(kept: tuple, gradient: tuple[jax.Array, Any]) -> tuple[jax.Array, None]:
    weights, total, targets = kept
    label = jnp.arange(weights.shape[-1])[None, None] == targets[..., None]
    return (weights / total[..., None] - label) * gradient[0][..., None], None


one_label.defvjp(_one_label, _of_logits)


def bin_error(
    logits: Float[Array, "B M V"], targets: Int[Array, "B M"], vocabulary: Vocabulary | ActionIds
) -> tuple[Float[Array, "B M"], Bool[Array, "B M"]]:
    """Distance in bins of the expectation over the continuous bins from the target, and whether the target is a bin.

    The expectation is what `decode.continuous` mean plays; 0 where the target is no bin.
    """
    start, stop = vocabulary.continuous
    continuous = (targets >= start) & (targets < stop)
    share = jax.nn.softmax(logits[..., start:stop], axis=-1)
    expected = jnp.einsum("BMV,V->BM", share, jnp.arange(stop - start, dtype=jnp.float32))
    return jnp.where(continuous, jnp.abs(expected - (targets - start)), 0.0), continuous


Scores = dict[str, jax.Array]
"""Numbers [B, M] of every target; `loss` is among them."""


def training_scores(
    logits: Float[Array, "B M V"], targets: Int[Array, "B M"], vocabulary: Vocabulary | ActionIds, label_width: float
) -> Scores:
    losses, correct = cross_entropy(logits, targets, vocabulary, label_width)
    return {"loss": losses, "correct": correct}


def held_out_scores(
    logits: Float[Array, "B M V"], targets: Int[Array, "B M"], vocabulary: Vocabulary | ActionIds, label_width: float
) -> Scores:
    scores = training_scores(logits, targets, vocabulary, label_width)
    error, continuous = bin_error(logits, targets, vocabulary)
    actions = (targets >= vocabulary.continuous[0]) & (targets < vocabulary.discrete[1])
    said = {"actions": actions, "correct_actions": actions & scores["correct"]}
    return scores | said | {"bins": continuous, "bin_error": error}


def score(
    network: Network,
    at: Float[Array, "B M D"],
    targets: Int[Array, "B M"],
    vocabulary: Vocabulary,
    config: LossConfig,
    scores: Callable[..., Scores] = training_scores,
) -> Scores:
    """`scores` of the targets from hidden states, `config.chunk` of a row at a time.

    The backward pass computes the logits of a chunk again, so that [B, M, V] is never stored.
    """

    B, M = targets.shape
    chunked = 0 < config.chunk < M
    # Devices that share the table gather it once for all parts, and sum its gradient over them before they exchange it:
    # in its own dtype, where there are many; else they exchange it in the compute dtype.
    rows = network.table.rows[...]
    rows = constrain(rows if chunked else rows.astype(network.table.dtype), "vocabulary", None)
    rows = constrain(rows, "logits", None)

    def one(part: tuple[jax.Array, jax.Array]) -> Scores:
        hidden, target = part
        count = network.sizes.vocabulary
        # A cut copies the logits, which on a CPU costs less than to mask the rest.
        logits = logits_of(rows, hidden, 0, count) if platform() == "cpu" else scored(rows, hidden, count)
        return scores(logits, target, vocabulary, config.label_width)

    if not chunked:
        return one((at, targets))
    missing = -M % config.chunk

    def split(x: jax.Array) -> jax.Array:
        x = jnp.pad(x, [(0, 0), (0, missing)] + [(0, 0)] * (x.ndim - 2))
        return x.reshape(B, -1, config.chunk, *x.shape[2:]).swapaxes(0, 1)

    parts = jax.lax.map(jax.checkpoint(one), (split(at), split(targets)))
    return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(B, -1)[:, :M], parts)


def answer_scores(
    network: Network,
    hidden: Float[Array, "B T D"],
    batch: TokenBatch,
    vocabulary: Vocabulary,
    config: LossConfig,
    scores: Callable[..., Scores] = training_scores,
) -> tuple[Scores, Bool[Array, "B R"]]:
    """`scores` of the action tokens that are predicted directly, anything elsewhere, and where there are some.

    They are bins or discrete values, so that the logits of texts and special tokens are neither computed nor compared.
    """
    assert network.answer is not None
    T = hidden.shape[1]
    first = vocabulary.continuous[0]
    ids = ActionIds(*((start - first, stop - first) for start, stop in (vocabulary.continuous, vocabulary.discrete)))
    used = batch.answer_at < T
    at = jnp.take_along_axis(hidden, jnp.minimum(batch.answer_at, T - 1)[..., None], axis=1)

    def some(modules: tuple[Answer, Table], given: tuple[jax.Array, jax.Array, jax.Array]) -> Scores:
        (answer, tokens), (at, part, targets) = modules, given
        logits = logits_of(tokens.rows[...], answer(at, part), first, ids.discrete[1])
        return scores(logits, targets - first, ids, config.label_width)

    things = (at, batch.answer_part, batch.answers)
    return in_parts(some, (network.answer, network.tokens), things, used, ANSWERS_AT_ONCE), used


def loss_and_metrics(
    network: Network, batch: TokenBatch, key: PRNGKeyArray | None, vocabulary: Vocabulary, config: LossConfig
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Sum of weighted losses, and sums from which means over any number of batches are exact.

    Returns:
        The weighted sum of losses in nats, and `weight` (its denominator), `tokens` (positions that are not padding)
        and, per source [sources]: `loss`, `correct`, `targets` and `source_tokens`.
    """
    hidden = network.hidden(batch, key)
    with jax.named_scope("loss"):
        return _loss_of_hidden(network, hidden, batch, vocabulary, config)


def held_out_metrics(
    network: Network, batch: TokenBatch, vocabulary: Vocabulary, config: LossConfig
) -> dict[str, Array]:
    """The metrics of `loss_and_metrics`, with patch positions as in acting, and more of them.

    Per source [sources]: `actions` (targets that are actions, not text) and `correct_actions` of them; `bins` (targets
    that are bins of a continuous action) and `bin_error`, the sum of what `bin_error` gives for them.
    """
    return _loss_of_hidden(network, network.hidden(batch), batch, vocabulary, config, held_out_scores)[1]


def _loss_of_hidden(
    network: Network,
    hidden: Float[Array, "B T D"],
    batch: TokenBatch,
    vocabulary: Vocabulary,
    config: LossConfig,
    scores: Callable[..., Scores] = training_scores,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    index, real = gather_targets(batch.loss_mask, config.targets)
    at = jnp.take_along_axis(hidden, index[..., None], axis=1)
    targets = jnp.take_along_axis(batch.targets, index, axis=1)
    source = jnp.take_along_axis(batch.source, index, axis=1)
    found = score(network, at, targets, vocabulary, config, scores)
    if network.answer is not None and batch.answers.shape[1]:
        answers, used = answer_scores(network, hidden, batch, vocabulary, config, scores)
        where = jnp.minimum(batch.answer_at, batch.source.shape[1] - 1)
        found, real, source = jax.tree.map(
            lambda *both: jnp.concatenate(both, axis=1),
            (found, real, source),
            (answers, used, jnp.take_along_axis(batch.source, where, axis=1)),
        )
    found = {name: jnp.where(real, values, jnp.zeros((), values.dtype)) for name, values in found.items()}
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
        **{name: per_source(values, source) for name, values in found.items()},
        "targets": per_source(real, source),
        "source_tokens": per_source(present, batch.source),
    }
    return (found["loss"] * weight).sum(), metrics
