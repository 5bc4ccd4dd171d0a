"""Which values of an RLDS record become the observation, the instruction and the action, and what is left out.

    observation   what the catalogue's row says, else all below `steps/observation`, and the instruction
    instruction   texts beside the observation whose name speaks of an instruction, else such texts of the episode
    action        what the catalogue's row says, else all below `steps/action`

A `Form` says otherwise: with `observation` exactly those values are taken. Whatever is not taken is listed.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path

from generalist.demonstrations.public.catalogue import Row
from generalist.demonstrations.public.form import Form
from generalist.demonstrations.public.pictures import MOST_VALUES
from generalist.demonstrations.public.reader import BadDataError
from generalist.demonstrations.public.rlds_leaves import Leaf, Unreadable

INSTRUCTIONS = (r"instruction|language", r"command|prompt|goal|task(?!_?(id|index)\b)")
"""What the name of a text that says what to do has in it; the second is tried where nothing has the first."""
PLAIN = re.compile(r"text|string|str|value|words|sentence|utterance|raw|natural|\d+", re.IGNORECASE)
"""Names of a text that only say that it is one."""
EMBEDDING = "embedding"
STRUCTURE = ("steps/is_first", "steps/is_last", "steps/is_terminal")
"""What they say is kept as the episode's length and end."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Leaves by our key, "wrist/pose" for nested ones and "" for one that is the whole of it, and why others are not.

    `left_out` holds lines for whoever imports; `told` says what to do, whether or not it is observed.
    """

    observation: dict[str, Leaf]
    action: dict[str, Leaf]
    reward: Leaf | None
    left_out: tuple[str, ...]
    told: Leaf | None = None


@dataclass(frozen=True)
class _Record:
    """All values of a record by path, and messages about those that are asked for."""

    leaves: dict[str, Leaf | Unreadable]
    where: Path
    option: str = ""
    taken: set[str] = field(default_factory=set)

    def below(self, path: str, option: str) -> dict[str, Leaf]:
        """What is at a path or below it, by the rest of the path. Raises ValueError: nothing, or it cannot be read."""
        path = path.strip("/")
        for whole in (f"steps/{path}", path):
            found = {name: leaf for name, leaf in self.leaves.items() if f"{name}/".startswith(f"{whole}/")}
            if found:
                break
        else:
            names = [name.removeprefix("steps/") for name in self.leaves]
            near = difflib.get_close_matches(path, names, n=3, cutoff=0.4) or sorted(names)
            raise BadDataError(
                f"{self.where}, steps, has no column {path!r}: the nearest are {', '.join(near)} ({option})"
            )
        if wrong := [leaf for leaf in found.values() if isinstance(leaf, Unreadable)]:
            raise BadDataError(f"{self.where}: {wrong[0].path} is {wrong[0].why}, and cannot be read")
        return {name[len(whole) :].lstrip("/"): leaf for name, leaf in found.items() if isinstance(leaf, Leaf)}

    def readable(self, path: str, option: str) -> dict[str, Leaf]:
        """What of a step is at a path or below it, can be read and is no embedding, by its path in the step.

        Raises ValueError: nothing is.
        """
        found = {
            name.removeprefix("steps/"): leaf
            for name, leaf in self.leaves.items()
            if f"{name}/".startswith(f"steps/{path}/") and isinstance(leaf, Leaf) and EMBEDDING not in name
        }
        if not found:
            below = self.below(path, option)  # raises where one is missing or cannot be read
            raise BadDataError(
                f"{self.where}: {', '.join(leaf.path for leaf in below.values())} is a model's view of something "
                f"else, and there is nothing else in {path}: {option} takes it"
            )
        return found


def choose(leaves: dict[str, Leaf | Unreadable], row: Row, form: Form, where: Path) -> Choice:
    """What is read of records that have these leaves.

    Raises:
        ValueError: a column that the row, the form or the format asks for is not there or cannot be read; too much.
    """
    record = _Record(leaves, where)
    observation = (
        _asked(record, form) if form.observation else _by_rule(record, row.observation, "--observation KEY=PATH")
    )
    observation |= _instruction(record, form, observation)
    action = (
        record.below(form.action, "--action PATH") if form.action else _by_rule(record, row.action, "--action PATH")
    )
    reward = leaves.get(f"steps/{row.reward}")
    size = sum(_size(leaf) for leaf in (*observation.values(), *action.values()))
    if size > MOST_VALUES:
        raise BadDataError(
            f"{where} has {size:,} values a step, at most {MOST_VALUES:,} are read: --observation KEY=PATH"
        )
    usable = reward if isinstance(reward, Leaf) and not reward.is_text and _size(reward) == 1 else None
    taken = {leaf.path for leaf in (*observation.values(), *action.values(), *([usable] if usable else []))}
    return Choice(
        observation=_alone(observation, form),
        action=_alone(action, form),
        reward=usable,
        left_out=tuple(_left_out(leaves, taken, row, usable is not None)),
        told=_told(record, form),
    )


def _asked(record: _Record, form: Form) -> dict[str, Leaf]:
    found: dict[str, Leaf] = {}
    for key, path in form.observation:
        below = record.below(path, "--observation KEY=PATH")
        if not key and list(below) != [""]:
            raise BadDataError(f"--observation ={path} needs one value, {path} has {', '.join(below)}: name a key")
        found |= {"/".join(filter(None, (key, rest))): leaf for rest, leaf in below.items()}
    return found


def _by_rule(record: _Record, paths: tuple[str, ...], option: str) -> dict[str, Leaf]:
    """What the catalogue's row names, without the first part of each path."""
    found: dict[str, Leaf] = {}
    for path in paths:
        found |= {name.partition("/")[2]: leaf for name, leaf in record.readable(path, option).items()}
    return found


