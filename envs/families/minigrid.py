"""MiniGrid's own levels from pixels and the mission as text, as BabyAI's, with a planner that sees the whole level.

An expert knows what the agent has yet to find out: where the goal is, and which box hides the key. Not listed: the six
WFC levels, whose patterns are missing in the package, and Playground, which has no mission and no reward.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym

from generalist.envs.experts.grid_planner import DONE, DROP, LEFT, PICK_UP, STEPS, NoWay, Planner, at, facing
from generalist.envs.families.babyai import NOISE, PixelsAndMission
from generalist.envs.success import SuccessInfo, positive_reward
from generalist.envs.task import ActionFunction, Task, needs_extra


def make(level: str, render_mode: str | None = None) -> gym.Env:
    """A level by its name and version, for example "DoorKey-5x5-v0"; frames of `render` show the whole grid.

    Observations: {"image": uint8[56, 56, 3], "mission": text}. Actions: 7 (left, right, forward, pick up, drop,
    toggle, done), or the first 3 of them with moving obstacles. The reward is 1 - 0.9 * steps / horizon on success and
    0 otherwise; -1 for a collision with a moving obstacle.
    """
    with needs_extra("babyai"):
        import minigrid  # noqa: F401 (registers the levels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of levels with a newer version, which is listed as well
        env = gym.make(f"MiniGrid-{level}", render_mode=render_mode, disable_env_checker=True)
    return SuccessInfo(PixelsAndMission(env), positive_reward)


Errand = Callable[[Planner], int]
"""The next action of a mission, from the state of the level. Raises NoWay."""


def planner_expert(env: gym.Env, *, errand: Errand, movable: bool = True) -> ActionFunction:
    """Plans the errand anew at each step, so that actions of others (noise) are taken into account.

    It looks at the environment, not at the observation. Where no way is left it turns on the spot.
    """
    planner = Planner(env.unwrapped, movable=movable)

    def act(observation: dict[str, Any]) -> int:
        try:
            return errand(planner)
        except NoWay:
            return LEFT

    return act


def reach_goal(planner: Planner) -> int:
    """Onto the green square."""
    step = planner.towards(at(planner.find("goal")))
    return DONE if step is None else step


def pick_up_target(planner: Planner) -> int:
    """Take the object of the mission."""
    target = planner.base.obj
    cells = [cell for cell, thing in planner.things() if thing is target]
    if not cells:
        raise NoWay("the target is gone: it was a box, and was opened")
    return planner.pick_up(cells[0])


def open_door(planner: Planner) -> int:
    """Unlock the only door."""
    return planner.open(planner.find("door")[0])


def open_red_then_blue(planner: Planner) -> int:
    """Open the red door, then the blue one."""
    color = "blue" if planner.base.red_door.is_open else "red"
    return planner.open(planner.find("door", color)[0])


def go_beside(planner: Planner) -> int:
    """Next to the target, and say so."""
    x, y = planner.base.target_pos
    step = planner.towards(at([(x + dx, y + dy) for dx, dy in STEPS]))
    return DONE if step is None else step


def fetch(planner: Planner) -> int:
    """Take the nearest object of the mission's kind and colour."""
    base = planner.base
    cells = planner.find(base.targetType, base.targetColor)
    step = planner.towards({pose for cell in cells for pose in facing(cell)})
    return PICK_UP if step is None else step


