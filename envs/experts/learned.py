"""A learned expert: the deterministic actor of SAC (Haarnoja et al. 2018), played by NumPy from a small file.

A file `<name>.npz` holds arrays only: `weight_0` [observation, hidden], `bias_0` [hidden], and so on to the last layer,
all float32; `low` and `high` in the action's shape, float32; `provenance`, a JSON text. Hidden layers are rectified,
the last one goes through tanh, and [-1, 1] is stretched to [low, high]. Neither PyTorch nor the library that trained it
is needed to act; `generalist.envs.experts.sac` trains one.
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


@dataclass(frozen=True)
class Actor:
    """A perceptron and the box it acts in.

    Args:
        layers: (weights [inputs, outputs], biases [outputs]) of each, float32; the first takes the flat observation.
        low, high: bounds of the action, in its shape, float32.
        provenance: how it was made, as JSON has it.

    Raises:
        ValueError: shapes that do not follow one another, values that are not finite, bounds the wrong way round.
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    low: np.ndarray
    high: np.ndarray
    provenance: dict[str, Any]

    def __post_init__(self):
        if not self.layers:
            raise ValueError("there are no layers: need weight_0 and bias_0 at least")
        given = None
        for number, (weights, biases) in enumerate(self.layers):
            if weights.ndim != 2 or biases.shape != weights.shape[1:] or given not in (None, weights.shape[0]):
                inputs = "observation" if given is None else given
                raise ValueError(
                    f"layer {number} has weights {weights.shape} and biases {biases.shape}: "
                    f"need ({inputs}, outputs) and (outputs,)"
                )
            given = weights.shape[1]
        if self.low.shape != self.high.shape or self.low.size != given:
            raise ValueError(f"bounds have shapes {self.low.shape} and {self.high.shape}: need {given} values in each")
        arrays = [array for layer in self.layers for array in layer] + [self.low, self.high]
        if not all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays):
            raise ValueError("weights, biases and bounds must be float32 and finite")
        if not (self.low < self.high).all():
            raise ValueError(f"need low < high, got {self.low} and {self.high}")

    def __call__(self, flat: np.ndarray) -> np.ndarray:
        """The float32 action for a flat float32 observation [values]."""
        values = flat
        for weights, biases in self.layers[:-1]:
            values = np.maximum(values @ weights + biases, 0)
        weights, biases = self.layers[-1]
        share = (np.tanh(values @ weights + biases).reshape(self.low.shape) + 1) / 2
        return np.clip(self.low + share * (self.high - self.low), self.low, self.high)


def learned_expert(path: str | os.PathLike, env: gym.Env) -> ActionFunction:
    """What the actor of this file does in an environment: observation -> float32 action of its Box.

    Raises:
        ValueError: no such file, a damaged one, or one for other spaces than the environment's.
    """
    actor = read_actor(path)
    _check_spaces(path, actor, env.observation_space, env.action_space)
    return play(actor, env.observation_space)


def play(actor: Actor, observations: gym.Space) -> ActionFunction:
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
    read_actor(path)  # so that a damaged file is refused before anything is recorded
    return f"sac:{Path(path).name}@{hashlib.sha256(_content(path)).hexdigest()[:8]}", partial(learned_expert, path)


def write_actor(path: str | os.PathLike, actor: Actor) -> None:
    """The file holds either its old content or this actor, whole."""
    arrays: dict[str, Any] = {"low": actor.low, "high": actor.high}
    for number, (weights, biases) in enumerate(actor.layers):
        arrays |= {f"weight_{number}": weights, f"bias_{number}": biases}
    provenance = json.dumps({"format": FORMAT, **actor.provenance}, allow_nan=False)
    content = io.BytesIO()
    np.savez(content, provenance=np.array(provenance), **arrays)
    write_atomically(path, content.getvalue())


def read_actor(path: str | os.PathLike) -> Actor:
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


def _actor(arrays: dict[str, np.ndarray]) -> Actor:
    count = sum(name.startswith("weight_") for name in arrays)
    layers = [(f"weight_{number}", f"bias_{number}") for number in range(count)]
    needed = {"provenance", "low", "high", *(name for layer in layers for name in layer)}
    if set(arrays) != needed:
        raise ValueError(f"it has the arrays {', '.join(sorted(arrays))}: need {', '.join(sorted(needed))}")
    provenance = json.loads(str(arrays["provenance"]))
    if not isinstance(provenance, dict) or provenance.get("format") != FORMAT:
        raise ValueError(f"its provenance is {str(provenance)[:200]}: need a JSON object of format {FORMAT}")
    del provenance["format"]
    pairs = tuple((arrays[weights], arrays[biases]) for weights, biases in layers)
    return Actor(pairs, arrays["low"], arrays["high"], provenance)


def _check_spaces(path: str | os.PathLike, actor: Actor, observations: gym.Space, actions: gym.Space) -> None:
    inputs = actor.layers[0][0].shape[0]
    made_for = f"{path} is an actor of {actor.provenance.get('task', 'an unnamed task')}"
    if not observations.is_np_flattenable or spaces.flatdim(observations) != inputs:
        raise ValueError(f"{made_for} and sees {inputs} values: need one for observations of {observations}")
    if (
        not isinstance(actions, spaces.Box)
        or not np.array_equal(actions.low, actor.low)
        or not np.array_equal(actions.high, actor.high)
    ):
        raise ValueError(f"{made_for} and acts in [{actor.low}, {actor.high}]: need one for actions of {actions}")
