"""Minari data sets: read from HDF5, Arrow or Parquet, and written without loss.

`minari_files.py` takes values out of the files; Minari's own classes describe the spaces, and write.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.demonstrations.episode import Episode
from generalist.demonstrations.public.catalogue import find_row
from generalist.demonstrations.public.distrust import no_steps, own_name, read_description, shown_name
from generalist.demonstrations.public.form import BY_RULE, Form, check_last_action
from generalist.demonstrations.public.minari_files import (
    child,
    described_space,
    member,
    names_in,
    read_arrow,
    read_hdf5,
    rows_of,
)
from generalist.demonstrations.public.parquet import EXTRA
from generalist.demonstrations.public.reader import (
    UNKNOWN_SEED,
    BadDataError,
    Origin,
    PublicData,
    check_columns,
    check_keys,
    make_episode,
    naming,
    nest,
    nest_spaces,
)
from generalist.demonstrations.rlds import is_text
from generalist.demonstrations.storage import Demonstrations
from generalist.envs.files import TEMPORARY
from generalist.envs.spaces import build_value, map_leaves, space_from_json, space_leaves, space_to_json
from generalist.envs.task import needs_extra

FORMATS = ("hdf5", "arrow", "parquet")
SUCCESS = "success"
"""Name in Minari's infos."""


def open_minari(path: str | Path, *, task: str | None = None, form: Form = BY_RULE) -> PublicData:
    """A data set by its folder or by its id among the local ones ($MINARI_DATASETS_PATH, else ~/.minari/datasets).

    Args:
        form: paths are "observations/KEY/..." and "actions/KEY/...", positions of a Tuple by their number.

    Raises:
        ValueError: no data set there, another format, or a description without spaces; a `form` that names what is not
            there.
    """
    check_last_action(form, "Minari")
    if form.instruction:
        raise ValueError(f"--instruction: Minari has it as an observation, give --observation KEY={form.instruction}")
    folder = _data_folder(path)
    about = read_description(folder / "metadata.json", "this is not a Minari data set")
    data_format, total = about.get("data_format", "hdf5"), about.get("total_episodes")
    id = str(about.get("dataset_id", folder.parent.name))
    if data_format not in FORMATS:
        raise BadDataError(f"{folder} has the data format {data_format!r:.50}, need one of {', '.join(FORMATS)}")
    if isinstance(total, bool) or not isinstance(total, int) or total < 0:
        raise BadDataError(f"{folder / 'metadata.json'}: total_episodes is {total!r:.50}, need a number")
    layout = _Layout(
        folder=folder,
        data_format=data_format,
        jpeg=bool(about.get("jpeg_encoding", True)),
        observation=_chosen(described_space(about, "observation_space", folder), form.observation, "observations"),
        action=_chosen(
            described_space(about, "action_space", folder), (("", form.action),) if form.action else (), "actions"
        ),
    )
    row, task_id = find_row("minari", id)
    task_id, name = task or own_name(task_id, folder / "metadata.json"), f"minari:{shown_name(id)}"

    def read(start: int) -> Iterator[Episode]:
        for number in range(start, total):
            yield layout.episode(number, name, task_id)

    return PublicData(
        name=name,
        task_id=task_id,
        observation_space=layout.observation.space,
        action_space=layout.action.space,
        episodes_total=total,
        origin=Origin(folder=folder, version=str(about.get("minari_version", ""))),
        read=read,
        note=row.note,
    )


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What is read of observations or of actions: values by keys of ours, in subspaces of the data set's own."""

    paths: dict[str, tuple[tuple[str | int, ...], gym.Space]]

    @property
    def space(self) -> gym.Space:
        return nest_spaces({key: space for key, (_, space) in self.paths.items()})


@dataclass(frozen=True, kw_only=True)
class _Layout:
    folder: Path
    data_format: str
    jpeg: bool
    observation: _Part
    action: _Part

    def episode(self, number: int, name: str, task_id: str) -> Episode:
        reader = read_hdf5 if self.data_format == "hdf5" else read_arrow
        with naming(self.folder, f"episode {number}"), reader(self.folder, self.data_format, number) as (data, facts):
            steps = int(facts["total_steps"])
            if steps < 1:
                raise no_steps(self.folder, number)
            ended = {
                key: rows_of(None, member(data, key), self.jpeg)[:steps] for key in ("terminations", "truncations")
            }
            seed = facts.get("seed")
            return make_episode(
                name,
                task_id,
                (self.observation.space, self.action.space),
                observations=self._values(self.observation, member(data, "observations")),
                actions=self._values(self.action, member(data, "actions"), steps),
                rewards=rows_of(None, member(data, "rewards"), self.jpeg)[:steps],
                terminated=bool(ended["terminations"][-1]),
                truncated=bool(ended["truncations"][-1]),
                seed=UNKNOWN_SEED if seed is None else int(seed),
                success=_success(data, self.jpeg),
            )

    def _values(self, part: _Part, data: Any, count: int | None = None) -> Any:
        found = {}
        for key, (path, space) in part.paths.items():
            inside = data
            for name in path:
                inside = child(inside, name)
            found[key] = _values(space, inside, self.jpeg, count)
        return nest(found)


