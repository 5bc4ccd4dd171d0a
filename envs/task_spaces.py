"""The spaces of every task, stored, so that hundreds of tasks can be listed without making one environment.

spaces_of_tasks.json: {"spaces": [each different space once], "tasks": {id: [observation, action]}}, the numbers being
places in the list. `generalist reference --update` keeps it; a test compares a sample with the environments.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium import spaces

from generalist.envs.files import write_atomically
from generalist.envs.spaces import is_text, space_from_json, space_leaves, space_to_json
from generalist.envs.task import Task

PATH = Path(__file__).with_name("spaces_of_tasks.json")
Pair = tuple[gym.Space, gym.Space]


@cache
def stored_spaces(path: Path = PATH) -> dict[str, Pair]:
    """{task id: (observation space, action space)} of every task whose spaces are stored."""
    data = _read(path)
    made = [space_from_json(space) for space in data["spaces"]]
    return {id: (made[observation], made[action]) for id, (observation, action) in data["tasks"].items()}


def store_spaces(tasks: Iterable[Task], order: Sequence[str], path: Path = PATH) -> None:
    """Make each task's environment once and store its spaces; tasks stand in the order of these ids."""
    data = _read(path)
    pairs = {id: [data["spaces"][place] for place in places] for id, places in data["tasks"].items()}
    for task in tasks:
        env = task.make()
        pairs[task.id] = [space_to_json(env.observation_space), space_to_json(env.action_space)]
        env.close()
    found: list[Any] = []
    texts: dict[str, int] = {}
    places: dict[str, list[int]] = {}
    for id in sorted(pairs, key=order.index):
        places[id] = []
        for space in pairs[id]:
            text = json.dumps(space)
            if text not in texts:
                texts[text] = len(found)
                found.append(text)
            places[id].append(texts[text])
    rows = ",\n".join(f"{json.dumps(id)}: {json.dumps(pair)}" for id, pair in places.items())
    listed = ",\n".join(found)
    write_atomically(path, f'{{"spaces": [\n{listed}\n],\n"tasks": {{\n{rows}\n}}}}\n'.encode())
    stored_spaces.cache_clear()


def kinds(space: gym.Space) -> set[str]:
    """What the leaves are: of "image", "continuous", "discrete" and "text"."""
    return {_kind(leaf) for _, leaf in space_leaves(space)}


def summary(space: gym.Space) -> str:
    """A space in a few characters: "Box(39,) float64", "{image: Box(56, 56, 3) uint8, mission: text}"."""
    if isinstance(space, spaces.Dict):
        return "{" + ", ".join(f"{key}: {summary(child)}" for key, child in space.spaces.items()) + "}"
    if isinstance(space, spaces.Tuple):
        return "(" + ", ".join(map(summary, space.spaces)) + ")"
    if is_text(space):
        return "text"
    if isinstance(space, spaces.Discrete):
        return f"Discrete({space.n})"
    if isinstance(space, spaces.MultiDiscrete):
        return f"MultiDiscrete({space.nvec.size})"
    return f"{type(space).__name__}{space.shape} {space.dtype}"


def _kind(leaf: gym.Space) -> str:
    if is_text(leaf):
        return "text"
    if isinstance(leaf, spaces.Box) and leaf.dtype == "uint8" and len(leaf.shape) == 3:
        return "image"
    return "continuous" if isinstance(leaf, spaces.Box) and leaf.dtype.kind == "f" else "discrete"


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {"spaces": [], "tasks": {}}
