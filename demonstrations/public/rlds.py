"""RLDS data sets that TFDS has prepared on disk, array_record or TFRecord, read without TensorFlow.

TFDS's own features decode the values, a whole column of an episode at once. What the observation and the action are,
and whether the last step's action was taken, says the catalogue's row of the data set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.demonstrations.episode import Episode
from generalist.demonstrations.public.catalogue import Row, find_row, minimal_actions
from generalist.demonstrations.public.form import BY_RULE, Form
from generalist.demonstrations.public.reader import (
    PublicData,
    array_space,
    check_columns,
    decode_picture,
    discrete_space,
    make_episode,
    naming,
    nest,
    nest_spaces,
    text_space,
    with_action_codes,
)
from generalist.demonstrations.public.tfrecord import read_records
from generalist.envs.files import read_json

FORMATS = ("array_record", "tfrecord")
OWN_FEATURES = "tensorflow_datasets."
"""Features of other packages are not imported because a file names them."""
LEFT_OUT = ("embedding",)
"""Parts of names of observations that are a model's view of another one, the embedding of an instruction."""


def open_rlds(path: str | Path, *, task: str | None = None, split: str = "train", form: Form = BY_RULE) -> PublicData:
    """A data set by its folder, NAME/VERSION or NAME/CONFIG/VERSION, or one above with a single version.

    Args:
        task: the task id instead of the catalogue's.
        split: a split of TFDS, without slices.

    Raises:
        ValueError: no data set, no such split, another file format, columns that are missing or cannot be read.
    """
    import tensorflow_datasets as tfds

    folder = _version_folder(Path(path))
    _check_features(folder / "features.json")
    with naming(folder / "dataset_info.json"):
        info = tfds.builder_from_directory(folder).info
    name = "/".join(filter(None, [info.name, info.config_name]))
    row, task_id = find_row("rlds", name)
    if split not in info.splits:
        raise ValueError(f"{folder} has the splits {', '.join(info.splits)}, not {split!r}")
    file_format = info.file_format.value if info.file_format else "tfrecord"
    if file_format not in FORMATS:
        raise ValueError(f"{folder} has the file format {file_format}, need {' or '.join(FORMATS)}: prepare it in one")
    files = [(Path(file), count) for file, count in zip(*_shards(info.splits[split], folder), strict=True)]
    layout = _layout(info.features, row, folder)
    name = f"rlds:{name}"

    def read(start: int) -> Iterator[Episode]:
        for file, count in files:
            for number, record in enumerate(
                read_records(file, file_format, count, min(start, count)), min(start, count)
            ):
                with naming(file, f"record {number}"):
                    episode = layout.episode(record, name, task or task_id)
                yield episode
            start = max(0, start - count)

    source = PublicData(
        name=name,
        task_id=task or task_id,
        observation_space=layout.space(layout.observation),
        action_space=layout.space(layout.action),
        episodes_total=sum(count for _, count in files),
        read=read,
        note=row.note,
    )
    return with_action_codes(source, *minimal_actions(task_id)) if row.minimal else source


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Which columns of a record make an episode: leaves by their path inside the observation and the action."""

    observation: dict[str, tuple[str, Any, gym.Space]]
    action: dict[str, tuple[str, Any, gym.Space]]
    row: Row
    parser: Any

    def space(self, part: dict[str, tuple[str, Any, gym.Space]]) -> gym.Space:
        return nest_spaces({path: leaf for path, (_, _, leaf) in part.items()})

    def episode(self, record: bytes, name: str, task_id: str) -> Episode:
        """The episode of one record. The last step's action is taken in some sets and a dummy in the others."""
        found = self.parser.parse_example(record)
        if lacking := [name for name, _, _ in (*self.observation.values(), *self.action.values()) if name not in found]:
            raise ValueError(f"the record has no {lacking[0]}")
        last, terminal = (np.asarray(found[f"steps/is_{kind}"]) for kind in ("last", "terminal"))
        if not len(last):
            raise ValueError("the episode has no steps")
        ended = bool(terminal.reshape(-1)[-1])
        steps = len(last) - (0 if self.row.last_action_taken else 1)
        reward = found.get(f"steps/{self.row.reward}")
        rewards = np.zeros(steps) if reward is None else np.asarray(reward).reshape(-1)[:steps]
        return make_episode(
            name,
            task_id,
            (self.space(self.observation), self.space(self.action)),
            observations=self._values(self.observation, found, None),
            actions=self._values(self.action, found, steps),
            rewards=rewards,
            terminated=ended,
            truncated=not ended,
        )

    def _values(self, part: dict[str, tuple[str, Any, gym.Space]], found: Any, count: int | None) -> Any:
        return nest({path: _decode(leaf, found[column][:count]) for path, (column, leaf, _) in part.items()})


def _version_folder(folder: Path) -> Path:
    if (folder / "dataset_info.json").is_file():
        return folder
    found = sorted(file.parent for file in [*folder.glob("*/dataset_info.json"), *folder.glob("*/*/dataset_info.json")])
    if len(found) != 1:
        said = f"choose one of {', '.join(map(str, found))}" if found else "it has no dataset_info.json of TFDS"
        raise ValueError(f"{folder} is not one RLDS data set: {said}")
    return found[0]


