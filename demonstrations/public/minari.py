"""Minari data sets: read from HDF5, Arrow or Parquet, and written without loss.

Files are read here rather than through `minari.load_dataset`, which makes the environment that a data set names when
its spaces are missing. Minari's own classes describe the spaces, and write.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.demonstrations.episode import Episode
from generalist.demonstrations.public.catalogue import find_row
from generalist.demonstrations.public.form import BY_RULE, Form
from generalist.demonstrations.public.parquet import EXTRA, to_array
from generalist.demonstrations.public.reader import (
    UNKNOWN_SEED,
    Origin,
    PublicData,
    decode_picture,
    make_episode,
    naming,
)
from generalist.demonstrations.rlds import is_text
from generalist.demonstrations.storage import Demonstrations
from generalist.envs.files import TEMPORARY, read_json
from generalist.envs.spaces import build_value, map_leaves, space_from_json, space_leaves, space_to_json
from generalist.envs.task import needs_extra

FORMATS = ("hdf5", "arrow", "parquet")
SUCCESS = "success"
"""Name in Minari's infos."""


def open_minari(path: str | Path, *, task: str | None = None, form: Form = BY_RULE) -> PublicData:
    """A data set by its folder or by its id among the local ones ($MINARI_DATASETS_PATH, else ~/.minari/datasets).

    Raises:
        ValueError: no data set there, another format, or a description without spaces.
    """
    folder = _data_folder(path)
    about = read_json(folder / "metadata.json", "this is not a Minari data set")
    id = str(about.get("dataset_id", folder.parent.name))
    if about.get("data_format", "hdf5") not in FORMATS:
        raise ValueError(f"{folder} has the data format {about['data_format']!r}, need one of {', '.join(FORMATS)}")
    observation_space, action_space = (_space(about, part, folder) for part in ("observation_space", "action_space"))
    row, task_id = find_row("minari", id)
    task_id, name = task or task_id, f"minari:{id}"
    jpeg = bool(about.get("jpeg_encoding", True))

    def read(start: int) -> Iterator[Episode]:
        reader = _read_hdf5 if about.get("data_format", "hdf5") == "hdf5" else _read_arrow
        for number in range(start, int(about["total_episodes"])):
            with naming(folder, f"episode {number}"), reader(folder, about.get("data_format"), number) as (data, facts):
                episode = _episode(data, facts, (observation_space, action_space), jpeg, name, task_id)
            yield episode

    return PublicData(
        name=name,
        task_id=task_id,
        observation_space=observation_space,
        action_space=action_space,
        episodes_total=int(about["total_episodes"]),
        origin=Origin(folder=folder, version=str(about.get("minari_version", ""))),
        read=read,
        note=row.note,
    )


def _data_folder(path: str | Path) -> Path:
    local = Path(os.environ.get("MINARI_DATASETS_PATH") or "~/.minari/datasets").expanduser() / path
    for folder in (Path(path), Path(path) / "data", local / "data"):
        if (folder / "metadata.json").is_file():
            return folder
    raise ValueError(f"there is no Minari data set {path}, nor {local}: get it with `minari download {path}`")


def _space(about: dict[str, Any], part: str, folder: Path) -> gym.Space:
    with needs_extra(EXTRA):
        from minari.serialization import deserialize_space
    if part not in about:
        raise ValueError(f"{folder / 'metadata.json'} has no {part}, and no environment is made to find it")
    with naming(folder / "metadata.json", part):
        return deserialize_space(about[part])


