"""What every format of public data gives: spaces, a count, and episodes one after another; and what readers share.

Readers never load more than one episode, or one group of rows, at a time. They unpickle nothing, make no environment
and run no code that a data set names. Whatever is damaged is a ValueError with the file's name.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.demonstrations.episode import Episode, EpisodeMetadata
from generalist.demonstrations.public.pictures import MOST_VALUES
from generalist.demonstrations.rlds import is_text, stack_leaf
from generalist.envs.files import TOO_MANY, failed_by
from generalist.envs.spaces import AnyText, build_value, path_name, space_leaves, value_at

UNKNOWN_SEED = -1
REPAIR = "download or make this data set again"


class BadDataError(ValueError):
    """A file of a data set that is missing, damaged or of another kind; the message has its name and what to do."""


class UnusableEpisodeError(ValueError):
    """An episode that is stored well and is of no use: without steps, with NaN, with values that its spaces lack."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where data is read from, see `generalist.demonstrations.public.source`.

    Args:
        folder: of the data set.
        files: what is read of it; without any, everything below the folder.
        version, config, split: of the data set, where its format has such.
    """

    folder: Path
    files: tuple[Path, ...] = ()
    version: str = ""
    config: str = ""
    split: str = ""


@dataclass(frozen=True, kw_only=True)
class PublicData:
    """A data set on disk, opened.

    Args:
        name: "minari:D4RL/door/human-v2", for messages and as the `expert` of its episodes.
        task_id: the task that the episodes were recorded in, see `generalist.demonstrations.public.catalogue`.
        observation_space, action_space: of the values as the format has them; unbounded where it gives no bounds.
        episodes_total: number of episodes.
        read: see `episodes`.
        note: what a user of the data should know.
        notices: lines about what was decided about the data and what of it is left out.
        origin: the files it is read from; None for data that is no file's.
        instructions: what the robot was told in each episode, in their order ("" where nothing was said); None where
            the format does not say it.
        told: the instruction that all these episodes have, where they were chosen by it; it is part of what an import
            remembers of its source.
    """

    name: str
    task_id: str
    observation_space: gym.Space
    action_space: gym.Space
    episodes_total: int
    read: Callable[[int], Iterator[Episode]]
    note: str = ""
    notices: tuple[str, ...] = ()
    origin: Origin | None = None
    instructions: Callable[[], list[str]] | None = None
    told: str = ""

    def __len__(self) -> int:
        return self.episodes_total

    def episodes(self, start: int = 0) -> Iterator[Episode]:
        """Episodes from number `start` on, read as they are asked for; earlier files are not opened.

        Every episode has N + 1 observations; where the format has no final one, the last is repeated. The seed is -1
        where it is not known, the noise 0.

        Raises:
            ValueError: (while it runs) a file that is missing, damaged or holds something else, by its name.
        """
        return self.read(start)


def make_episode(
    name: str,
    task_id: str,
    spaces_of_parts: tuple[gym.Space, gym.Space],
    *,
    observations: Any,
    actions: Any,
    rewards: Any,
    terminated: bool,
    truncated: bool,
    seed: int = UNKNOWN_SEED,
    success: bool | None = None,
) -> Episode:
    """An episode from nested arrays, checked against its spaces; a missing final observation repeats the last one.

    Args:
        observations, actions: as in the spaces, every leaf with a leading axis N + 1 or N, and N.

    Raises:
        ValueError: lengths, shapes or types that do not fit, no steps, or rewards that are not finite.
    """
    rewards = np.asarray(rewards, np.float64).reshape(-1)
    if not len(rewards):
        raise UnusableEpisodeError("the episode has no steps")
    if not np.isfinite(rewards).all():
        step = int(np.argmin(np.isfinite(rewards)))
        raise UnusableEpisodeError(f"the reward is not finite at step {step}: {rewards[step]}")
    leaves = [len(value_at(observations, path)) for path, _ in space_leaves(spaces_of_parts[0])]
    if leaves and set(leaves) == {len(rewards)}:
        observations = _map(spaces_of_parts[0], observations, _with_last_again)
    metadata = EpisodeMetadata(
        task_id=task_id,
        seed=seed,
        episode_return=math.fsum(rewards),
        success=success,
        expert=name,
        noise=0.0,
    )
    return Episode(
        observations=fit_values(spaces_of_parts[0], observations, len(rewards) + 1, "observation"),
        actions=fit_values(spaces_of_parts[1], actions, len(rewards), "action"),
        rewards=rewards.astype(np.float32),
        terminated=bool(terminated),
        truncated=bool(truncated),
        metadata=metadata,
    )


def _with_last_again(_: gym.Space, rows: Any) -> Any:
    return np.concatenate([rows, rows[-1:]]) if isinstance(rows, np.ndarray) else [*rows, rows[-1]]


def fit_values(space: gym.Space, values: Any, count: int, part: str) -> Any:
    """Nested rows as arrays of the space's shapes and dtypes. Raises ValueError where that would change a value."""

    def fit(leaf: gym.Space, rows: Any) -> np.ndarray:
        if len(rows) != count:
            raise ValueError(f"has {len(rows)} rows, need {count}")
        if is_text(leaf):
            return stack_leaf(leaf, [row.decode() if isinstance(row, bytes) else row for row in rows])
        given, shape = np.asarray(rows), (count, *(leaf.shape or ()))
        if given.dtype == object:
            raise ValueError("has rows of different shapes or without a value")
        if given.size != math.prod(shape) or (given.shape != shape and given.ndim > 2):
            raise ValueError(f"has values of shape {given.shape[1:]}, need {shape[1:]}")
        _check_finite(given.reshape(shape))
        with np.errstate(over="ignore"):  # what it becomes is looked at
            fitted = given.reshape(shape).astype(leaf.dtype, copy=False)
        _check_finite(fitted)
        if fitted.dtype.kind != "f" and not np.array_equal(fitted, given.reshape(shape)):
            raise ValueError(f"has values of {given.dtype} that do not fit {fitted.dtype}")
        _check_range(leaf, fitted)
        return fitted

    try:
        return _map(space, values, fit, part)
    except ValueError as cause:
        raise UnusableEpisodeError(str(cause)) from cause


