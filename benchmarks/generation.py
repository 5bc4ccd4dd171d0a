"""Tokens per second of generation with the cache, beside a full pass for each token; milliseconds to the first one.

Both write the likeliest tokens with the same network until prompt and text together fill 512 positions. Without a cache
every token is a pass over all 512, compiled once, in a loop on the device. Its time does not depend on what is written,
so it is measured on fewer tokens.
"""

import sys
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from common import paired, parser, save, seconds
from flax import nnx

from generalist.agent.config import AgentConfig, InputSizes
from generalist.agent.generating import TextIds, text_logits, whole
from generalist.agent.network import Network, parameter_count, unstacked
from generalist.agent.sampling import SamplingConfig
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.configs.quickstart import config as quickstart
from generalist.play.writer import Writer
from generalist.tokenizers.document import DocumentLayout
from generalist.tokenizers.parts import Words
from generalist.tokenizers.sequence import NO_LOCAL, UNLIMITED, Kind, TokenBatch
from generalist.tokenizers.text import ByteTokenizer
from generalist.tokenizers.vocabulary import Vocabulary
from generalist.train.memory import keep_freed_memory

PROMPT = 64
"""Tokens of the prompt."""


@dataclass(frozen=True)
class Ascii(ByteTokenizer):
    """An untrained network would write bytes that are no characters, and a stream would wait for more of them."""

    size: int = field(default=128, init=False)


def writer(agent: AgentConfig, vocabulary: Vocabulary) -> Writer:
    """An untrained network that never ends a text: the score of `end` is 0, and the largest of the others above it."""
    sizes = InputSizes(vocabulary=vocabulary.size)
    with use_mesh(make_mesh(1)):
        network = nnx.jit(lambda: Network(agent, sizes, rngs=nnx.Rngs(0)))()
        network.tokens.rows[...] = network.tokens.rows[...].at[vocabulary.end].set(0)
    graphdef, state = nnx.split(unstacked(network))
    return Writer(agent, sizes, graphdef, state, DocumentLayout(vocabulary, Ascii()), 0)


def passes(mine: Writer, batch: TokenBatch, length: int, count: int):
    """Writes `count` tokens after the first `length` of a padded row, a full pass for each; compiled."""
    text = TextIds(mine.layout.text.size, mine.layout.ends)

    @jax.jit
    def write(state: nnx.State, batch: TokenBatch) -> jax.Array:
        network = nnx.merge(mine.graphdef, state)

        def advance(ids: jax.Array, at: jax.Array) -> tuple[jax.Array, jax.Array]:
            hidden = whole(network, replace(batch, ids=ids))
            last = jax.lax.dynamic_index_in_dim(hidden, at - 1, axis=1, keepdims=False)
            chosen = jnp.argmax(text_logits(network, last, text), axis=-1).astype(jnp.int32)
            return jax.lax.dynamic_update_index_in_dim(ids, chosen, at, axis=1), chosen

        return jax.lax.scan(advance, batch.ids, jnp.arange(length, length + count))[1].T

    return lambda: write(mine.state, batch)


def measure(name: str, agent: AgentConfig, vocabulary: Vocabulary, tokens: int, uncached: int) -> dict:
    """One row: a text of `tokens` positions with its prompt; the slow way writes `uncached` of them."""
    mine = writer(agent, vocabulary)
    prompt = (Words("x" * (PROMPT - 1), target=False, whole=False),)
    new = tokens - PROMPT
    sampling = SamplingConfig(max_tokens=new)
    slow = passes(mine, filled(mine.batch([mine.encoded(prompt)]), tokens), PROMPT, uncached)
    [text], expected = mine.write([prompt], sampling), bytes(np.asarray(slow())[0].tolist()).decode()
    assert len(text) == new
    assert text[: len(expected)] == expected, "both ways must write the same"
    ours, theirs, ratio = paired(lambda: mine.write([prompt], sampling), slow)
    first = seconds(lambda: next(mine.stream(prompt, sampling)), repeats=20, warmup=2)
    return {
        "network": name,
        "width": agent.width,
        "layers": agent.layers,
        "parameters M": parameter_count(nnx.merge(mine.graphdef, mine.state)) / 1e6,
        "positions": tokens,
        "cached tokens/s": new / ours,
        "uncached tokens/s": uncached / theirs,
        "cached / uncached": ratio * new / uncached,
        "first token ms": 1e3 * first,
    }


def filled(batch: TokenBatch, tokens: int) -> TokenBatch:
    """The row padded to `tokens` positions that all are text: a later one is seen by none before it."""
    values = {
        "ids": 0, "targets": 0, "loss_mask": False, "kind": int(Kind.TEXT), "local": NO_LOCAL, "timestep": 0,
        "segment": 1, "source": 0, "context": UNLIMITED, "visible": True,
    }  # fmt: skip
    arrays, given = batch.arrays(), batch.ids.shape[1]
    for name, value in values.items():
        more = np.full((1, tokens - given), value, arrays[name].dtype)
        arrays[name] = np.concatenate([arrays[name], more], axis=1)
    arrays["position"] = np.arange(tokens, dtype=np.int32)[None]
    return TokenBatch(**arrays)


def main() -> None:
    given = parser(__doc__.split("\n")[0]).parse_args()
    keep_freed_memory()
    tokens, uncached = (128, 4) if given.small else (512, 32)
    train = quickstart().train
    wide = AgentConfig(width=256, layers=4, heads=4, head_size=64, feedforward=1024, window=tokens, unroll=4)
    settings = [("quickstart", replace(train.agent, window=tokens), train.vocabulary), ("wide", wide, Vocabulary())]
    rows = []
    for name, agent, vocabulary in settings[: 1 if given.small else None]:
        rows.append(measure(name, agent, vocabulary, tokens, uncached))
        print(rows[-1], file=sys.stderr)
    save(given.out, "generation", rows, prompt=PROMPT)


if __name__ == "__main__":
    main()
