"""A learned expert: the deterministic actor of SAC or PPO, played by NumPy from a small file.

A file `<name>.npz` holds arrays only: `weight_0` [observation, hidden], `bias_0` [hidden], and so on to the last layer,
all float32; `provenance`, a JSON text; and what the last layer means. With `low` and `high`, float32 in the action's
shape, it goes through tanh, and [-1, 1] is stretched to [low, high] (SAC, Haarnoja et al. 2018). With `first`, one
int64, it has a value for each action from that number on, and the largest is played (PPO, Schulman et al. 2017).
Hidden layers are rectified. Neither PyTorch nor the library that trained it is needed to act;
`generalist.envs.experts.training` trains one.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.envs.files import write_atomically
from generalist.envs.task import ActionFunction

FORMAT = 1
"""Version of the file, stored in its provenance."""

SUFFIX = ".npz"
SHIPPED = Path(__file__).parent / "actors"
"""Folder of the actors that are part of this package."""


Layers = tuple[tuple[np.ndarray, np.ndarray], ...]
"""(weights [inputs, outputs], biases [outputs]) of each, float32; the first takes the flat observation."""


@dataclass(frozen=True)
class Actor:
    """A perceptron and the box it acts in.

    Args:
        layers: of the perceptron.
        low, high: bounds of the action, in its shape, float32.
        provenance: how it was made, as JSON has it.

    Raises:
        ValueError: shapes that do not follow one another, values that are not finite, bounds the wrong way round.
    """

    layers: Layers
    low: np.ndarray
    high: np.ndarray
    provenance: dict[str, Any]

    def __post_init__(self):
        given = _outputs(self.layers)
        if self.low.shape != self.high.shape or self.low.size != given:
            raise ValueError(f"bounds have shapes {self.low.shape} and {self.high.shape}: need {given} values in each")
        if not all(array.dtype == np.float32 and np.isfinite(array).all() for array in (self.low, self.high)):
            raise ValueError(_NOT_FINITE)
        if not (self.low < self.high).all():
            raise ValueError(f"need low < high, got {self.low} and {self.high}")

    def __call__(self, flat: np.ndarray) -> np.ndarray:
        """The float32 action for a flat float32 observation [values]."""
        share = (np.tanh(_last(self.layers, flat)).reshape(self.low.shape) + 1) / 2
        return np.clip(self.low + share * (self.high - self.low), self.low, self.high)


@dataclass(frozen=True)
class Chooser:
    """A perceptron with a value for each of an environment's numbered actions.

    Args:
        layers: of the perceptron.
        first: number of the first action.
        provenance: how it was made, as JSON has it.

    Raises:
        ValueError: shapes that do not follow one another, values that are not finite.
    """

    layers: Layers
    first: int
    provenance: dict[str, Any]

    def __post_init__(self):
        _outputs(self.layers)

    @property
    def actions(self) -> int:
        return self.layers[-1][1].size

    def __call__(self, flat: np.ndarray) -> int:
        """The number of the action of the largest value for a flat float32 observation [values]."""
        return self.first + int(np.argmax(_last(self.layers, flat)))


_NOT_FINITE = "weights, biases and bounds must be float32 and finite"


def _outputs(layers: Layers) -> int:
    """How many values the last layer has. Raises ValueError for layers that are none, or do not follow one another."""
    if not layers:
        raise ValueError("there are no layers: need weight_0 and bias_0 at least")
    given = None
    for number, (weights, biases) in enumerate(layers):
        if weights.ndim != 2 or biases.shape != weights.shape[1:] or given not in (None, weights.shape[0]):
            inputs = "observation" if given is None else given
            raise ValueError(
                f"layer {number} has weights {weights.shape} and biases {biases.shape}: "
                f"need ({inputs}, outputs) and (outputs,)"
            )
        given = weights.shape[1]
    arrays = [array for layer in layers for array in layer]
    if not all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays):
        raise ValueError(_NOT_FINITE)
    return layers[-1][1].size


def _last(layers: Layers, values: np.ndarray) -> np.ndarray:
    for weights, biases in layers[:-1]:
        values = np.maximum(values @ weights + biases, 0)
    weights, biases = layers[-1]
    return values @ weights + biases


def layers_of(modules: Any) -> Layers:
    """Those of PyTorch's modules that are linear."""
    from torch.nn import Linear

    linear = [module for module in modules if isinstance(module, Linear)]
    return tuple((_array(each.weight).T, _array(each.bias)) for each in linear)


def _array(parameter: Any) -> np.ndarray:
    return parameter.detach().cpu().numpy().copy()


def learned_expert(path: str | os.PathLike, env: gym.Env) -> ActionFunction:
    """What the actor of this file does in an environment: observation -> float32 action of its Box, or a number.

    Raises:
        ValueError: no such file, a damaged one, or one for other spaces than the environment's.
    """
    actor = read_actor(path)
    _check_spaces(path, actor, env.observation_space, env.action_space)
    return play(actor, env.observation_space)


def play(actor: Actor | Chooser, observations: gym.Space) -> ActionFunction:
    """The actor on observations of this space."""
    return lambda observation: actor(flattened(observations, observation))


def flattened(space: gym.Space, observation: Any) -> np.ndarray:
    """A nested observation as float32 [values], in the order of its space, as `gymnasium.spaces.flatten` does."""
    return np.asarray(spaces.flatten(space, observation), np.float32)