def _instruction(record: _Record, form: Form, observation: dict[str, Leaf]) -> dict[str, Leaf]:
    """The texts that say what to do, by a key that the observation does not have yet."""
    if form.instruction:
        below = record.below(form.instruction, "--instruction PATH")
        if list(below) != [""] or not below[""].is_text:
            raise BadDataError(f"--instruction needs the path of one text, {form.instruction} is none")
        found = [below[""]]
    elif form.observation:
        return {}
    else:
        found = _instructions(record, set(observation.values()))
    named: dict[str, Leaf] = {}
    for leaf in found:
        if leaf not in observation.values():
            key = leaf.path.rpartition("/")[2]
            named[key if key not in observation | named else leaf.path.replace("/", ".")] = leaf
    return named


def _told(record: _Record, form: Form) -> Leaf | None:
    if form.instruction:
        return record.below(form.instruction, "--instruction PATH")[""]
    everything = {leaf for leaf in record.leaves.values() if isinstance(leaf, Leaf)}
    return next(iter(_instructions(record, everything)), None)


def _instructions(record: _Record, shown: set[Leaf]) -> list[Leaf]:
    texts = [leaf for leaf in record.leaves.values() if isinstance(leaf, Leaf) and leaf.is_text]
    for pattern in INSTRUCTIONS:
        for per_step in (True, False):
            found = [
                leaf
                for leaf in texts
                if leaf.per_step == per_step
                and not leaf.path.startswith("steps/action")
                and re.search(pattern, _named(leaf.path), re.IGNORECASE)
                and EMBEDDING not in leaf.path
            ]
            beside = [leaf for leaf in found if leaf in shown or not leaf.path.startswith("steps/observation/")]
            if found:
                return beside
    return []


def _named(path: str) -> str:
    """What a text is called: `steps/language_instruction/text` by its folder too, as `text` alone says nothing."""
    folders, _, name = path.rpartition("/")
    return f"{folders.rpartition('/')[2]}/{name}" if PLAIN.fullmatch(name) else name


def _alone(leaves: dict[str, Leaf], form: Form) -> dict[str, Leaf]:
    """A value without a name is the whole, or has the name of its column beside others."""
    if "" not in leaves or len(leaves) == 1:
        return leaves
    return {key or leaf.path.rpartition("/")[2]: leaf for key, leaf in leaves.items()}


def _size(leaf: Leaf) -> int:
    size = 1
    for length in leaf.shape:
        size *= length
    return size


def _left_out(leaves: dict[str, Leaf | Unreadable], taken: set[str], row: Row, rewarded: bool) -> list[str]:
    lines = []
    if not rewarded:
        there = leaves.get(f"steps/{row.reward}")
        said = f"steps/{row.reward} is not one number a step" if there else f"there is no steps/{row.reward}"
        lines.append(f"{said}: every reward is 0")
    others = {path: leaf for path, leaf in leaves.items() if path not in taken and path not in STRUCTURE}
    models = [path for path in others if EMBEDDING in path]
    unread = [f"{leaf.path} ({leaf.why})" for leaf in others.values() if isinstance(leaf, Unreadable)]
    rest = [path for path, leaf in others.items() if isinstance(leaf, Leaf) and path not in models]
    named = [*rest, *(f"{path} (a model's view of something else)" for path in models)]
    if named:
        what = f"not imported: {', '.join(named)}"
        lines.append(f"{what} (--observation KEY=PATH takes them, if given for all that is wanted)")
    if unread:
        lines.append(f"not imported, because it cannot be read: {', '.join(unread)}")
    return lines
