"""Which features of a LeRobot data set make the observation, the action and the instruction, and in which spaces.

By rule every feature that begins with `observation` is observed under what follows, every one that begins with `action`
acts, and the instruction is the text of `task_index`. `Form` says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.demonstrations.public.distrust import shown_name
from generalist.demonstrations.public.form import Form
from generalist.demonstrations.public.lerobot_meta import SUBTASK_INDEX, TASK_INDEX, Meta, read_instructions
from generalist.demonstrations.public.pictures import MOST_VALUES
from generalist.demonstrations.public.reader import (
    BadDataError,
    array_space,
    check_columns,
    check_keys,
    checked_shape,
    nest_spaces,
    text_space,
)

INSTRUCTION = "task"
"""Where `--observation` and `--instruction` name it: the text of `TASK_INDEX`. Also its key in the observation."""
CHANNELS = ("channel", "channels", "c", "rgb")
OUTCOMES = ("next.reward", "next.done", "next.success")
COUNTERS = ("timestamp", "frame_index", "episode_index", "index", TASK_INDEX)


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One part of an observation or of an action.

    Args:
        name: of the feature in info.json.
        kind: "video", "image", "string", or the name of a dtype.
        shape: of a value; of a picture height, width, channels.
        told: its numbers stand for texts, see `read_instructions`.
    """

    name: str
    kind: str
    shape: tuple[int, ...] = ()
    told: bool = False

    @property
    def space(self) -> gym.Space:
        if self.told or self.kind == "string":
            return text_space()
        if self.kind in ("video", "image"):
            return spaces.Box(0, 255, self.shape, np.uint8)
        return array_space(self.shape, np.dtype(self.kind))


@dataclass(frozen=True, kw_only=True)
class Parts:
    """By keys of ours ("a/b" is nested, "" is the whole) what is observed and what acts; what a user should know."""

    observation: Mapping[str, Feature]
    action: Mapping[str, Feature]
    notes: tuple[str, ...]

    @property
    def features(self) -> list[Feature]:
        return [*self.observation.values(), *self.action.values()]

    @property
    def observation_space(self) -> gym.Space:
        return nest_spaces({key: feature.space for key, feature in self.observation.items()})

    @property
    def action_space(self) -> gym.Space:
        return nest_spaces({key: feature.space for key, feature in self.action.items()})


def choose_parts(meta: Meta, form: Form) -> Parts:
    """The parts by `form`, and where it does not say by rule.

    Raises:
        BadDataError: a feature that is named and not there (with those that are), none at all, keys that exclude each
            other, or a feature whose description is none.
    """
    acted = _named(meta, [("", form.action)], "--action") if form.action else _by_rule(meta, "action", "--action NAME")
    shown = (
        _named(meta, form.observation, "--observation")
        if form.observation
        else _by_rule(meta, "observation", "--observation KEY=NAME")
    )
    observation = {key: _feature(meta, name, told=name == INSTRUCTION) for key, name in shown.items()}
    action = {key: _action(_feature(meta, name)) for key, name in acted.items()}
    observation, notes = _with_instruction(observation, meta, form)
    for keys in (observation, action):
        check_keys(keys, meta.path)
    if sum(math.prod(feature.shape) for feature in (*observation.values(), *action.values())) > 2 * MOST_VALUES:
        raise BadDataError(f"{meta.path}: its features have more than {2 * MOST_VALUES:,} numbers a step")
    notes += _notes(meta, [*observation.values(), *action.values()], action)
    return Parts(observation=observation, action=action, notes=tuple(notes))


def _with_instruction(observation: dict[str, Feature], meta: Meta, form: Form) -> tuple[dict[str, Feature], list[str]]:
    """The observation with the instruction under a key that nothing has; and what a user should know of it."""
    told = _instruction(meta, form)
    if told is None:
        return observation, ["there is no instruction"]
    if form.observation and told in observation.values():
        return observation, []
    if "" in observation:
        if form.instruction:
            raise BadDataError(f"{meta.path}: one value is the whole observation; give it a key beside --instruction")
        return observation, ["the instruction is left out, one value is the whole observation"]
    key = _free(INSTRUCTION, observation)
    moved = f"the instruction is under {key!r}, as the data has a {INSTRUCTION!r} of its own"
    return observation | {key: told}, [] if key == INSTRUCTION else [moved]


def _by_rule(meta: Meta, prefix: str, option: str) -> dict[str, str]:
    """Features whose name begins so, by what follows."""
    names = [name for name in meta.features if name.split(".")[0] == prefix]
    if not names:
        others = [name for name in meta.features if name not in {*COUNTERS, *OUTCOMES}]
        raise BadDataError(
            f"{meta.path} has no feature that begins with {prefix!r}: say what it is ({option}) of {', '.join(others)}"
        )
    return {"": "action"} if names == ["action"] else _below(prefix, names)


def _below(prefix: str, names: Iterable[str]) -> dict[str, str]:
    """Names by what follows the prefix; by the full name where two would have one key."""
    found: dict[str, str] = {}
    for name in names:
        key = _key(name, prefix)
        found[key if key not in found else _free(name.replace("/", "."), found)] = name
    return found


