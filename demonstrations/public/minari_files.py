"""What lies in the files of a Minari data set, taken out with distrust: HDF5, Arrow or Parquet, and spaces as JSON.

Files are read here rather than through `minari.load_dataset`, which makes the environment that a data set names when
its spaces are missing. Links and data in other files are not followed; sizes are compared before anything is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.demonstrations.public.distrust import check_expansion, no_steps, read_description
from generalist.demonstrations.public.parquet import EXTRA, to_array
from generalist.demonstrations.public.pictures import decode_picture
from generalist.demonstrations.public.reader import BadDataError, checked_shape, naming
from generalist.demonstrations.rlds import is_text
from generalist.envs.task import needs_extra

DEPTH = 32
"""How deep a space may be nested."""


def described_space(about: dict[str, Any], part: str, folder: Path) -> gym.Space:
    with needs_extra(EXTRA):
        from minari.serialization import deserialize_space
    if part not in about:
        raise BadDataError(f"{folder / 'metadata.json'} has no {part}, and no environment is made to find it")
    with naming(folder / "metadata.json", part):
        said = json.loads(about[part]) if isinstance(about[part], str) else about[part]
        _check_space(said)
        return deserialize_space(said)


def _check_space(said: Any, depth: int = 0) -> None:
    """Raises ValueError for a description that would fill memory, or of another type than values have."""
    if not isinstance(said, dict) or depth > DEPTH:
        raise ValueError(f"a space is nested more than {DEPTH} deep" if depth > DEPTH else f"{said!r:.50} is no space")
    kind = said.get("type")
    if kind in ("Dict", "Tuple"):
        inside = said["subspaces"]
        for child in inside.values() if isinstance(inside, dict) else inside:
            _check_space(child, depth + 1)
    if kind in ("Box", "MultiDiscrete") and np.dtype(said["dtype"]).kind not in "biuf":
        raise ValueError(f"a {kind} has the type {said['dtype']!r:.50}, need numbers")
    if kind == "Box":
        checked_shape(said["shape"])
    if kind == "MultiBinary":
        checked_shape(said["n"] if isinstance(said["n"], list) else [said["n"]])


@contextmanager
def read_hdf5(folder: Path, _: Any, number: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    with needs_extra(EXTRA):
        import h5py
    with h5py.File(folder / "main_data.hdf5", "r") as file:
        group: Any = member(file, f"episode_{number}")
        yield group, dict(group.attrs)


@contextmanager
def read_arrow(folder: Path, form: Any, number: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    with needs_extra(EXTRA):
        import pyarrow.dataset as dataset
    facts = read_description(folder / str(number) / "metadata.json", "restore it")
    if not int(facts["total_steps"]):
        raise no_steps(folder, number)
    files = sorted((folder / str(number)).glob(f"*.{form}"))
    if not files:
        raise ValueError(f"{folder / str(number)} has no .{form} file")
    table = dataset.dataset(files, format=form).to_table()
    names = [name for name in table.column_names if name != "infos" or table.num_rows]
    yield {name: table.column(name).combine_chunks() for name in names}, facts


def child(data: Any, key: str | int) -> Any:
    """A member of an HDF5 group or of an Arrow struct; HDF5 has the places of a Tuple under names of its own."""
    inside = names_in(data)
    name = next((name for name in ((f"_index_{key}",) if isinstance(key, int) else ()) if name in inside), str(key))
    if name not in inside and "/" in name and hasattr(data, "keys"):  # HDF5 takes it for groups within groups
        for part in name.split("/"):
            data = member(data, part)
        return data
    if name not in inside:
        raise ValueError(f"there is no {name!r}, only {', '.join(inside)}")
    return member(data, name) if hasattr(data, "keys") else data.field(name)


def names_in(data: Any) -> list[str]:
    return list(data.keys()) if hasattr(data, "keys") else [field.name for field in data.type]


def member(group: Any, name: str) -> Any:
    """A member of a group that lies in the same file and is no larger than its bytes. Raises ValueError."""
    if isinstance(group, dict):
        return group[name]
    import h5py

    link = group.get(name, getlink=True)
    if link is None:
        raise ValueError(f"there is no {name!r}, only {', '.join(group.keys())}")
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{name!r} is a link to another place, which is not followed")
    found = group[name]
    if isinstance(found, h5py.Dataset):
        if found.is_virtual or found.external:
            raise ValueError(f"{name!r} lies in another file, which is not read")
        check_expansion(found.id.get_storage_size(), found.nbytes, repr(name))
    return found


def rows_of(space: gym.Space | None, data: Any, jpeg: bool, count: int | None = None) -> Any:
    data = data if count is None else data[:count]
    arrow = hasattr(data, "to_pylist")
    if space is not None and jpeg and _is_picture(space):
        return np.stack(
            [
                decode_picture(bytes(row), space.shape).reshape(space.shape or ())
                for row in (data.to_pylist() if arrow else data[:])
            ]
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