def _check_features(path: Path) -> None:
    """TFDS would import whatever module features.json names."""

    def check(value: Any) -> None:
        if isinstance(value, dict):
            named = value.get("pythonClassName", value.get("type", OWN_FEATURES))
            if isinstance(named, str) and "." in named and not named.startswith(OWN_FEATURES):
                raise ValueError(f"{path} needs {named}, which is no feature of TFDS, and is not imported")
            for child in value.values():
                check(child)
        elif isinstance(value, list):
            for child in value:
                check(child)

    check(read_json(path, "this is not a data set prepared by TFDS"))


def _shards(split: Any, folder: Path) -> tuple[list[str], list[int]]:
    if not split.shard_lengths:
        raise ValueError(f"{folder / 'dataset_info.json'} has no shard lengths: prepare the data set again")
    return [str(file) for file in split.filepaths], list(split.shard_lengths)


def _layout(features: Any, row: Row, folder: Path) -> _Layout:
    from tensorflow_datasets.core.example_parser import ExampleParserNp

    check_columns(["steps"], features, folder)
    leaves = dict(_leaves(features["steps"].feature, ""))
    observation = _select(leaves, row.observation, folder)
    action = _select(leaves, row.action, folder)
    infos = dict(_infos(features.get_serialized_info()["steps"], "steps"))
    check_columns(["steps/is_last", "steps/is_terminal"], infos, folder)
    columns = {f"steps/{name}" for name, _ in (*observation.values(), *action.values())}
    columns |= {"steps/is_last", "steps/is_terminal", *({f"steps/{row.reward}"} & set(infos))}
    return _Layout(
        observation={path: (f"steps/{name}", leaf, _space(name, leaf)) for path, (name, leaf) in observation.items()},
        action={path: (f"steps/{name}", leaf, _action_space(name, leaf, row)) for path, (name, leaf) in action.items()},
        row=row,
        parser=ExampleParserNp({name: infos[name] for name in columns}),
    )


def _select(leaves: dict[str, Any], wanted: tuple[str, ...], folder: Path) -> dict[str, tuple[str, Any]]:
    """Leaves at or below the wanted paths, by their path without its first part; optional ones end with "?".

    A single leaf at the top, as in an observation that is one picture, has the empty path.
    """
    chosen: dict[str, tuple[str, Any]] = {}
    for path in wanted:
        found = {name: leaf for name, leaf in leaves.items() if f"{name}/".startswith(f"{path.rstrip('?')}/")}
        if not found and not path.endswith("?"):
            check_columns([path], leaves, f"{folder}, steps,")
        found = {name: leaf for name, leaf in found.items() if not any(part in name for part in LEFT_OUT)}
        chosen |= {name.partition("/")[2] or name: (name, leaf) for name, leaf in found.items()}
    if len(chosen) == 1:
        (found,) = chosen.values()
        return chosen if "/" in found[0] else {"": found}
    return chosen


def _leaves(feature: Any, path: str) -> Iterator[tuple[str, Any]]:
    if hasattr(feature, "items"):
        for key, child in feature.items():
            yield from _leaves(child, f"{path}/{key}".lstrip("/"))
    else:
        yield path, feature


def _infos(info: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(info, dict):
        for key, child in info.items():
            yield from _infos(child, f"{path}/{key}")
    else:
        yield path, info


def _space(name: str, feature: Any) -> gym.Space:
    import tensorflow_datasets as tfds

    shape: Any = getattr(feature, "shape", None)
    kind: Any = getattr(feature, "np_dtype", None)
    if isinstance(feature, tfds.features.Text):
        return text_space()
    if isinstance(feature, (tfds.features.Image, tfds.features.Tensor)) and None not in shape:
        return text_space() if np.dtype(kind).kind in "OSU" and not shape else array_space(shape, kind)
    raise ValueError(f"steps/{name}: a {type(feature).__name__} of shape {shape} has no fixed size and cannot be read")


def _action_space(name: str, feature: Any, row: Row) -> gym.Space:
    space = _space(name, feature)
    if isinstance(space, spaces.Box) and space.dtype.kind == "f":
        return spaces.Box(row.low, row.high, space.shape, space.dtype.type)
    return discrete_space(space, row.actions)


def _decode(feature: Any, column: Any) -> Any:
    """All rows of one leaf."""
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.Image):
        return [_shaped(decode_picture(data), feature) for data in column]
    if isinstance(feature, tfds.features.Text):
        return list(column)
    if isinstance(column, np.ndarray) and column.dtype != object:
        return column  # not encoded: the values themselves
    return [feature.decode_example_np(row) for row in column]


def _shaped(pixels: np.ndarray, feature: Any) -> np.ndarray:
    if np.dtype(feature.np_dtype) != np.uint8:
        raise ValueError(f"a picture of {feature.np_dtype} cannot be read: only uint8 can")
    if pixels.shape != tuple(feature.shape):
        raise ValueError(f"a picture has shape {pixels.shape}, features.json says {tuple(feature.shape)}")
    return pixels
