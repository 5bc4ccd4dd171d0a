"""Generation of text: prompts are read all at once, then tokens are drawn one by one, each row for itself.

Only ids of text and what ends it can be drawn. Everything here is compiled with fixed shapes; texts, stop strings
and batches of prompts are `generalist.play.writer`. Actions are drawn by `generalist.agent.acting`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, struct
from jaxtyping import Array, Bool, Float, Int, UInt32

from generalist.agent.acting import IN_PLACE
from generalist.agent.cache import Cache, extend
from generalist.agent.compilation import on_cpu
from generalist.agent.network import Network, attending
from generalist.agent.sampling import SamplingConfig
from generalist.tokenizers.sequence import FEATURES, NO_LOCAL, UNLIMITED, Kind, TokenBatch


@dataclass(frozen=True)
class Drawing:
    """A `SamplingConfig` on the device. Only `method` is compiled in, so that other numbers need no compilation.

    Args:
        seed, rows: of all draws, and of each row. A draw depends on these two and the token's index alone.
        method: the likeliest token, a draw among all, or a draw among those that `top_k` and `top_p` leave.
    """

    seed: UInt32[Array, ""]
    rows: UInt32[Array, " B"]
    temperature: Float[Array, ""]
    top_k: Int[Array, ""]
    top_p: Float[Array, ""]
    method: Literal["greedy", "all", "filtered"]

    @classmethod
    def of(cls, config: SamplingConfig, rows: Sequence[int]) -> "Drawing":
        filtered = config.top_k > 0 or config.top_p < 1
        method = "greedy" if config.temperature == 0 else "filtered" if filtered else "all"
        numbers = np.float32(config.temperature), np.int32(config.top_k), np.float32(config.top_p)
        return cls(np.uint32(config.seed), np.asarray(rows, np.uint32), *numbers, method)  # pyright: ignore


jax.tree_util.register_dataclass(Drawing, ["seed", "rows", "temperature", "top_k", "top_p"], ["method"])


@struct.dataclass
class Rows:
    """Where each of B texts stands.

    Args:
        ids: its last token, which the cache does not hold yet.
        position: of that token in its segment.
        index: of that token in what is written, from 0.
        open: whether the text goes on; False from its end on, and nothing more is cached.
        source: index of its source, -1 if none.
    """

    ids: Int[Array, " B"]
    position: Int[Array, " B"]
    index: Int[Array, " B"]
    open: Bool[Array, " B"]
    source: Int[Array, " B"]


@dataclass(frozen=True)
class TextIds:
    """What can be drawn: the ids [0, words) of text, which may be fewer than the vocabulary holds, and `ends`.

    Args:
        ends: a text ends by each of these: ids of text, or one that is none, such as `Vocabulary.end`.
    """

    words: int
    ends: tuple[int, ...]

    @property
    def apart(self) -> int | None:
        """The end that is no id of text."""
        return self.ends[0] if self.ends[0] >= self.words else None

    def has_ended(self, ids: Int[Array, " B"]) -> Bool[Array, " B"]:
        return jnp.isin(ids, jnp.asarray(self.ends))


def text_logits(network: Network, hidden: Float[Array, "B D"], text: TextIds) -> Float[Array, "B K"]:
    """Scores of the ids of text and, last, of the end that is none of them."""
    logits = network.logits(hidden, 0, text.words)
    if text.apart is None:
        return logits
    return jnp.concatenate([logits, network.logits(hidden, text.apart, 1)], axis=-1)


def draw(logits: Float[Array, "B K"], index: Int[Array, " B"], drawing: Drawing) -> Int[Array, " B"]:
    """The chosen column of each row for the token `index` of its text."""
    if drawing.method == "greedy":
        return jnp.argmax(logits, axis=-1)
    logits = (logits - logits.max(axis=-1, keepdims=True)) / drawing.temperature
    if drawing.method == "filtered":
        logits = jnp.where(likeliest(logits, drawing.top_k, drawing.top_p), logits, -jnp.inf)

    def one(row: jax.Array, index: jax.Array, logits: jax.Array) -> jax.Array:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(drawing.seed), row), index)
        return jax.random.categorical(key, logits)

    return jax.vmap(one)(drawing.rows, index, logits)


def likeliest(logits: Float[Array, "B K"], top_k: Int[Array, ""], top_p: Float[Array, ""]) -> Bool[Array, "B K"]:
    """True for the `top_k` likeliest columns (0: all), of these the fewest whose probabilities sum up to `top_p`.

    The likeliest always is among them, and of equal columns the first comes first, as in an argmax.
    """
    order = jnp.argsort(-logits, axis=-1, stable=True)
    ranks = jnp.arange(logits.shape[-1])[None]
    kept = (ranks < top_k) | (top_k == 0)
    ordered = jnp.where(kept, jnp.take_along_axis(logits, order, axis=-1), -jnp.inf)
    probability = jax.nn.softmax(ordered, axis=-1)
    before = jnp.cumsum(probability, axis=-1) - probability
    kept &= (before < top_p) | (top_p >= 1) | (ranks == 0)
    return jnp.take_along_axis(kept, jnp.argsort(order, axis=-1), axis=-1)


def text_tokens(rows: Rows) -> TokenBatch:
    """The last token of every row as a batch of one new position each; padding where a text has ended."""
    return one_token(rows.ids, rows.position, rows.open, rows.source, Kind.TEXT, NO_LOCAL)


def one_token(
    ids: Int[Array, " B"],
    position: Int[Array, " B"],
    open: Bool[Array, " B"],
    source: Int[Array, " B"],
    kind: Kind,
    local: int | Int[Array, ""],
) -> TokenBatch:
    """One new position of every row of a document; padding where a row is not open."""
    B = ids.shape[0]

    def full(value: int | jax.Array, dtype: type = jnp.int32) -> jax.Array:
        return jnp.full((B, 1), value, dtype)

    return TokenBatch(
        ids=ids[:, None],
        targets=full(0),
        loss_mask=full(False, jnp.bool_),
        kind=full(int(kind)),
        local=full(local),
        timestep=full(0),
        position=position[:, None],
        segment=open.astype(jnp.int32)[:, None],
        source=source[:, None],
        context=full(UNLIMITED),
        visible=full(True, jnp.bool_),
        **{name: jnp.zeros((B, 0), jnp.int32) for name in ("answers", "answer_part", *FEATURES)},
        **{name: jnp.zeros((B, 0, 2), jnp.int32) for name in ("patch_rows", "patch_cols")},
        patches=jnp.zeros((B, 0, 0), jnp.uint8),
        vectors=jnp.zeros((B, 0, 0), jnp.float32),
        images=jnp.zeros((B, 0, 0, 0, 0), jnp.uint8),
    )


@cache
def make_read(graphdef: nnx.GraphDef, text: TextIds) -> Callable:
    """A compiled `read(state, cache, batch, last) -> (logits, cache)`.

    It reads prompts of any lengths, C positions each with padding after them; `last` [B] is the column of each one's
    last position. The logits are those of the next token; see `text_logits`.
    """

    def read(
        state: nnx.State, cache: Cache, batch: TokenBatch, last: Int[Array, " B"]
    ) -> tuple[Float[Array, "B K"], Cache]:
        network = nnx.merge(graphdef, state)
        hidden, cache = extend(network, cache, batch)
        hidden = jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
        return text_logits(network, hidden, text), cache

    return jax.jit(read, donate_argnums=1, compiler_options=on_cpu(IN_PLACE))


@cache
def make_begin(text: TextIds) -> Callable:
    """A compiled `begin(logits, position, open, source, drawing) -> Rows` that draws the first token of each text.

    `position` [B] is the length of each prompt, `open` [B] is False for rows that only fill the batch.
    """

    def begin(logits, position, open, source, drawing: Drawing) -> Rows:
        index = jnp.zeros_like(position)
        before = Rows(index, position - 1, index - 1, open, source)
        return _next(before, draw(logits, index, drawing), text)

    return jax.jit(begin)


@cache
def make_write(graphdef: nnx.GraphDef, text: TextIds, count: int) -> Callable:
    """A compiled `write(state, cache, rows, drawing) -> (ids, rows, cache)` that draws `count` more tokens; `write`."""
    return jax.jit(partial(write, graphdef, text, count), donate_argnums=(1, 2), compiler_options=on_cpu(IN_PLACE))


def write(
    graphdef: nnx.GraphDef,
    text: TextIds,
    count: int,
    state: nnx.State,
    cache: Cache,
    rows: Rows,
    drawing: Drawing,
) -> tuple[Int[Array, "B count"], Rows, Cache]:
    """Draw `count` more tokens of every text; a text that has ended has its end from there on.

    Returns:
        Ids [B, count], where the texts stand, and the cache, in which the last of the ids is not yet.
    """
    network = nnx.merge(graphdef, state)

    def advance(carry: tuple[Rows, Cache], _: None) -> tuple[tuple[Rows, Cache], jax.Array]:
        rows, cache = carry
        hidden, cache = extend(network, cache, text_tokens(rows))
        logits = text_logits(network, hidden[:, 0], text)
        rows = _next(rows, draw(logits, rows.index + 1, drawing), text)
        return (rows, cache), rows.ids

    (rows, cache), ids = jax.lax.scan(advance, (rows, cache), None, length=count)
    return ids.T, rows, cache


def _next(rows: Rows, column: Int[Array, " B"], text: TextIds) -> Rows:
    """One token further, to the drawn column of `text_logits`."""
    ids = jnp.where(rows.open & (column < text.words), column, text.ends[0]).astype(jnp.int32)
    return Rows(ids, rows.position + 1, rows.index + 1, rows.open & ~text.has_ended(ids), rows.source)


@cache
def make_score(graphdef: nnx.GraphDef) -> Callable:
    """A compiled `score(state, batch, at) -> (float32[B, A], bool[B, A])`; see `score`."""
    return jax.jit(partial(score, graphdef))


def score(
    graphdef: nnx.GraphDef, state: nnx.State, batch: TokenBatch, at: Int[Array, "B A"]
) -> tuple[Float[Array, "B A"], Bool[Array, "B A"]]:
    """Log-probabilities in nats of the targets at the columns `at` of each row, 0 where no loss is.

    As in training they are those among all ids, in one pass without a cache. Also whether the target is the likeliest
    id, true where no loss is.
    """
    network = nnx.merge(graphdef, state)
    hidden = jnp.take_along_axis(whole(network, batch), at[..., None], axis=1)
    logits = jax.nn.log_softmax(network.logits(hidden), axis=-1)
    targets, wanted = (jnp.take_along_axis(array, at, axis=1) for array in (batch.targets, batch.loss_mask))
    found = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jnp.where(wanted, found, 0), ~wanted | (logits.argmax(axis=-1) == targets)


def whole(network: Network, batch: TokenBatch) -> Float[Array, "B T D"]:
    """What `Network.hidden` gives, of an `unstacked` network too, whose layers cannot be scanned."""
    anywhere = replace(network.config, attention="blocked")  # kernels are of the devices that it was trained on
    attend, x, trunk = attending(batch, anywhere, network.sizes), network.embed(batch), network.transformer
    for block, kind in zip(trunk.layers(), trunk.kinds(), strict=True):
        x, _ = block(x, batch.position, attend, kind)
    return trunk.norm(x)
