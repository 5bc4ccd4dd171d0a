"""Generation of pictures: a prompt is read, then the ids of its picture are drawn one by one, each row for itself.

Only ids of pictures can be drawn, as many as one has. With guidance (Ho & Salimans 2022) each row has a twin that was
told nothing, and what is drawn lies further from the twin's distribution than the row's own does.
"""

from collections.abc import Callable
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
from generalist.tokenizers.sequence import Kind, TokenBatch
from generalist.tokenizers.vocabulary import Vocabulary


def visual_logits(network: Network, hidden: Float[Array, "R D"], vocabulary: Vocabulary) -> Float[Array, "R K"]:
    """Scores of the K ids of pictures."""
    return network.logits(hidden, vocabulary.visual[0], vocabulary.visual_size)


@cache
def make_look(graphdef: nnx.GraphDef, vocabulary: Vocabulary) -> Callable:
    """A compiled `look(state, cache, batch, last) -> (logits [R, K], cache)` that reads prompts like `make_read`."""

    def look(
        state: nnx.State, cache: Cache, batch: TokenBatch, last: Int[Array, " R"]
    ) -> tuple[Float[Array, "R K"], Cache]:
        network = nnx.merge(graphdef, state)
        hidden, cache = extend(network, cache, batch)
        hidden = jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
        return visual_logits(network, hidden, vocabulary), cache

    return jax.jit(look, donate_argnums=1, compiler_options=on_cpu(IN_PLACE))


@cache
def make_paint(graphdef: nnx.GraphDef, vocabulary: Vocabulary, tokens: int, guided: bool) -> Callable:
    """A compiled `paint(state, cache, logits, position, source, drawing, guidance) -> ids`; see `paint`."""
    return jax.jit(partial(paint, graphdef, vocabulary, tokens, guided), compiler_options=on_cpu(IN_PLACE))


def paint(
    graphdef: nnx.GraphDef,
    vocabulary: Vocabulary,
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
    """Draw the picture of every prompt.

    Args:
        guided: the second half of the R rows are the twins of the first, so that B = R / 2; otherwise B = R.
        cache, logits: of the prompts, as `make_look` gives them.
        position: at which each picture begins: the length of its prompt.
        guidance: 1 draws from the row's own distribution; used where `guided`.

    Returns:
        Ids [B, tokens] from 0, without the vocabulary's offset.
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
        ids = vocabulary.visual[0] + (jnp.concatenate([column, column]) if guided else column)
        batch = one_token(ids, position + index, open, source, Kind.VISUAL, index)
        hidden, cache = extend(network, cache, batch)
        return (visual_logits(network, hidden[:, 0], vocabulary), cache), column

    _, columns = jax.lax.scan(advance, (logits, cache), jnp.arange(tokens))
    return columns.T