def _key(name: str, prefix: str) -> str:
    return (name[len(prefix) + 1 :] or name).replace("/", ".")


def _free(key: str, taken: Iterable[str]) -> str:
    """A key that nothing has: "task", "instruction", "instruction_2", ..."""
    taken = {other.split("/")[0] for other in taken}
    base = "instruction" if key == INSTRUCTION else key
    names = [key, base, *(f"{base}_{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def _named(meta: Meta, given: Iterable[tuple[str, str]], option: str) -> dict[str, str]:
    """Features by the paths that the user gave; the path of a group ("observation.images") is all that is below it."""
    found: dict[str, str] = {}
    for key, path in given:
        below = _below(path, [name for name in meta.features if name.startswith(path + ".")])
        if path in meta.features or (path == INSTRUCTION and option == "--observation" and TASK_INDEX in meta.features):
            found[key] = path
        elif below:
            found |= {f"{key}/{inside}".removeprefix("/"): name for inside, name in below.items()}
        else:
            check_columns([path], meta.features, f"{option}: {meta.path}")
    return found


def _feature(meta: Meta, name: str, told: bool = False) -> Feature:
    """A feature by its description in info.json."""
    if told and name not in meta.features:
        return Feature(name=TASK_INDEX, kind="string", told=True)
    about = meta.features[name]
    kind = about.get("dtype")
    try:
        shape = checked_shape(about.get("shape"))
        if kind in ("image", "video"):
            return Feature(name=name, kind=kind, shape=_picture_shape(shape, about.get("names")))
        if kind == "string":
            if math.prod(shape) != 1:
                raise ValueError(f"has {math.prod(shape)} texts a step, need one")
            return Feature(name=name, kind=kind)
        if not isinstance(kind, str) or np.dtype(kind).kind not in "biuf":
            raise TypeError
    except TypeError:
        raise BadDataError(
            f"{meta.path}: the feature {name} has the dtype {kind!r:.50}, which cannot be read"
        ) from None
    except ValueError as cause:
        raise BadDataError(f"{meta.path}: the feature {name}: {cause}") from cause
    return Feature(name=name, kind=kind, shape=shape)


def _picture_shape(shape: tuple[int, ...], names: Any) -> tuple[int, ...]:
    """Height, width, channels. Some sets say channels first; what is decoded has them last. Raises ValueError."""
    if len(shape) != 3:
        raise ValueError(f"a picture has the shape {list(shape)}, need height, width and channels")
    said = [str(name).lower() in CHANNELS for name in names] if isinstance(names, list) and len(names) == 3 else []
    first = said[0] if sum(said) == 1 else shape[-1] not in (1, 3, 4)
    return (*shape[1:], shape[0]) if first else shape


def _action(feature: Feature) -> Feature:
    """LeRobot writes one number with the shape [1]: as an action an integer or a truth value is a single choice."""
    single = feature.shape == (1,) and feature.kind not in ("image", "video", "string")
    if single and np.dtype(feature.kind).kind in "biu":
        return Feature(name=feature.name, kind=feature.kind)
    return feature


def _instruction(meta: Meta, form: Form) -> Feature | None:
    """The text that says what to do: of the user's column, else of `task_index`; None where there is neither."""
    path = form.instruction
    if not path or (path == INSTRUCTION and path not in meta.features):
        told = TASK_INDEX in meta.features and read_instructions(meta)
        if path and not told:
            raise BadDataError(f"--instruction: {meta.folder}/meta has no tasks, or no {TASK_INDEX} says which of them")
        return Feature(name=TASK_INDEX, kind="string", told=True) if told else None
    check_columns([path], meta.features, f"--instruction: {meta.path}")
    feature = _feature(meta, path)
    if feature.kind == "string":
        return feature
    if feature.kind in ("image", "video") or np.dtype(feature.kind).kind not in "iu" or math.prod(feature.shape) != 1:
        raise BadDataError(f"--instruction: {meta.path}: {path} is neither text nor the number of one in meta/tasks")
    if not read_instructions(meta, path):
        table = "subtasks" if path == SUBTASK_INDEX else "tasks"
        raise BadDataError(f"--instruction: {path} has numbers, and {meta.folder}/meta has no {table} of them")
    return Feature(name=path, kind="string", told=True)


def _notes(meta: Meta, used: list[Feature], action: Mapping[str, Feature]) -> list[str]:
    notes = []
    names = {feature.name for feature in used}
    left = [name for name in meta.features if name not in {*names, *COUNTERS, *OUTCOMES}]
    if left:
        notes.append(f"left out: {', '.join(map(shown_name, left))} (--observation KEY=NAME takes them)")
    if OUTCOMES[0] not in meta.features:
        notes.append(f"there is no {OUTCOMES[0]}, rewards are zero")
    rows = [feature.name for feature in action.values() if feature.shape and feature.kind.lstrip("u").startswith("int")]
    if rows:
        notes.append(f"{', '.join(rows)} holds whole numbers, kept as numbers; --actions N makes each one of N choices")
    return notes