def shipped_expert(name: str, env: gym.Env) -> ActionFunction:
    """`learned_expert` of an actor that is part of this package, by its name without ".npz"."""
    return learned_expert(shipped_path(name), env)


def shipped_path(name: str) -> Path:
    """Where an actor of this package lies."""
    return SHIPPED / f"{name}{SUFFIX}"


def shipped_method(steps: int) -> str:
    """How an actor of this package was trained, for `Task.provenance`."""
    return f"SAC (Haarnoja et al. 2018), {steps:,} steps with Stable-Baselines3 2.9.2"


def file_policy(path: str | os.PathLike) -> tuple[str, partial[ActionFunction]]:
    """Name and factory of the policy in a file, as `generalist.demonstrations.record.find_policy` gives them.

    The name ends with the beginning of the SHA-256 of the content, so that what another actor of the same file name
    recorded is told apart. Raises ValueError as `read_actor` does.
    """
    kind = "ppo" if isinstance(read_actor(path), Chooser) else "sac"  # a damaged file is refused before recording
    return f"{kind}:{Path(path).name}@{hashlib.sha256(_content(path)).hexdigest()[:8]}", partial(learned_expert, path)


def write_actor(path: str | os.PathLike, actor: Actor | Chooser) -> None:
    """The file holds either its old content or this actor, whole."""
    bounds = isinstance(actor, Actor)
    arrays: dict[str, Any] = {"low": actor.low, "high": actor.high} if bounds else {"first": np.int64(actor.first)}
    for number, (weights, biases) in enumerate(actor.layers):
        arrays |= {f"weight_{number}": weights, f"bias_{number}": biases}
    provenance = json.dumps({"format": FORMAT, **actor.provenance}, allow_nan=False)
    content = io.BytesIO()
    np.savez(content, provenance=np.array(provenance), **arrays)
    write_atomically(path, content.getvalue())


def read_actor(path: str | os.PathLike) -> Actor | Chooser:
    """The actor that `write_actor` wrote; nothing is unpickled.

    Raises:
        ValueError: no such file, or one that is cut, changed, of another format, or holds something else.
    """
    content = _content(path)
    try:
        _check_size(content)
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except _DAMAGE as cause:
        raise ValueError(f"{path} is damaged or no file of arrays ({cause}): {_REMEDY}") from cause
    try:
        return _actor(arrays)
    except (KeyError, ValueError) as cause:
        raise ValueError(f"{path} holds no actor that can be played: {cause.args[0]}; {_REMEDY}") from cause


MOST_BYTES = 1 << 28
"""Of an actor's arrays: a file that unpacks to more is none."""


def _check_size(content: bytes) -> None:
    """Raises ValueError before anything is unpacked that is too large."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        size = sum(member.file_size for member in file.infolist())
    if size > MOST_BYTES:
        raise ValueError(f"it unpacks to {size:,} bytes, an actor has at most {MOST_BYTES:,}")


_DAMAGE = (
    *(ValueError, OSError, EOFError, AttributeError, TypeError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What `numpy.load` raises for bytes that are no file of arrays."""

_REMEDY = "train one with `generalist expert TASK --out FILE`"


def _content(path: str | os.PathLike) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as cause:
        raise ValueError(f"cannot read the actor {path} ({cause.strerror}): {_REMEDY}") from cause


def _actor(arrays: dict[str, np.ndarray]) -> Actor | Chooser:
    count = sum(name.startswith("weight_") for name in arrays)
    layers = [(f"weight_{number}", f"bias_{number}") for number in range(count)]
    ends = {"first"} if "first" in arrays else {"low", "high"}
    needed = {"provenance", *ends, *(name for layer in layers for name in layer)}
    if set(arrays) != needed:
        raise ValueError(f"it has the arrays {', '.join(sorted(arrays))}: need {', '.join(sorted(needed))}")
    provenance = json.loads(str(arrays["provenance"]))
    if not isinstance(provenance, dict) or provenance.get("format") != FORMAT:
        raise ValueError(f"its provenance is {str(provenance)[:200]}: need a JSON object of format {FORMAT}")
    del provenance["format"]
    pairs = tuple((arrays[weights], arrays[biases]) for weights, biases in layers)
    if "first" not in arrays:
        return Actor(pairs, arrays["low"], arrays["high"], provenance)
    if arrays["first"].dtype != np.int64 or arrays["first"].ndim:
        raise ValueError(f"its first action is {arrays['first'].dtype} {arrays['first'].shape}: need one int64")
    return Chooser(pairs, int(arrays["first"]), provenance)


def _check_spaces(path: str | os.PathLike, actor: Actor | Chooser, observations: gym.Space, actions: gym.Space) -> None:
    inputs = actor.layers[0][0].shape[0]
    made_for = f"{path} is an actor of {actor.provenance.get('task', 'an unnamed task')}"
    if not observations.is_np_flattenable or spaces.flatdim(observations) != inputs:
        raise ValueError(f"{made_for} and sees {inputs} values: need one for observations of {observations}")
    if isinstance(actor, Chooser):
        if not isinstance(actions, spaces.Discrete) or (actions.start, actions.n) != (actor.first, actor.actions):
            raise ValueError(f"{made_for} and has {actor.actions} actions: need one for actions of {actions}")
    elif (
        not isinstance(actions, spaces.Box)
        or not np.array_equal(actions.low, actor.low)
        or not np.array_equal(actions.high, actor.high)
    ):
        raise ValueError(f"{made_for} and acts in [{actor.low}, {actor.high}]: need one for actions of {actions}")
