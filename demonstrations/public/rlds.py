"""RLDS data sets that TFDS has prepared on disk, array_record or TFRecord, read without TensorFlow.

What the observation and the action are says the catalogue's row, else `rlds_choice`; whether the last step was taken
says the row where it is known, else `rlds_ending` over a sample of episodes. A `Form` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.demonstrations.episode import Episode
from generalist.demonstrations.public.catalogue import Row, find_row, minimal_actions
from generalist.demonstrations.public.form import BY_RULE, Form
from generalist.demonstrations.public.own import OWN, open_own, own_facts
from generalist.demonstrations.public.reader import (
    BadDataError,
    Origin,
    PublicData,
    UnusableEpisodeError,
    discrete_space,
    make_episode,
    naming,
    nest,
    nest_spaces,
    with_action_codes,
)
from generalist.demonstrations.public.rlds_choice import Choice, choose
from generalist.demonstrations.public.rlds_ending import Ending, Sampled, decide
from generalist.demonstrations.public.rlds_files import Prepared, open_prepared
from generalist.demonstrations.public.rlds_leaves import Leaf, as_codes, leaves_of
from generalist.demonstrations.public.tfrecord import read_records
from generalist.demonstrations.storage import COLLECTION

SAMPLED_FILES, SAMPLED_EPISODES, SAMPLED_BYTES = 4, 4, 1 << 28
"""The sample: of so many files, spread over all, the first episodes each, until so many bytes are read."""
FLAGS = ("steps/is_last", "steps/is_terminal")
DISCOUNT = "steps/discount"


def open_rlds(path: str | Path, *, task: str | None = None, split: str = "train", form: Form = BY_RULE) -> PublicData:
    """A data set by its folder, NAME/VERSION or NAME/CONFIG/VERSION, or one above with a single version.

    Args:
        task: the task id instead of the catalogue's.
        split: a split of TFDS, without slices.
        form: what is said about it.

    Raises:
        ValueError: no data set, no such split, another file format, columns that are missing or cannot be read.
    """
    prepared = open_prepared(Path(path), split)
    origin = Origin(
        folder=prepared.folder,
        files=prepared.files,
        version=prepared.version,
        config=prepared.config,
        split=split,
    )
    if (prepared.folder / COLLECTION).is_file() and replace(form, last_action_taken=None) == BY_RULE:
        return open_own(prepared.folder, task, origin)
    row, task_id = find_row("rlds", prepared.full_name)
    layout, sample = _layout(prepared, row, form)
    if layout.own and sample:
        task_id = str(own_facts(sample[0].fields)["task_id"])
    ending = _ending(layout, sample, form)
    layout = replace(layout, taken=ending.taken)
    source = PublicData(
        name=f"rlds:{prepared.full_name}",
        task_id=task or task_id,
        observation_space=layout.space(layout.choice.observation),
        action_space=layout.action_space,
        episodes_total=sum(count for _, count in prepared.shards),
        read=lambda start: _read(prepared, layout, task or task_id, start),
        note=row.note,
        notices=(_said(ending, form), *layout.choice.left_out),
        origin=origin,
        instructions=partial(_told, prepared, layout.choice.told),
    )
    return with_action_codes(source, *minimal_actions(task_id)) if row.minimal else source


def _read(prepared: Prepared, layout: _Layout, task_id: str, start: int) -> Iterator[Episode]:
    for file, count in prepared.shards:
        first = min(start, count)
        for number, record in enumerate(read_records(file, prepared.file_format, count, first), first):
            with naming(file, f"record {number}"):
                episode = layout.episode(_Record(record), f"rlds:{prepared.full_name}", task_id)
            yield episode
        start = max(0, start - count)


def _told(prepared: Prepared, leaf: Leaf | None) -> list[str]:
    """What was told first in each episode: all records are read, and no picture is unpacked. Raises BadDataError."""
    if leaf is None:
        raise BadDataError(f"{prepared.folder} has no text that says what to do (--instruction PATH names it)")
    found = []
    for file, count in prepared.shards:
        for number, record in enumerate(read_records(file, prepared.file_format, count)):
            with naming(file, f"record {number}"):
                found.append(next(iter(_Record(record).rows(leaf)), ""))
    return found


class _Record:
    """The fields of a serialised `tf.train.Example`. Raises (when made) what protobuf does."""

    def __init__(self, data: bytes):
        from generalist.demonstrations.rlds import Example

        self.fields = Example.FromString(data).features.feature

    def values(self, path: str) -> Sequence[Any]:
        """Of a column, flat. Raises ValueError: it is not there."""
        if path not in self.fields:
            raise ValueError(f"the record has no {path}")
        feature = self.fields[path]
        kind = feature.WhichOneof("kind")
        return getattr(feature, kind).value if kind else ()

    def rows(self, leaf: Leaf) -> Any:
        """All rows of a leaf. Raises ValueError naming it."""
        try:
            return leaf.rows(self.values(leaf.path))
        except (ValueError, OverflowError) as cause:
            raise ValueError(f"{leaf.path}: {cause}") from cause


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """How a record becomes an episode.

    Args:
        flags: is_last, is_terminal and the discount, where there are such columns.
        own: it is a recording of this package, with its facts about the episode beside the steps.
        taken: the last step's action and reward are real.
    """

    choice: Choice
    row: Row
    flags: dict[str, Leaf]
    own: bool
    taken: bool = True

    def space(self, part: dict[str, Leaf]) -> gym.Space:
        return nest_spaces({key: leaf.space for key, leaf in part.items()})

    @property
    def action_space(self) -> gym.Space:
        return nest_spaces({key: _action_space(leaf, self.row) for key, leaf in self.choice.action.items()})

    def episode(self, record: _Record, name: str, task_id: str) -> Episode:
        """Raises ValueError: no steps, no transition, several episodes, or columns that do not fit each other."""
        found = {leaf: record.rows(leaf) for leaf in dict.fromkeys(self._leaves)}
        length = self._length(found)
        last, terminal = (self._flag(path, found, length) for path in FLAGS)
        if last is not None and last[:-1].any():
            raise UnusableEpisodeError(
                f"step {int(np.argmax(last))} of {length} has is_last: it is more than one episode"
            )
        steps = length if self.taken or (last is not None and not last[-1]) else length - 1
        if not steps:
            raise UnusableEpisodeError(
                "the episode has one step, which only holds the final observation: nothing was done"
            )
        ended = terminal is not None and bool(terminal[-1])
        facts = own_facts(record.fields) if self.own else {}
        reward = self.choice.reward
        episode = make_episode(
            name,
            task_id,
            (self.space(self.choice.observation), self.action_space),
            observations=_values(self.choice.observation, found, length, length),
            actions=_values(self.choice.action, found, length, steps),
            rewards=np.zeros(steps) if reward is None else np.asarray(found[reward], np.float64).reshape(-1)[:steps],
            terminated=ended,
            truncated=bool(facts.get("truncated", not ended)),
        )
        known = {key: value for key, value in facts.items() if key in ("seed", "success", "expert", "noise")}
        return replace(episode, metadata=replace(episode.metadata, **known))

    @property
    def _leaves(self) -> list[Leaf]:
        reward = [self.choice.reward] if self.choice.reward else []
        return [*self.choice.observation.values(), *self.choice.action.values(), *reward, *self.flags.values()]

    def _length(self, found: dict[Leaf, Any]) -> int:
        """Number of steps. Raises ValueError: none, or columns of different lengths."""
        lengths = {leaf.path: len(rows) for leaf, rows in found.items() if leaf.per_step and 0 not in leaf.shape}
        if lengths and not max(lengths.values()):
            raise UnusableEpisodeError("the episode has no steps")
        if len(set(lengths.values())) > 1:
            raise ValueError(f"has columns of different lengths: {', '.join(f'{k} {n}' for k, n in lengths.items())}")
        return max(lengths.values(), default=0)

    def _flag(self, path: str, found: dict[Leaf, Any], length: int) -> np.ndarray | None:
        leaf = self.flags.get(path)
        return None if leaf is None else np.asarray(found[leaf], bool).reshape(length)

    def sampled(self, record: _Record) -> Sampled:
        """The columns that decide whether the last step was taken."""
        actions = [_numbers(record.rows(leaf)) for leaf in self.choice.action.values()]
        last, terminal = (
            record.rows(self.flags[path]).reshape(-1)[-1:].astype(bool).tolist() if path in self.flags else []
            for path in FLAGS
        )
        numbers = [
            None if leaf is None else np.asarray(record.rows(leaf), np.float64).reshape(-1)
            for leaf in (self.choice.reward, self.flags.get(DISCOUNT))
        ]
        return Sampled(
            actions=np.concatenate(actions, axis=1),
            discrete=not any(leaf.dtype.kind == "f" for leaf in self.choice.action.values()),
            rewards=numbers[0],
            discounts=numbers[1],
            last=last[0] if last else None,
            terminal=bool(terminal and terminal[0]),
        )


def _layout(prepared: Prepared, row: Row, form: Form) -> tuple[_Layout, list[_Record]]:
    """The layout and a sample of records. Columns of text written as numbers are told by the sample."""
    leaves = leaves_of(prepared.features)
    sample = _sample(prepared)
    for path, leaf in leaves.items():
        if isinstance(leaf, Leaf) and "instruction" in path and len(leaf.shape) == 1 and leaf.dtype.kind in "iu":
            leaves[path] = as_codes(leaf) if _are_codes(as_codes(leaf), sample) else leaf
    flags = {path: leaf for path in (*FLAGS, DISCOUNT) if isinstance(leaf := leaves.get(path), Leaf)}
    if not any(path.startswith("steps/") for path in leaves):
        raise ValueError(f"{prepared.folder / 'features.json'} has no steps: this is not an RLDS data set")
    choice = choose(leaves, row, form, prepared.folder)
    own = set(leaves) >= OWN
    return _Layout(choice=choice, row=row, flags=flags, own=own), sample


def _are_codes(leaf: Leaf, sample: Sequence[_Record]) -> bool:
    try:
        return bool(sample) and all(any(record.rows(leaf)) for record in sample)
    except ValueError:
        return False


def _sample(prepared: Prepared) -> list[_Record]:
    """Some records; what is damaged is left for whoever reads the episodes."""
    found: list[_Record] = []
    read, shards = 0, [shard for shard in prepared.shards if shard[1]]
    for place in np.unique(np.linspace(0, len(shards) - 1, SAMPLED_FILES).astype(int)) if shards else ():
        file, count = shards[place]
        records = read_records(file, prepared.file_format, count)
        for _ in range(min(count, SAMPLED_EPISODES)):
            try:
                data = next(records)
                found.append(_Record(data))
            except Exception:  # protobuf and array_record raise what they like
                break
            read += len(data)
            if read > SAMPLED_BYTES:
                return found
    return found


def _ending(layout: _Layout, sample: Sequence[_Record], form: Form) -> Ending:
    if form.last_action_taken is not None:
        return Ending(form.last_action_taken, "as --last-action-taken says")
    if layout.own:
        return Ending(False, "as in every recording of this package")
    if layout.row.last_action_taken is not None:
        return Ending(layout.row.last_action_taken, "as is known of this data set")
    sampled = []
    for record in sample:
        try:
            sampled.append(layout.sampled(record))
        except (ValueError, OverflowError, IndexError):  # a bad episode, named when it is read
            continue
    return decide(sampled)


def _said(ending: Ending, form: Form) -> str:
    what = "action is taken" if ending.taken else "step only holds the final observation"
    other = "" if form.last_action_taken is not None else f": --last-action-taken {not ending.taken} says otherwise"
    return f"the last step's {what} ({ending.why}){other}" if ending.taken else f"the last {what} ({ending.why}){other}"


def _action_space(leaf: Leaf, row: Row) -> gym.Space:
    space = leaf.space
    if isinstance(space, spaces.Box) and space.dtype.kind == "f":
        return spaces.Box(row.low, row.high, space.shape, space.dtype.type)
    if isinstance(space, spaces.Box) and space.shape == (1,):  # a single integer, written as an array
        space = spaces.Box(space.low[0], space.high[0], (), space.dtype.type)
    return discrete_space(space, row.actions)


def _numbers(rows: Any) -> np.ndarray:
    """float64[N, A] of any rows."""
    if isinstance(rows, list):
        return np.array([[float(bool(text))] for text in rows]).reshape(-1, 1)
    return np.asarray(rows, np.float64).reshape(len(rows), -1)


def _values(part: dict[str, Leaf], found: dict[Leaf, Any], length: int, count: int) -> Any:
    """The first `count` rows of every leaf; what an episode has once is there at every step."""
    return nest({key: _repeated(leaf, found[leaf], length)[:count] for key, leaf in part.items()})


def _repeated(leaf: Leaf, rows: Any, length: int) -> Any:
    if leaf.per_step:
        return rows
    if len(rows) != 1:
        raise ValueError(f"{leaf.path} has {len(rows)} values, need one an episode")
    return rows * length if isinstance(rows, list) else np.repeat(rows, length, axis=0)
