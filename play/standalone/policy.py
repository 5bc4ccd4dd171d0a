"""Plays an exported policy: one file of StableHLO, parameters and a recipe of how observations become its inputs.

This module needs jax and numpy alone, and may be copied to wherever the policy is to play. Nothing in the file is
executed but the compiled program. Only a policy that reads text in pieces needs the library `sentencepiece` besides.
"""

import io
import json
import os
import zipfile
from collections import deque
from collections.abc import Sequence
from functools import reduce
from operator import getitem
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

FORMAT = 1
RECIPE, PROGRAM, PARAMETERS, PIECES = "recipe.json", "program.bin", "parameters.npz", "pieces.model"
LARGEST = 2**33  # bytes of one part
MU, M = 100.0, 256.0  # of mu-law companding (Reed et al. 2022, sec. 2.1)


class StandalonePolicy:
    """Acts in up to `slots` environments of one task at once.

    Args:
        path: what `generalist export RUN --to FILE.stablehlo --task TASK` wrote.
        slots: environments that are acted in together.

    Raises:
        ValueError: it is no such file, damaged, or of a newer format.
    """

    def __init__(self, path: str | os.PathLike[str], slots: int = 1):
        parts = _parts(path)
        self.recipe: dict[str, Any] = json.loads(parts.get(RECIPE, b"{}"))
        if self.recipe.get("format") != FORMAT or not {PROGRAM, PARAMETERS} <= parts.keys():
            raise ValueError(f"{path} holds format {self.recipe.get('format')}, this module plays format {FORMAT}")
        program = jax.export.deserialize(bytearray(parts[PROGRAM]))
        self._step = jax.jit(program.call, donate_argnums=1)
        with np.load(io.BytesIO(parts[PARAMETERS]), allow_pickle=False) as stored:
            self._parameters = [jnp.asarray(stored[str(at)]) for at in range(len(stored.files))]
        self._memory = [jnp.zeros((slots, *shape), jnp.dtype(dtype)) for shape, dtype in self.recipe["memory"]]
        self._words = _words(self.recipe["text"], parts.get(PIECES))
        self.slots, self.task = slots, str(self.recipe["task"])
        self._position, self._timestep = np.zeros((2, slots), np.int32)
        self._last_action, self._fresh = np.full(slots, -1, np.int32), np.ones(slots, bool)
        self._seed = np.arange(slots, dtype=np.uint32)
        self._said: list[Any] = [None] * slots
        self._waiting: list[deque[Any]] = [deque() for _ in range(slots)]
        self._episodes: Sequence[Any] = ()

    def attach(self, slots: Sequence[Any]) -> None:
        """Take the `seed` of each episode from these."""
        self._episodes = slots

    def reset(self, index: int, seed: int | None = None) -> None:
        """A new episode begins in a slot; drawn actions depend on its seed alone."""
        following = self._episodes[index].seed if self._episodes else int(self._seed[index]) + self.slots
        self._seed[index] = following if seed is None else seed
        self._fresh[index], self._last_action[index] = True, -1
        self._position[index], self._timestep[index], self._said[index] = 0, 0, None
        self._waiting[index].clear()

    def act(self, observations: Sequence[Any], active: Sequence[int]) -> list[Any]:
        """An action for each of the active slots, from what they observe."""
        looking = [(row, seen) for row, seen in zip(active, observations, strict=True) if not self._waiting[row]]
        if looking:
            self._look([row for row, _ in looking], [seen for _, seen in looking])
        self._timestep[np.asarray(active)] += 1
        return [self._waiting[row].popleft() for row in active]

    def _look(self, rows: list[int], observations: list[Any]) -> None:
        active = np.zeros(self.slots, bool)
        active[rows] = True
        text, length = self._texts(rows, observations)
        inputs = {
            "observed": [self._encoded(part, rows, observations) for part in self.recipe["observation"]],
            **{"text": text, "text_length": length, "active": active, "fresh": self._fresh, "seed": self._seed},
            **{"position": self._position, "timestep": self._timestep, "last_action": self._last_action},
        }
        ids, values, self._memory = self._step(self._parameters, self._memory, inputs)
        ids, values = np.asarray(ids), np.asarray(values, np.float64)
        self._fresh[rows] = False
        self._position[rows] += length[rows] + self.recipe["advance"]
        self._last_action[rows] = ids[rows, -1] if self.recipe["past_actions"] == "shown" else -1
        each = (self.slots, -1, self.recipe["tokens_of_action"])
        ids, values = ids.reshape(each), values.reshape(each)
        for row in rows:
            self._waiting[row].extend(map(self._action, ids[row], values[row]))

    def _texts(self, rows: list[int], observations: list[Any]) -> tuple[np.ndarray, np.ndarray]:
        recipe = self.recipe["text"]
        text, length = np.zeros((self.slots, recipe["most"]), np.int32), np.zeros(self.slots, np.int32)
        for row, seen in zip(rows, observations, strict=True):
            said = [reduce(getitem, keys, seen) for keys in recipe["keys"]]
            if self._timestep[row] % recipe["every"] and said == self._said[row]:
                continue
            self._said[row], ids = said, []
            for number, (string, limit) in enumerate(zip(said, recipe["limits"], strict=True)):
                ids += [recipe["end"]] * (number > 0) + list(self._words(string))[:limit]
            text[row, : len(ids)], length[row] = ids, len(ids)
        return text, length

    def _encoded(self, part: dict[str, Any], rows: list[int], observations: list[Any]) -> np.ndarray:
        """One leaf of the observations of all slots, zeros where a slot is not active."""
        values = np.stack([np.asarray(reduce(getitem, part["keys"], seen)) for seen in observations])
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise ValueError(f"{part['path']}: NaN is observed")
        encoded = values if part["kind"] == "pixels" else ENCODERS[part["kind"]](part, values)
        whole = np.zeros((self.slots, *encoded.shape[1:]), encoded.dtype)
        whole[rows] = encoded
        return whole

    def _action(self, ids: np.ndarray, values: np.ndarray) -> Any:
        parts = [(part, slice(*part["at"])) for part in self.recipe["action"]]
        found = [DECODERS[part["kind"]](part, ids[at], values[at]) for part, at in parts]
        return _nested(self.recipe["action_tree"], found)


