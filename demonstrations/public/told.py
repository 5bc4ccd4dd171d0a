"""The episodes of a data set in which the robot was told one thing: for data that holds many tasks under one name.

Instructions are compared without capitals, punctuation and repeated spaces. LeRobot describes them beside its episodes;
of RLDS every record is read once to find them, without its pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from generalist.demonstrations.episode import Episode
from generalist.demonstrations.public.reader import PublicData
from generalist.envs.families.libero_tasks import NAMES, PIXELS, ids_of_instruction
from generalist.envs.task import nearest_ids

SUITES = (*NAMES, *(f"{suite}{PIXELS}" for suite in NAMES))
MOST_NAMED = 10
"""Instructions that have a line of their own."""


def plain(text: str) -> str:
    """ "Turn on  the stove." -> "turn on the stove": what instructions are compared by."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def told(source: PublicData, text: str) -> PublicData:
    """The episodes with this instruction, numbered anew from 0.

    Raises:
        ValueError: there are none (with the nearest instructions), or the data set does not say what was told.
    """
    by_text = _by_text(source)
    if plain(text) not in by_text:
        near = nearest_ids(plain(text), list(by_text)) or list(by_text)[:3]
        said = "; ".join(f"{each!r} ({len(by_text[each])} episodes)" for each in near)
        raise ValueError(f"{source.name} has no episode in which {text!r} was told: the nearest are {said}")
    return _only(source, by_text[plain(text)], plain(text), source.task_id)


def of_suite(source: PublicData, suite: str) -> tuple[list[PublicData], list[str]]:
    """For each task of a suite of LIBERO that the data set has, its episodes; and lines about what is passed over.

    An instruction that LIBERO-90 gives in several scenes names no task, so its episodes are passed over.

    Raises:
        ValueError: no such suite, no episode is of it, or the data set does not say what was told.
    """
    if suite not in SUITES:
        near = nearest_ids(suite, list(SUITES), 1) or SUITES
        raise ValueError(f"unknown suite {suite!r}: did you mean {', '.join(near)}? suites are {', '.join(SUITES)}")
    chosen: list[PublicData] = []
    unknown: dict[str, int] = {}
    lines: list[str] = []
    for text, numbers in _by_text(source).items():
        ids = ids_of_instruction(text, suite)
        if len(ids) == 1:
            chosen.append(_only(source, numbers, text, ids[0]))
        elif ids:
            lines.append(f"{_said(text, len(numbers))} passed over: {', '.join(ids)} all have this instruction")
        else:
            unknown[text] = len(numbers)
    if not chosen and not lines:
        text = next(iter(unknown))
        raise ValueError(f"{source.name} has no episode of a task of {suite}: in it the robot was told {text!r}, ...")
    lines += [f"{_said(text, unknown[text])} passed over: no task of {suite}" for text in list(unknown)[:MOST_NAMED]]
    if rest := list(unknown)[MOST_NAMED:]:
        episodes = sum(unknown[text] for text in rest)
        lines.append(f"{len(rest)} more instructions, {episodes} episodes, passed over: no task of {suite}")
    return chosen, lines


def _said(text: str, episodes: int) -> str:
    return f"{text!r}, {episodes} episode{'s' * (episodes != 1)},"


def _by_text(source: PublicData) -> dict[str, list[int]]:
    """The numbers of episodes by their plain instruction, in the order in which those come."""
    if source.instructions is None:
        raise ValueError(f"{source.name} does not say what was told in each episode: rlds: and lerobot: do")
    found: dict[str, list[int]] = {}
    for number, text in enumerate(source.instructions()):
        found.setdefault(plain(text), []).append(number)
    return found


def _only(source: PublicData, numbers: Sequence[int], text: str, task_id: str) -> PublicData:
    """These episodes, in this order, as those of a task; those between are read past and not decoded."""

    def read(start: int) -> Iterator[Episode]:
        reader: Iterator[Episode] = iter(())
        position = -1
        for number in numbers[start:]:
            if number != position:
                reader = source.read(number)
            episode, position = next(reader, None), number + 1
            if episode is None:
                return
            yield replace(episode, metadata=replace(episode.metadata, task_id=task_id))

    return replace(source, episodes_total=len(numbers), read=read, task_id=task_id, told=text)