def nest(leaves: dict[str, Any]) -> Any:
    """Values by path "a/b" as nested dicts; a single one with an empty path as itself."""
    if list(leaves) == [""]:
        return leaves[""]
    result: dict[str, Any] = {}
    for path, value in leaves.items():
        *parents, key = path.split("/")
        place = result
        for parent in parents:
            place = place.setdefault(parent, {})
        place[key] = value
    return result


def check_keys(keys: Iterable[str], where: str | Path) -> None:
    """Raises BadDataError for keys of one observation or action that `nest` cannot place beside each other."""
    keys = list(keys)
    for key in keys:
        inside = [other for other in keys if other != key and (not key or other.startswith(key + "/"))]
        if inside:
            raise BadDataError(
                f"{where}: {key!r} is one value, so {inside[0]!r} cannot be inside it: give it another key"
            )
        if key and "" in key.split("/"):
            raise BadDataError(f"{where}: the key {key!r} has an empty part")


def nest_spaces(leaves: dict[str, gym.Space]) -> gym.Space:
    """The same for spaces: a leaf, or a Dict."""

    def build(value: Any) -> gym.Space:
        return (
            value if isinstance(value, gym.Space) else spaces.Dict({key: build(child) for key, child in value.items()})
        )

    return build(nest(leaves))


def array_space(shape: tuple[int, ...], dtype: Any) -> gym.Space:
    """The space of arrays whose bounds nobody gave: bytes are 0 to 255, numbers unbounded, booleans binary.

    Raises ValueError for a shape that no value has, before anything of its size is made.
    """
    kind, shape = np.dtype(dtype), checked_shape(shape)
    if kind.kind == "b":
        return spaces.MultiBinary(shape) if shape else spaces.Discrete(2)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        return spaces.Box(limits.min, limits.max, shape, kind.type)
    return spaces.Box(-np.inf, np.inf, shape, kind.type)


def checked_shape(shape: Any) -> tuple[int, ...]:
    """A shape that a file gives. Raises ValueError for one that is no list of sizes, or of more than `MOST_VALUES`."""
    try:
        sizes = tuple(int(size) for size in shape)
    except (TypeError, ValueError):
        raise ValueError(f"{shape!r:.100} is no shape") from None
    if min(sizes, default=0) < 0 or len(sizes) > 16:
        raise ValueError(f"{list(sizes)!r:.100} is no shape")
    if math.prod(sizes) > MOST_VALUES:
        raise ValueError(f"a value of the shape {list(sizes)!r:.100} has more than {MOST_VALUES:,} numbers")
    return sizes


def discrete_space(space: gym.Space, count: int) -> gym.Space:
    """A single integer as one of `count` actions, a row of integers as as many of them; as it is where that is 0."""
    if not count or not isinstance(space, spaces.Box) or space.dtype.kind not in "iu" or len(space.shape) > 1:
        return space
    if space.shape:
        return spaces.MultiDiscrete(np.full(space.shape, count), dtype=np.int64)
    return spaces.Discrete(count, dtype=space.dtype.type)


def with_action_codes(source: PublicData, codes: tuple[int, ...], count: int) -> PublicData:
    """The same data with action i of its single discrete action written as `codes[i]` of `count`."""
    action_space = spaces.Discrete(count, dtype=source.action_space.dtype.type)  # pyright: ignore[reportOptionalMemberAccess]
    table = np.array(codes, action_space.dtype)

    def read(start: int) -> Iterator[Episode]:
        for number, episode in enumerate(source.read(start), start):
            if not ((episode.actions >= 0) & (episode.actions < len(codes))).all():
                found = f"{episode.actions.min()} to {episode.actions.max()}"
                raise ValueError(
                    f"{source.name}, episode {number}: actions {found}, the game has {len(codes)}; {REPAIR}"
                )
            yield replace(episode, actions=table[episode.actions])

    return replace(source, action_space=action_space, read=read)


