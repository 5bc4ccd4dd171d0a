"""Folders of public language models: config.json and safetensors, looked at, and written in their form.

Nothing in a folder is executed. Every tensor of theirs and every parameter of ours is accounted for, or nothing is
loaded. `generalist.train.public.loading` reads the parameters.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  (so that NumPy knows bfloat16)
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from generalist.agent.config import AgentConfig
from generalist.envs.files import read_json
from generalist.train.public.families import Rule, agent_config, family_of
from generalist.train.tensor_file import check_header

CONFIG, WHOLE, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
NAMED = 10
"""Keys that a message names, at most."""


@dataclass(frozen=True)
class PublicModel:
    """A folder that was looked at.

    Args:
        said: its config.json.
        config: the trunk that this describes.
        rules: what its tensors are.
        shapes: of all of its tensors, by key.
        files: where each tensor is.
        prefix: of the keys of the rules, which the folder's keys leave out.
    """

    folder: Path
    said: Mapping[str, Any]
    config: AgentConfig
    rules: tuple[Rule, ...]
    shapes: Mapping[str, tuple[int, ...]]
    files: Mapping[str, Path]
    prefix: str

    @property
    def vocabulary(self) -> int:
        """Rows of its token table."""
        [rows, _] = self.shapes[self.key("tokens/rows")]
        return rows

    def key(self, ours: str) -> str:
        """The folder's key of a parameter of ours that is one tensor."""
        [rule] = [rule for rule in self.rules if rule.ours == (ours,)]
        return rule.theirs.removeprefix(self.prefix)


def is_public(said: Any) -> bool:
    """Whether a config.json is that of a public model."""
    return isinstance(said, dict) and "model_type" in said and "schema" not in said


def open_public(folder: Path, **changes: Any) -> PublicModel:
    """Look at a folder; no tensor is read. `changes` are fields of `AgentConfig`, such as a shorter window.

    Raises:
        FileNotFoundError: no config.json or no safetensors.
        ValueError: an architecture that is not known, a damaged or missing file, or keys that are not accounted for,
            all of them named.
    """
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(f"{folder} has no {CONFIG}: give the folder of a public language model")
    said = read_json(folder / CONFIG, "", "download it again")
    if "auto_map" in said:
        raise ValueError(f"{folder} asks for code of its own (auto_map), which is never run here")
    try:
        config, family = agent_config(said, **changes), family_of(said)
    except (ValueError, TypeError, KeyError) as error:
        missing = "it has no " * isinstance(error, KeyError)
        raise ValueError(f"{folder / CONFIG}: {missing}{error}") from error
    rules = tuple(family.rules(config))
    files = _files(folder)
    shapes = _shapes(files)
    wanted = {rule.theirs.format(layer) for rule in rules for layer in range(config.layers)}
    prefix = "" if {*wanted} & {*shapes} else family.prefix
    wanted = {key.removeprefix(prefix) for key in wanted}
    tied = {"lm_head.weight", "embed_out.weight"} if config.trunk.tied else set()
    spare = {key for key in shapes if key.endswith(family.buffers)} if family.buffers else set()
    unknown, missing = sorted({*shapes} - wanted - tied - spare), sorted(wanted - {*shapes})
    if unknown or missing:
        raise ValueError(
            f"{folder} is no {said['model_type']} as its {CONFIG} describes it: "
            + "; ".join(
                f"{what} {', '.join(keys[:NAMED])}{f' and {len(keys) - NAMED} more' * (len(keys) > NAMED)}"
                for what, keys in (("it lacks", missing), ("it has besides", unknown))
                if keys
            )
        )
    return PublicModel(folder, said, config, rules, shapes, files, prefix)


def write_public(folder: Path, model: PublicModel, parameters: Mapping[str, np.ndarray]) -> None:
    """Write parameters by path, layers stacked, in their form: config.json and one safetensors file.

    Rows of tables beyond the model's vocabulary are left out. Raises OSError where it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, np.ndarray] = {}
    for rule in model.rules:
        parts = [parameters[path] for path in rule.ours]
        if rule.layered:
            for layer in range(model.config.layers):
                tensors[rule.theirs.format(layer)] = rule.join(tuple(part[layer] for part in parts))
        else:
            joined = rule.join(tuple(parts))
            rows = model.vocabulary if rule.ours[0] in ("tokens/rows", "head/rows") else len(joined)
            tensors[rule.theirs] = joined[:rows]
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, folder / WHOLE, {"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(dict(model.said), indent=2))


def _files(folder: Path) -> dict[str, Path]:
    """Where each tensor is, by key."""
    if (folder / INDEX).is_file():
        index = read_json(folder / INDEX, "", "download it again")
        names = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            raise ValueError(f"{folder / INDEX} has no weight_map: download it again")
        if outside := [name for name in names.values() if Path(name).name != name]:
            raise ValueError(f"{folder / INDEX} names a file outside its folder: {outside[0]!r}")
        if missing := sorted(name for name in {*names.values()} if not (folder / name).is_file()):
            raise ValueError(f"{folder} lacks {', '.join(missing[:NAMED])}, which its index names: download them again")
        return {key: folder / name for key, name in names.items()}
    path = folder / WHOLE
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has neither {WHOLE} nor {INDEX}; other forms are not read")
    return dict.fromkeys(_keys(path), path)


def _keys(path: Path) -> list[str]:
    try:
        check_header(path)
        with safe_open(path, framework="numpy") as file:
            return list(file.keys())
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is damaged or truncated ({error}): download it again") from error


def _shapes(files: Mapping[str, Path]) -> dict[str, tuple[int, ...]]:
    """Of every tensor, by key; nothing but heads of files is read."""
    found = {}
    for path in sorted({*files.values()}):
        there = {*_keys(path)}
        mine = {key for key, own in files.items() if own == path}
        if lacking := sorted(mine - there):
            raise ValueError(f"{path} lacks {', '.join(lacking[:NAMED])}, which its index names: download it again")
        with safe_open(path, framework="numpy") as file:
            for key in mine:
                part = file.get_slice(key)
                if part.get_dtype() not in ("F32", "F16", "BF16", "F64"):
                    raise ValueError(f"{path}: {key} is {part.get_dtype()}, known are F32, F16, BF16 and F64")
                found[key] = tuple(part.get_shape())
    return found
