"""The networks of the specialists (`specialists.py`) and their training, each as one compiled program.

Rows of a table are chosen on the host; a program gets all of them, so that an update costs no dispatch, and the table
filled up to a power of two, so that other data of about that size need no other program.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from scipy.special import expit

WIDTH = 256
"""Of every hidden layer of the MLP."""
STATE = 64
"""Of the GRU: its state, and the layer before it."""
RATE, WARMUP, DECAY, CLIP = 3e-3, 50, 1e-2, 1.0
"""Of AdamW: highest learning rate (a cosine to 0), updates up to it, weight decay, largest norm of the gradient."""


@dataclass(frozen=True)
class Heads:
    """What a network says: so many numbers, then logits of so many classes of each column."""

    numbers: int
    classes: tuple[int, ...]

    @property
    def outputs(self) -> int:
        return self.numbers + sum(self.classes)

    def logits(self, said: Any) -> list[Any]:
        """Of outputs [N, outputs], those of each column."""
        ends = np.cumsum([self.numbers, *self.classes])
        return [said[:, start:end] for start, end in pairwise(ends)]

    def loss(self, said: jax.Array, numbers: jax.Array, places: jax.Array) -> jax.Array:
        """Mean over steps: squared error of standardised numbers [N, C], cross-entropy of places of classes [N, K]."""
        total = jnp.square(said[:, : self.numbers] - numbers).sum(axis=1)
        for column, logits in enumerate(self.logits(said)):
            total += optax.softmax_cross_entropy_with_integer_labels(logits, places[:, column])
        return total.mean()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Table:
    """Steps: features float32[N, F], standardised numbers float32[N, C], places of classes int32[N, K]."""

    x: Any
    numbers: Any
    places: Any

    def filled(self) -> "Table":
        """Rows of zeros behind it, up to a power of two."""
        more = (1 << (len(self.x) - 1).bit_length()) - len(self.x)
        return jax.tree.map(lambda rows: np.pad(rows, ((0, more), (0, 0))), self)


class Mlp(nnx.Module):
    """Two hidden layers."""

    def __init__(self, features: int, outputs: int, *, rngs: nnx.Rngs):
        self.first = nnx.Linear(features, WIDTH, rngs=rngs)
        self.second = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.last = nnx.Linear(WIDTH, outputs, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Features [..., F] -> outputs [..., O]."""
        return self.last(nnx.relu(self.second(nnx.relu(self.first(x)))))