def _encoded_vector(part: dict[str, Any], values: np.ndarray) -> np.ndarray:
    x = np.clip(values.astype(np.float64).reshape(len(values), -1), -1e30, 1e30)
    return _compand(np.clip((x - np.asarray(part["mean"])) / np.asarray(part["std"]), -1e6, 1e6)).astype(np.float32)


def _encoded_bins(part: dict[str, Any], values: np.ndarray) -> np.ndarray:
    x = values.astype(np.float64).reshape(len(values), -1)
    linear, centre, half = (np.asarray(part[name]) for name in ("linear", "centre", "half"))
    even = (np.clip(x, centre - half, centre + half) - centre) / np.where(half > 0, half, 1.0)
    squashed = np.clip(np.where(linear, even, _compand(np.clip(x, -M, M))), -1.0, 1.0)
    index = np.floor((squashed + 1.0) * (part["bins"] / 2))
    return np.minimum(index, part["bins"] - 1).astype(np.int32) + np.int32(part["start"])


def _encoded_digits(part: dict[str, Any], values: np.ndarray) -> np.ndarray:
    low, high = (np.array([int(end) for end in part[name]], part["wide"]) for name in ("low", "high"))
    x = np.clip(values.reshape(len(values), -1).astype(part["wide"]), low, high)
    offset = x.astype(np.uint64) - low.astype(np.uint64)
    power = np.array([int(each) for each in part["power"]], np.uint64)
    digits = offset[:, np.asarray(part["element"], np.int64)] // power % np.uint64(part["base"])
    return digits.astype(np.int32) + np.int32(part["start"])


def _decoded_bins(part: dict[str, Any], ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    y = np.clip(values, -1.0, 1.0)
    linear, centre, half = (np.asarray(part[name]) for name in ("linear", "centre", "half"))
    x = np.where(linear, centre + half * y, np.sign(y) * np.expm1(np.abs(y) * np.log1p(M * MU)) / MU)
    low, high = (np.asarray(part[name], part["dtype"]) for name in ("low", "high"))
    most = float(np.finfo(part["dtype"]).max)
    return np.clip(np.clip(x, -most, most).astype(part["dtype"]), low, high).reshape(part["shape"])


def _decoded_digits(part: dict[str, Any], ids: np.ndarray, values: np.ndarray) -> Any:
    offsets = [0] * len(part["low"])
    for element, id in zip(part["element"], ids, strict=True):
        offsets[element] = offsets[element] * part["base"] + min(max(int(id) - part["start"], 0), part["base"] - 1)
    ends = zip(part["low"], part["high"], strict=True)
    whole = [int(low) + min(offset, int(high) - int(low)) for offset, (low, high) in zip(offsets, ends, strict=True)]
    return np.array(whole, part["dtype"]).reshape(part["shape"])[()]


ENCODERS = {"vector": _encoded_vector, "bins": _encoded_bins, "digits": _encoded_digits}
DECODERS = {"bins": _decoded_bins, "digits": _decoded_digits}


def _compand(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * np.log1p(np.abs(x) * MU) / np.log1p(M * MU)


def _nested(tree: Any, found: list[Any]) -> Any:
    if isinstance(tree, int):
        return found[tree]
    if "dict" in tree:
        return {key: _nested(inner, found) for key, inner in tree["dict"]}
    return tuple(_nested(inner, found) for inner in tree["tuple"])


def _words(recipe: dict[str, Any], pieces: bytes | None) -> Any:
    if pieces is None:
        return lambda string: string.encode(errors="replace")
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(pieces)
    return processor.EncodeAsIds


def _parts(path: str | os.PathLike[str]) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as file:
            small = {info.filename for info in file.infolist() if info.file_size <= LARGEST}
            return {name: file.read(name) for name in (RECIPE, PROGRAM, PARAMETERS, PIECES) if name in small}
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is no exported policy, or damaged: {error}") from None
