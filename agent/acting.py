"""One environment step of the agent: read the new observation tokens, then write the action token by token.

Only ids that are legal at a position can be chosen. Everything here is one compiled function of fixed shapes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt32

from generalist.agent.cache import Cache, clear, extend
from generalist.agent.compilation import on_cpu
from generalist.agent.config import DecodeConfig
from generalist.agent.network import Network
from generalist.tokenizers.sequence import FEATURES, NO_LOCAL, Kind, TokenBatch
from generalist.tokenizers.vocabulary import Vocabulary

IN_PLACE = {"xla_cpu_copy_insertion_use_region_analysis": True}
"""Without it XLA for CPU copies the cache of every layer before it writes a token into it."""


def choose(
    logits: Float[Array, "B K"],
    first: Int[Array, ""],
    legal: Int[Array, "2"],
    continuous: Bool[Array, ""],
    keys: PRNGKeyArray,
    vocabulary: Vocabulary,
    config: DecodeConfig,
) -> tuple[Int[Array, " B"], Float[Array, " B"]]:
    """An id per environment inside `legal` [start, stop), and its value in [-1, 1] where the position is continuous.

    `logits` are those of the ids `first` to `first + K - 1`. `keys` holds one key per environment, so that a draw
    depends on the environment's own seed and step alone.
    """
    ids = first + jnp.arange(logits.shape[1])
    logits = jnp.where((ids >= legal[0]) & (ids < legal[1]), logits, -jnp.inf)
    best = jnp.argmax(logits, axis=-1)
    drawn = best
    if "sample" in (config.continuous, config.discrete):
        drawn = jax.vmap(jax.random.categorical)(keys, logits / config.temperature)
    start, stop = vocabulary.continuous
    bins = stop - start
    discrete = drawn if config.discrete == "sample" else best
    if config.continuous == "mean":
        centres = (2 * (ids - start) + 1) / bins - 1
        value = jax.nn.softmax(logits, axis=-1) @ centres
        binned = start - first + jnp.clip(jnp.floor((value + 1) / 2 * bins), 0, bins - 1).astype(jnp.int32)
    else:
        binned = drawn if config.continuous == "sample" else best
        value = (2 * (first + binned - start) + 1) / bins - 1
    return first + jnp.where(continuous, binned, discrete), jnp.where(continuous, value, 0.0)


def action_token(
    batch: TokenBatch, last: Int[Array, " B"], ids: Int[Array, " B"], index: Int[Array, ""], visible: Bool[Array, ""]
) -> TokenBatch:
    """Action token `index` of every environment, in the timestep of its position `last` of `batch`."""
    B = ids.shape[0]

    def like_last(name: str) -> jax.Array:
        return jnp.take_along_axis(getattr(batch, name), last[:, None], axis=1)

    features = [name for at, arrays in FEATURES.items() for name in (at, *arrays)]
    return TokenBatch(
        **{name: getattr(batch, name)[:, :0] for name in features},
        **{name: like_last(name) for name in ("timestep", "segment", "source", "context")},
        ids=ids[:, None],
        targets=jnp.zeros((B, 1), jnp.int32),
        loss_mask=jnp.zeros((B, 1), bool),
        kind=jnp.full((B, 1), int(Kind.ACTION), jnp.int32),
        local=jnp.full((B, 1), NO_LOCAL, jnp.int32),
        position=like_last("position") + 1 + index,
        visible=jnp.broadcast_to(visible, (B, 1)),
    )


@dataclass(frozen=True)
class ActionSpec:
    """What may stand at each of the A tokens of an action.

    Args:
        ranges: legal ids [start, stop).
        continuous: whether the token is a bin of a continuous value.
        visible: whether later timesteps may attend to the action.
        widest: ids in the largest range; logits are computed for so many ids alone.
        direct: all tokens from the last one of the observation; see `LayoutOptions.actions`.
    """

    ranges: Int[Array, "A 2"]
    continuous: Bool[Array, " A"]
    visible: Bool[Array, ""]
    widest: int
    direct: bool

    @classmethod
    def of(cls, ranges: np.ndarray, continuous: np.ndarray, *, visible: bool, direct: bool = False) -> "ActionSpec":
        widest = int((ranges[:, 1] - ranges[:, 0]).max())
        return cls(jnp.asarray(ranges), jnp.asarray(continuous), jnp.asarray(visible), widest, direct)


jax.tree_util.register_dataclass(ActionSpec, ["ranges", "continuous", "visible"], ["widest", "direct"])


@cache
def make_act(graphdef: nnx.GraphDef, vocabulary: Vocabulary, config: DecodeConfig, explained: bool = False) -> Callable:
    """A compiled `act(state, cache, batch, last, fresh, spec, seeds, steps) -> (ids, values, cache)`; see `act`.

    `explained` gives, before the cache, the probabilities too.
    """
    step = partial(act_explained if explained else act, graphdef, vocabulary, config)
    return jax.jit(step, donate_argnums=1, compiler_options=on_cpu(IN_PLACE))


def act(
    graphdef: nnx.GraphDef, vocabulary: Vocabulary, config: DecodeConfig, *given: Any
) -> tuple[Int[Array, "B A"], Float[Array, "B A"], Cache]:
    """`act_explained` without the probabilities."""
    ids, values, _, cache = act_explained(graphdef, vocabulary, config, *given)
    return ids, values, cache


def act_explained(
    graphdef: nnx.GraphDef,
    vocabulary: Vocabulary,
    config: DecodeConfig,
    state: nnx.State,
    cache: Cache,
    batch: TokenBatch,
    last: Int[Array, " B"],
    fresh: Bool[Array, " B"],
    spec: ActionSpec,
    seeds: UInt32[Array, " B"],
    steps: Int[Array, " B"],
) -> tuple[Int[Array, "B A"], Float[Array, "B A"], Float[Array, "B A K"], Cache]:
    """Read the observation, then decode the A tokens of an action.

    Args:
        batch: the new positions of every environment, C each; padding where an environment has fewer.
        last: index in [0, C) of each environment's last new position: the first action token is predicted from it.
        fresh: environments that start a new episode; their cache is cleared first.
        seeds, steps: of each environment's episode; a draw depends on these two alone.

    Returns:
        Ids [B, A], their values in [-1, 1] at continuous tokens, the probability of each legal id in their order [B, A,
        K] (0 beyond the last), whatever the temperature, and the cache. The last action token is not yet in the cache:
        where past actions are visible, it comes first among the new positions of the next step.
    """
    network = nnx.merge(graphdef, state)
    keys = jax.vmap(lambda seed, step: jax.random.fold_in(jax.random.key(seed), step))(seeds, steps)

    def pick(hidden: jax.Array, index: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        legal = spec.ranges[index]
        first = jnp.minimum(legal[0], network.sizes.vocabulary - spec.widest)
        own = jax.vmap(lambda key: jax.random.fold_in(key, index))(keys)
        logits = network.logits(hidden, first, spec.widest)
        chosen = choose(logits, first, legal, spec.continuous[index], own, vocabulary, config)
        return *chosen, probabilities(logits, first, legal)

    decode = _direct if spec.direct else _sequential
    ids, values, chances, cache = decode(network, clear(cache, fresh), batch, last, spec, pick)
    return ids.T, values.T, chances.swapaxes(0, 1), cache


def probabilities(logits: Float[Array, "B K"], first: Int[Array, ""], legal: Int[Array, "2"]) -> Float[Array, "B K"]:
    """Of the legal ids in their order; `logits` are those of the ids `first` to `first + K - 1`."""
    places = jnp.arange(logits.shape[1])
    moved = logits[:, jnp.clip(legal[0] - first + places, 0, logits.shape[1] - 1)]
    return jax.nn.softmax(jnp.where(places < legal[1] - legal[0], moved, -jnp.inf), axis=-1)


Pick = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array, jax.Array]]
"""`(hidden [B, D], index of the action token) -> (ids [B], values [B], probabilities [B, K])`."""


def _sequential(
    network: Network, cache: Cache, batch: TokenBatch, last: jax.Array, spec: ActionSpec, pick: Pick
) -> tuple[Int[Array, "A B"], Float[Array, "A B"], Float[Array, "A B K"], Cache]:
    """Each token is read before the next is chosen."""
    hidden, cache = extend(network, cache, batch)
    hidden = jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]

    def advance(carry, index):
        hidden, cache = carry
        chosen = pick(hidden, index)
        hidden, cache = extend(network, cache, action_token(batch, last, chosen[0], index, spec.visible))
        return (hidden[:, 0], cache), chosen

    count = spec.ranges.shape[0]
    (hidden, cache), chosen = jax.lax.scan(advance, (hidden, cache), jnp.arange(count - 1))
    at_last = pick(hidden, jnp.asarray(count - 1))
    ids, values, chances = (jnp.concatenate([each, one[None]]) for each, one in zip(chosen, at_last, strict=True))
    return ids, values, chances, cache


def _direct(
    network: Network, cache: Cache, batch: TokenBatch, last: jax.Array, spec: ActionSpec, pick: Pick
) -> tuple[Int[Array, "A B"], Float[Array, "A B"], Float[Array, "A B K"], Cache]:
    """None is read: each is predicted from the observation alone."""
    assert network.answer is not None
    hidden, cache = extend(network, cache, batch)
    at = jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
    index = jnp.arange(spec.ranges.shape[0])
    shape = (len(index), *at.shape)
    each = network.answer(jnp.broadcast_to(at, shape), jnp.broadcast_to(index[:, None], shape[:2]))
    return *jax.lax.map(lambda given: pick(*given), (each, index)), cache


@cache
def make_prefill(graphdef: nnx.GraphDef) -> Callable:
    """A compiled `prefill(state, cache, batch, fresh) -> cache` that reads a prompt."""

    def prefill(state: nnx.State, cache: Cache, batch: TokenBatch, fresh: Bool[Array, " B"]) -> Cache:
        return extend(nnx.merge(graphdef, state), clear(cache, fresh), batch)[1]

    return jax.jit(prefill, donate_argnums=1, compiler_options=on_cpu(IN_PLACE))
