"""Generation of pictures and series: a prompt is read, then ids are drawn one by one, each row for itself.

Only ids of one range can be drawn, those of pictures or of numbers, and as many as are asked for. With guidance (Ho &
Salimans 2022) each row has a twin that was told nothing, and what is drawn lies further from the twin's distribution
than the row's own does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from generalist.agent.acting import IN_PLACE
from generalist.agent.cache import Cache, extend
from generalist.agent.compilation import on_cpu
from generalist.agent.generating import Drawing, draw, one_token
from generalist.agent.network import Network
from generalist.tokenizers.sequence import NO_LOCAL, Kind, TokenBatch
from generalist.tokenizers.vocabulary import Vocabulary


@dataclass(frozen=True)
class Span:
    """The range of ids that is drawn from.

    Args:
        start, size: its first id, and how many there are.
        kind: of the tokens. The place of one in its picture is its local position; a number has none.
    """

    start: int
    size: int
    kind: Kind

    @classmethod
    def of(cls, vocabulary: Vocabulary, kind: Kind) -> "Span":
        """Raises KeyError where tokens of this kind are not drawn."""
        start, stop = {Kind.VISUAL: vocabulary.visual, Kind.CONTINUOUS: vocabulary.continuous}[kind]
        return cls(start, stop - start, kind)


def span_logits(network: Network, hidden: Float[Array, "R D"], span: Span) -> Float[Array, "R K"]:
    """Scores of the K ids of the range."""
    return network.logits(hidden, span.start, span.size)


@cache
def make_look(graphdef: nnx.GraphDef, span: Span) -> Callable:
    """A compiled `look(state, cache, batch, last) -> (logits [R, K], cache)` that reads prompts like `make_read`."""

    def look(
        state: nnx.State, cache: Cache, batch: TokenBatch, last: Int[Array, " R"]
    ) -> tuple[Float[Array, "R K"], Cache]:
        network = nnx.merge(graphdef, state)
        hidden, cache = extend(network, cache, batch)
        hidden = jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
        return span_logits(network, hidden, span), cache

    return jax.jit(look, donate_argnums=1, compiler_options=on_cpu(IN_PLACE))


@cache
def make_paint(graphdef: nnx.GraphDef, span: Span, tokens: int, guided: bool) -> Callable:
    """A compiled `paint(state, cache, logits, position, source, drawing, guidance) -> ids`; see `paint`."""
    return jax.jit(partial(paint, graphdef, span, tokens, guided), compiler_options=on_cpu(IN_PLACE))


def paint(
    graphdef: nnx.GraphDef,
    span: Span,
    tokens: int,
    guided: bool,
    state: nnx.State,
    cache: Cache,
    logits: Float[Array, "R K"],
    position: Int[Array, " R"],
    source: Int[Array, " R"],
    drawing: Drawing,
    guidance: Float[Array, ""],
) -> Int[Array, "B tokens"]:
    """Draw what follows every prompt.

    Args:
        guided: the second half of the R rows are the twins of the first, so that B = R / 2; otherwise B = R.
        cache, logits: of the prompts, as `make_look` gives them.
        position: at which what is drawn begins: the length of the prompt.
        guidance: 1 draws from the row's own distribution; used where `guided`.

    Returns:
        Ids [B, tokens] from 0, without the start of their range.
    """
    network = nnx.merge(graphdef, state)
    open = jnp.ones(position.shape, bool)

    def advance(
        carry: tuple[jax.Array, Cache], index: Int[Array, ""]
    ) -> tuple[tuple[jax.Array, Cache], Int[Array, " B"]]:
        logits, cache = carry
        if guided:
            told, untold = jnp.split(jax.nn.log_softmax(logits, axis=-1), 2)
            logits = untold + guidance * (told - untold)
        column = draw(logits, jnp.full(logits.shape[0], index), drawing).astype(jnp.int32)
        ids = span.start + (jnp.concatenate([column, column]) if guided else column)
        local = index if span.kind == Kind.VISUAL else NO_LOCAL
        batch = one_token(ids, position + index, open, source, span.kind, local)
        hidden, cache = extend(network, cache, batch)
        return (span_logits(network, hidden[:, 0], span), cache), column

    _, columns = jax.lax.scan(advance, (logits, cache), jnp.arange(tokens))
    return columns.T