@contextmanager
def _read_hdf5(folder: Path, _: Any, number: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    with needs_extra(EXTRA):
        import h5py
    with h5py.File(folder / "main_data.hdf5", "r") as file:
        group: Any = file[f"episode_{number}"]
        yield group, dict(group.attrs)


@contextmanager
def _read_arrow(folder: Path, form: Any, number: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    with needs_extra(EXTRA):
        import pyarrow.dataset as dataset
    files = sorted((folder / str(number)).glob(f"*.{form}"))
    if not files:
        raise ValueError(f"{folder / str(number)} has no .{form} file")
    table = dataset.dataset(files, format=form).to_table()
    names = [name for name in table.column_names if name != "infos" or table.num_rows]
    columns = {name: table.column(name).combine_chunks() for name in names}
    yield columns, read_json(folder / str(number) / "metadata.json", "restore it")


def _episode(
    data: Any, facts: dict[str, Any], parts: tuple[gym.Space, gym.Space], jpeg: bool, name: str, task_id: str
) -> Episode:
    steps = int(facts["total_steps"])
    ended = {key: _rows(None, data[key], jpeg)[:steps] for key in ("terminations", "truncations")}
    seed = facts.get("seed")
    return make_episode(
        name,
        task_id,
        parts,
        observations=_values(parts[0], data["observations"], jpeg),
        actions=_values(parts[1], data["actions"], jpeg, steps),
        rewards=_rows(None, data["rewards"], jpeg)[:steps],
        terminated=bool(ended["terminations"][-1]),
        truncated=bool(ended["truncations"][-1]),
        seed=UNKNOWN_SEED if seed is None else int(seed),
        success=_success(data, jpeg),
    )


def _success(data: Any, jpeg: bool) -> bool | None:
    """Whether any step's info has a success; None if infos have none."""
    names = (
        () if "infos" not in data else data["infos"].keys() if hasattr(data["infos"], "keys") else _names(data["infos"])
    )
    if SUCCESS not in names:
        return None
    values = np.asarray(_rows(None, _child(data["infos"], SUCCESS, SUCCESS), jpeg))
    return bool(values.any()) if values.dtype.kind in "biuf" else None


def _values(space: gym.Space, data: Any, jpeg: bool, count: int | None = None) -> Any:
    """Every leaf of a nested value; Arrow pads actions with one more row, `count` cuts it."""
    found = []
    for path, leaf in space_leaves(space):
        part = data
        for key in path:
            part = _child(part, f"_index_{key}" if isinstance(key, int) else key, str(key))
        found.append(_rows(leaf, part if count is None else part[:count], jpeg))
    return build_value(space, iter(found))


def _child(data: Any, hdf5_name: str, arrow_name: str) -> Any:
    """A member of an HDF5 group or of an Arrow struct."""
    inside = data.keys() if hasattr(data, "keys") else _names(data)
    name = hdf5_name if hdf5_name in inside else arrow_name
    if name not in inside:
        raise ValueError(f"there is no {arrow_name!r}, only {', '.join(inside)}")
    return data[name] if hasattr(data, "keys") else data.field(name)


def _names(data: Any) -> list[str]:
    return [field.name for field in data.type]


def _rows(space: gym.Space | None, data: Any, jpeg: bool) -> Any:
    arrow = hasattr(data, "to_pylist")
    if space is not None and jpeg and _is_picture(space):
        return np.stack(
            [decode_picture(bytes(row)).reshape(space.shape or ()) for row in (data.to_pylist() if arrow else data[:])]
        )
    if arrow:
        return to_array(data)
    return [row.decode() for row in data[:]] if space is not None and is_text(space) else data[:]


def _is_picture(space: gym.Space) -> bool:
    """Minari's rule for what it encodes."""
    return (
        isinstance(space, spaces.Box)
        and len(space.shape) in (2, 3)
        and min(space.shape[:2]) >= 32
        and space.dtype == np.uint8
        and bool((space.low == 0).all() and (space.high == 255).all())
    )


def export_minari(demonstrations: Demonstrations, dataset_id: str, *, data_format: str = "hdf5") -> Path:
    """Write all episodes as a local Minari data set, one at a time; gives its folder.

    Frames are stored as they are: Minari would turn those of 32 pixels and more into JPEGs, up to 41 levels off. A
    mission space becomes Text. No environment is stored; the success of an episode is `infos["success"]`.

    Args:
        dataset_id: "namespace/name-v0", as Minari has it.
        data_format: "hdf5", "arrow" or "parquet".

    Raises:
        ValueError: the id is malformed or taken, or the format unknown.
        MissingExtra: Minari is not installed.
    """
    with needs_extra(EXTRA):
        from minari.dataset.minari_storage import MinariStorage
        from minari.storage import get_dataset_path
    if data_format not in FORMATS:
        raise ValueError(f"unknown data format {data_format!r}: need one of {', '.join(FORMATS)}")
    _check_id(dataset_id)
    folder = Path(get_dataset_path(dataset_id))
    if folder.exists():
        raise ValueError(f"a Minari data set {dataset_id} is already at {folder}: use another version or delete it")
    unfinished = folder.with_name(f"{TEMPORARY}{folder.name}-{os.getpid()}")
    unfinished.mkdir(parents=True)
    try:
        storage = MinariStorage.new(
            unfinished / "data",
            _plain(demonstrations.observation_space),
            _plain(demonstrations.action_space),
            data_format=data_format,
            jpeg_encoding=False,
        )
        storage.update_metadata(_description(demonstrations, dataset_id))
        storage.update_episodes(_buffers(demonstrations))
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _check_id(dataset_id: str) -> None:
    """Raises ValueError for an id without a version; makes its namespace."""
    from minari.dataset.minari_dataset import DATASET_ID_RE
    from minari.namespace import create_namespace, list_local_namespaces

    match = DATASET_ID_RE.fullmatch(dataset_id)
    if not match or match["version"] is None:
        raise ValueError(f"{dataset_id!r} is no id of Minari: need NAMESPACE/NAME-v0 or NAME-v0")
    if match["namespace"] and match["namespace"] not in list_local_namespaces():
        create_namespace(match["namespace"])


def _plain(space: gym.Space) -> gym.Space:
    """The space without MiniGrid's mission spaces, which Minari cannot describe."""
    return space_from_json(space_to_json(space))


def _description(demonstrations: Demonstrations, dataset_id: str) -> dict[str, Any]:
    from importlib.metadata import version

    policy = str(demonstrations.settings.get("policy", "unknown"))
    return {
        "dataset_id": dataset_id,
        "minari_version": version("minari"),
        "algorithm_name": policy,
        "description": f"Demonstrations of {demonstrations.task_id} by {policy}, exported by generalist.",
    }


def _buffers(demonstrations: Demonstrations) -> Iterator[Any]:
    from minari.data_collector.episode_buffer import EpisodeBuffer

    spaces_of_parts = demonstrations.observation_space, demonstrations.action_space
    for number in range(len(demonstrations)):
        episode = demonstrations.episode(number)
        last = np.arange(len(episode)) == len(episode) - 1
        success, seed = episode.metadata.success, episode.metadata.seed
        # A list, because Minari 0.5.4 cannot read arrays of single numbers back from Arrow.
        reached = [False, *(last & bool(success)).tolist()]
        observations, actions = (
            map_leaves(lambda leaf, rows: list(rows) if is_text(leaf) else rows, space, values)
            for space, values in zip(spaces_of_parts, (episode.observations, episode.actions), strict=True)
        )
        yield EpisodeBuffer(
            seed=None if seed == UNKNOWN_SEED else seed,
            observations=observations,
            actions=actions,
            rewards=episode.rewards,  # pyright: ignore[reportArgumentType]
            terminations=last & episode.terminated,  # pyright: ignore[reportArgumentType]
            truncations=last & episode.truncated,  # pyright: ignore[reportArgumentType]
            infos=None if success is None else {SUCCESS: reached},
        )