def _chosen(space: gym.Space, pairs: tuple[tuple[str, str], ...], root: str) -> _Part:
    """The whole space, or the parts of it that the user names. Raises BadDataError for a path that is not there."""
    if not pairs:
        return _Part(paths={"": ((), space)})
    check_keys((key for key, _ in pairs), root)
    found: dict[str, tuple[tuple[str | int, ...], gym.Space]] = {}
    for key, path in pairs:
        names = path.split("/")
        inside, at = space, []
        for name in names[1:] if names[0] == root else names:
            children = _children(inside)
            check_columns([name], children, f"{path}: {'/'.join([root, *map(str, at)])}")
            at.append(int(name) if isinstance(inside, spaces.Tuple) else name)
            inside = children[name]
        found[key] = tuple(at), inside
    return _Part(paths=found)


def _children(space: gym.Space) -> dict[str, gym.Space]:
    if isinstance(space, spaces.Tuple):
        return {str(position): child for position, child in enumerate(space.spaces)}
    return dict(space.spaces) if isinstance(space, spaces.Dict) else {}


def _data_folder(path: str | Path) -> Path:
    local = Path(os.environ.get("MINARI_DATASETS_PATH") or "~/.minari/datasets").expanduser() / path
    for folder in (Path(path), Path(path) / "data", local / "data"):
        if (folder / "metadata.json").is_file():
            return folder
    raise ValueError(f"there is no Minari data set {path}, nor {local}: get it with `minari download {path}`")


def _success(data: Any, jpeg: bool) -> bool | None:
    """Whether any step's info has a success; None if infos have none."""
    infos = member(data, "infos") if "infos" in data else None
    if infos is None or SUCCESS not in names_in(infos):
        return None
    values = np.asarray(rows_of(None, child(infos, SUCCESS), jpeg))
    return bool(values.any()) if values.dtype.kind in "biuf" else None


def _values(space: gym.Space, data: Any, jpeg: bool, count: int | None = None) -> Any:
    """Every leaf of a nested value; Arrow pads actions with one more row, `count` cuts it."""
    found = []
    for path, leaf in space_leaves(space):
        part = data
        for key in path:
            part = child(part, key)
        found.append(rows_of(leaf, part, jpeg, count))
    return build_value(space, iter(found))


def export_minari(demonstrations: Demonstrations, dataset_id: str, *, data_format: str = "hdf5") -> Path:
    """Write all episodes as a local Minari data set, one at a time; gives its folder.

    Frames are stored as they are: Minari would turn those of 32 pixels and more into JPEGs, up to 41 levels off. A
    mission space becomes Text. No environment is stored; the success of an episode is `infos["success"]`.

    Args:
        dataset_id: "namespace/name-v0", as Minari has it.
        data_format: "hdf5", "arrow" or "parquet".

    Raises:
        ValueError: the id is malformed or taken, the format is unknown or cannot hold these spaces. Nothing is written.
        MissingExtra: Minari is not installed.
    """
    with needs_extra(EXTRA):
        from minari.dataset.minari_storage import MinariStorage
        from minari.storage import get_dataset_path
    if data_format not in FORMATS:
        raise ValueError(f"unknown data format {data_format!r}: need one of {', '.join(FORMATS)}")
    for part, space in (("observation", demonstrations.observation_space), ("action", demonstrations.action_space)):
        _check_writable(space, data_format, part)
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


def _check_writable(space: gym.Space, data_format: str, where: str) -> None:
    """Raises ValueError for what Minari 0.5.4 writes and cannot read back, or does not survive writing."""
    others = [other for other in FORMATS if other != data_format]
    inside = list(space.spaces.items()) if isinstance(space, spaces.Dict) else []
    inside += list(enumerate(space.spaces)) if isinstance(space, spaces.Tuple) else []
    if data_format == "hdf5":
        odd = next(
            (key for key, _ in inside if key in ("", ".") or (isinstance(key, str) and {"/", "\0"} & {*key})), None
        )
        if odd is not None:
            raise ValueError(f"{where}: HDF5 cannot hold the key {odd!r}: use --format {' or '.join(others)}")
    else:
        nothing = isinstance(space, spaces.Dict | spaces.Tuple) and not inside
        if nothing or (not is_text(space) and 0 in (space.shape or ())):
            raise ValueError(f"{where}: Minari's {data_format} cannot hold {space}, which is empty: use --format hdf5")
    for key, child_space in inside:
        if isinstance(key, str) and _is_broken(key):
            raise ValueError(f"{where}: no format holds the key {key!r}, which is no Unicode text")
        _check_writable(child_space, data_format, f"{where}[{key!r}]")


def _is_broken(key: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in key)


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