def put_near(planner: Planner) -> int:
    """Take the one object and drop it on a free cell around the other."""
    base = planner.base
    if base.carrying is None:
        if not (cells := planner.find(base.move_type, base.moveColor)):
            raise NoWay("the object is gone: it was a box, and was opened")
        return planner.use(cells[0], PICK_UP)
    x, y = (int(value) for value in base.target_pos)
    around = [(x + dx, y + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    step = planner.towards({pose for cell in around if planner.look(cell) is None for pose in facing(cell)})
    return DROP if step is None else step


def memory_expert(env: gym.Env) -> ActionFunction:
    """Looks at the object in the first room, and then goes to its like at the end of the hallway.

    It knows where that is, and looks for the sake of whoever learns from it.
    """
    base: Any = env.unwrapped
    planner = Planner(base, movable=False)
    cue, seen = (1, base.height // 2 - 1), False
    # No wall stands between the object and these cells of the first room.
    room = {(x, base.height // 2) for x in (1, 2, 3)}

    def act(observation: dict[str, Any]) -> int:
        nonlocal seen
        seen = seen or (planner.pose[:2] in room and base.in_view(*cue))
        if seen:
            step = planner.towards(at([base.success_pos]))
        else:
            step = planner.towards({(x, y, direction) for x, y in room for direction in (2, 3) if x - direction < 1})
        return DONE if step is None else step

    return act


Expert = Callable[[gym.Env], ActionFunction]

_GOAL: Expert = partial(planner_expert, errand=reach_goal)
_WAIT: Expert = partial(planner_expert, errand=reach_goal, movable=False)
_TAKE: Expert = partial(planner_expert, errand=pick_up_target)
_BESIDE: Expert = partial(planner_expert, errand=go_beside, movable=False)
_FETCH: Expert = partial(planner_expert, errand=fetch, movable=False)
_NEAR: Expert = partial(planner_expert, errand=put_near, movable=False)
_DOOR: Expert = partial(planner_expert, errand=open_door)
_DOORS: Expert = partial(planner_expert, errand=open_red_then_blue)

LEVELS: tuple[tuple[Expert, dict[str, int]], ...] = (
    (
        _GOAL,
        {
            "Empty-5x5-v0": 100,
            "Empty-Random-5x5-v0": 100,
            "Empty-6x6-v0": 144,
            "Empty-Random-6x6-v0": 144,
            "Empty-8x8-v0": 256,
            "Empty-16x16-v0": 1024,
            "FourRooms-v0": 100,
            "SimpleCrossingS9N1-v0": 324,
            "SimpleCrossingS9N2-v0": 324,
            "SimpleCrossingS9N3-v0": 324,
            "SimpleCrossingS11N5-v0": 484,
            "LavaCrossingS9N1-v0": 324,
            "LavaCrossingS9N2-v0": 324,
            "LavaCrossingS9N3-v0": 324,
            "LavaCrossingS11N5-v0": 484,
            "LavaGapS5-v0": 100,
            "LavaGapS6-v0": 144,
            "LavaGapS7-v0": 196,
            "DistShift1-v0": 252,
            "DistShift2-v0": 252,
            "MultiRoom-N2-S4-v0": 40,
            "MultiRoom-N4-S5-v0": 120,
            "MultiRoom-N4-S5-v1": 80,
            "MultiRoom-N6-v0": 120,
            "DoorKey-5x5-v0": 250,
            "DoorKey-6x6-v0": 360,
            "DoorKey-8x8-v0": 640,
            "DoorKey-16x16-v0": 2560,
            "LockedRoom-v0": 190,
        },
    ),
    (
        _WAIT,
        {
            "Dynamic-Obstacles-5x5-v0": 100,
            "Dynamic-Obstacles-Random-5x5-v0": 100,
            "Dynamic-Obstacles-6x6-v0": 144,
            "Dynamic-Obstacles-Random-6x6-v0": 144,
            "Dynamic-Obstacles-8x8-v0": 256,
            "Dynamic-Obstacles-16x16-v0": 1024,
        },
    ),
    (_FETCH, {"Fetch-5x5-N2-v0": 125, "Fetch-6x6-N2-v0": 180, "Fetch-8x8-N3-v0": 320}),
    (
        _BESIDE,
        {
            "GoToDoor-5x5-v0": 100,
            "GoToDoor-6x6-v0": 144,
            "GoToDoor-8x8-v0": 256,
            "GoToObject-6x6-N2-v0": 180,
            "GoToObject-8x8-N2-v0": 320,
        },
    ),
    (_NEAR, {"PutNear-6x6-N2-v0": 30, "PutNear-8x8-N3-v0": 40}),
    (_DOORS, {"RedBlueDoors-6x6-v0": 720, "RedBlueDoors-8x8-v0": 1280}),
    (
        memory_expert,
        {
            "MemoryS7-v0": 245,
            "MemoryS9-v0": 405,
            "MemoryS11-v0": 605,
            "MemoryS13-v0": 845,
            "MemoryS13Random-v0": 845,
            "MemoryS17Random-v0": 1445,
        },
    ),
    (_DOOR, {"Unlock-v0": 288}),
    (
        _TAKE,
        {
            "UnlockPickup-v0": 288,
            "BlockedUnlockPickup-v0": 576,
            "KeyCorridorS3R1-v0": 270,
            "KeyCorridorS3R2-v0": 270,
            "KeyCorridorS3R3-v0": 270,
            "KeyCorridorS4R3-v0": 480,
            "KeyCorridorS5R3-v0": 750,
            "KeyCorridorS6R3-v0": 1080,
            "ObstructedMaze-1Dl-v0": 288,
            "ObstructedMaze-1Dlh-v0": 288,
            "ObstructedMaze-1Dlhb-v0": 288,
            "ObstructedMaze-2Dl-v0": 576,
            "ObstructedMaze-2Dlh-v0": 576,
            "ObstructedMaze-2Dlhb-v0": 576,
            "ObstructedMaze-2Dlhb-v1": 576,
            "ObstructedMaze-1Q-v0": 720,
            "ObstructedMaze-1Q-v1": 720,
            "ObstructedMaze-2Q-v0": 1584,
            "ObstructedMaze-2Q-v1": 1584,
            "ObstructedMaze-Full-v0": 3600,
            "ObstructedMaze-Full-v1": 3600,
        },
    ),
)
"""Experts and their levels, with the horizon that each level has set for itself."""


_BURIED = "in a few levels a ball lies where a key was put, and they cannot be solved; version 1 of the level mends it"
_NOTES = {f"ObstructedMaze-{name}-v0": _BURIED for name in ("2Dlhb", "1Q", "2Q", "Full")}


def _task(level: str, horizon: int, expert: Expert) -> Task:
    return Task(
        id=f"minigrid/{level.removesuffix('-v0')}",
        family="minigrid",
        make=partial(make, level),
        expert=expert,
        horizon=horizon,
        score="return",
        has_success=True,
        noise=NOISE,
        episodes=1000,
        note=_NOTES.get(level, ""),
        extra="babyai",
        provenance="MiniGrid (Chevalier-Boisvert et al. 2023), from pixels; a planner that sees the whole level",
    )


TASKS: tuple[Task, ...] = tuple(
    _task(level, horizon, expert) for expert, levels in LEVELS for level, horizon in levels.items()
)