class Gru(nnx.Module):
    """A layer, a gated recurrent unit (Cho et al. 2014) over the steps of an episode, and a layer that sees both."""

    def __init__(self, features: int, outputs: int, *, rngs: nnx.Rngs):
        self.first = nnx.Linear(features, STATE, rngs=rngs)
        self.cell = nnx.GRUCell(STATE, STATE, rngs=rngs)
        self.last = nnx.Linear(2 * STATE, outputs, rngs=rngs)

    def __call__(self, state: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """State [B, STATE] and features [B, F] of one step -> the next state, outputs [B, O]."""
        inside = nnx.relu(self.first(x))
        state, _ = self.cell(state, inside)
        return state, self.last(jnp.concatenate([inside, state], axis=-1))

    def window(self, state: jax.Array, x: jax.Array, first: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Features [W, B, F] of W steps; the state is forgotten where `first` bool[W, B]. Outputs [W, B, O]."""

        def step(state: jax.Array, given: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            inside, first = given
            state, _ = self.cell(jnp.where(first[:, None], 0.0, state), inside)
            return state, state

        inside = nnx.relu(self.first(x))
        state, states = jax.lax.scan(step, state, (inside, first))
        return state, self.last(jnp.concatenate([inside, states], axis=-1))


def _optimizer(updates: int) -> optax.GradientTransformation:
    rate = optax.warmup_cosine_decay_schedule(0.0, RATE, min(WARMUP, updates // 2), updates)
    return optax.chain(optax.clip_by_global_norm(CLIP), optax.adamw(rate, weight_decay=DECAY))


def _trained(network: nnx.Module, updates: int, loss: Callable[..., Any], memory: Any, batches: Any) -> Any:
    """Parameters after one update for each of `batches`; `loss(network, memory, batch)` gives (loss, memory)."""
    graph, parameters = nnx.split(network)
    optimizer = _optimizer(updates)

    def update(carry: Any, batch: Any) -> tuple[Any, jax.Array]:
        parameters, state, memory = carry
        graded = jax.value_and_grad(lambda given: loss(nnx.merge(graph, given), memory, batch), has_aux=True)
        (value, memory), gradients = graded(parameters)
        changes, state = optimizer.update(gradients, state, parameters)
        return (optax.apply_updates(parameters, changes), state, memory), value

    (parameters, _, _), losses = jax.lax.scan(update, (parameters, optimizer.init(parameters), memory), batches)
    return nnx.to_pure_dict(parameters), losses


@partial(jax.jit, static_argnames="heads")
def train_mlp(key: jax.Array, table: Table, rows: jax.Array, *, heads: Heads) -> Any:
    """Parameters of an `Mlp` and the loss of every update, float32[U]; rows int32[U, B] are those of each update."""

    def loss(network: Mlp, _: None, rows: jax.Array) -> tuple[jax.Array, None]:
        return heads.loss(network(table.x[rows]), table.numbers[rows], table.places[rows]), None

    network = Mlp(table.x.shape[1], heads.outputs, rngs=nnx.Rngs(key))
    return _trained(network, len(rows), loss, None, rows)


@partial(jax.jit, static_argnames="heads")
def train_gru(key: jax.Array, table: Table, rows: jax.Array, first: jax.Array, *, heads: Heads) -> Any:
    """Parameters of a `Gru` and the loss of every update, float32[U].

    Every stream is one episode after another; its state goes on from window to window, gradients do not.

    Args:
        rows: int32[U, W, B], a window of each of B streams. first: bool[U, W, B], steps that begin an episode.
    """

    def loss(network: Gru, state: jax.Array, batch: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        rows, first = batch
        state, said = network.window(state, table.x[rows], first)
        flat = rows.reshape(-1)
        return heads.loss(said.reshape(len(flat), -1), table.numbers[flat], table.places[flat]), state

    network = Gru(table.x.shape[1], heads.outputs, rngs=nnx.Rngs(key))
    return _trained(network, len(rows), loss, jnp.zeros((rows.shape[2], STATE)), (rows, first))


def said_by_mlp(parameters: Any, x: np.ndarray) -> np.ndarray:
    """`Mlp` in NumPy, with parameters as nested dicts: outputs [N, O].

    A compiled program runs in another thread, for which this one waits its turn at every step of the environment where
    all cores are busy.
    """
    inside = np.maximum(_linear(parameters["first"], x), 0)
    return _linear(parameters["last"], np.maximum(_linear(parameters["second"], inside), 0))


def said_by_gru(parameters: Any, state: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One step of `Gru` in NumPy: the next state [B, STATE] and outputs [B, O]."""
    inside = np.maximum(_linear(parameters["first"], x), 0)
    cell = parameters["cell"]
    given, past = _linear(cell["dense_i"], inside), state @ cell["dense_h"]["kernel"]
    reset, keep = expit(given[:, : 2 * STATE] + past[:, : 2 * STATE]).reshape(len(x), 2, STATE).swapaxes(0, 1)
    new = np.tanh(given[:, 2 * STATE :] + reset * past[:, 2 * STATE :])
    state = (1 - keep) * new + keep * state
    return state, _linear(parameters["last"], np.concatenate([inside, state], axis=1))


def _linear(parameters: Any, x: np.ndarray) -> np.ndarray:
    return x @ parameters["kernel"] + parameters["bias"]