def text_space(length: int = 1024) -> spaces.Text:
    return AnyText(length, min_length=0)


@contextlib.contextmanager
def naming(path: str | Path, detail: str = "") -> Iterator[None]:
    """Whatever a library raises while it reads `path` becomes a `BadDataError`."""
    try:
        yield
    except (BadDataError, ImportError, MemoryError):  # said better already, or no fault of the file
        raise
    except UnusableEpisodeError as cause:
        raise BadDataError(f"{_where(path, detail)} cannot be used: {' '.join(str(cause).split())}") from cause
    except Exception as cause:
        if failed_by(cause, TOO_MANY):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path)) from cause
        said = " ".join(str(cause).split())
        raise BadDataError(f"{_where(path, detail)} cannot be read: {said}; {REPAIR}") from cause


def _where(path: str | Path, detail: str) -> str:
    return f"{path}{f', {detail}' if detail else ''}"


def check_columns(wanted: Iterable[str], present: Iterable[str], where: str | Path) -> None:
    """Raises BadDataError for a column that is not there, with the nearest that are."""
    present = list(present)
    for name in wanted:
        if name not in present:
            near = difflib.get_close_matches(name, present, n=3, cutoff=0.4) or present
            raise BadDataError(f"{where} has no column {name!r}: the nearest are {', '.join(near)}")


def with_spaces(source: PublicData, observation_space: gym.Space, action_space: gym.Space) -> PublicData:
    """The same data in other spaces with the same leaves: their bounds and dtypes. Float actions are clipped to them.

    Raises:
        ValueError: the spaces have other leaves or shapes, by path.
    """
    parts = {
        "observation": (source.observation_space, observation_space),
        "action": (source.action_space, action_space),
    }
    for part, pair in parts.items():
        _check_same_leaves(part, *pair)

    def read(start: int) -> Iterator[Episode]:
        for number, episode in enumerate(source.read(start), start):
            with naming(source.name, f"episode {number}"):
                actions = _map(action_space, episode.actions, _clip)
                yield replace(
                    episode,
                    observations=fit_values(observation_space, episode.observations, len(episode) + 1, "observation"),
                    actions=fit_values(action_space, actions, len(episode), "action"),
                )

    return replace(source, observation_space=observation_space, action_space=action_space, read=read)


def _check_same_leaves(part: str, given: gym.Space, wanted: gym.Space) -> None:
    here, there = dict(space_leaves(given)), dict(space_leaves(wanted))
    if set(here) != set(there):
        names = [", ".join(sorted(path_name(path) or "one value" for path in leaves)) for leaves in (here, there)]
        raise ValueError(f"{part}: the data has {names[0]}, the task {names[1]}")
    for path, leaf in here.items():
        one, other = (("text",) if is_text(space) else space.shape for space in (leaf, there[path]))
        floats = [not is_text(space) and np.dtype(space.dtype).kind == "f" for space in (leaf, there[path])]
        if one != other or floats[0] != floats[1]:
            raise ValueError(f"{part}{path_name(path)}: the data has {leaf}, the task {there[path]}")


def _check_finite(values: np.ndarray) -> None:
    """Raises ValueError naming the first step with NaN or an infinity."""
    if values.dtype.kind == "f" and not (finite := np.isfinite(values)).all():
        step = int(np.argmin(finite.reshape(len(values), -1).all(axis=1)))
        raise ValueError(f"is not finite at step {step}: {values[step][~finite[step]].flat[0]}")


def _check_range(space: gym.Space, values: np.ndarray) -> None:
    if isinstance(space, spaces.Discrete):
        low, high = int(space.start), int(space.start) + int(space.n) - 1
    elif isinstance(space, spaces.MultiDiscrete):
        low, high = space.start, space.start + space.nvec - 1
    else:
        return
    if ((values < low) | (values > high)).any():
        raise ValueError(f"has values from {values.min()} to {values.max()}, outside {space}")


def _clip(space: gym.Space, values: Any) -> Any:
    if isinstance(space, spaces.Box) and space.dtype.kind == "f":
        return np.clip(values, space.low, space.high)
    return values


def _map(space: gym.Space, values: Any, function: Callable[[gym.Space, Any], Any], part: str = "") -> Any:
    results = []
    for path, leaf in space_leaves(space):
        try:
            results.append(function(leaf, value_at(values, path)))
        except ValueError as cause:
            raise ValueError(f"{part}{path_name(path)} {cause}") from cause
    return build_value(space, iter(results))
