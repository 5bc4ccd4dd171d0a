"""Gymnasium-Robotics' Fetch arm and point mazes, with scripted experts; episodes end at the first success.

The registered environments never terminate and go on until their limit, as if to hold the goal; here, as with
Meta-World, success is an event. It makes FetchSlide easier than the literature's: passing over the goal is enough. The
Shadow hand, Adroit, the kitchen and the ant mazes are not listed, as they have no expert without training.
"""

import contextlib
import io
from collections import deque
from functools import cache, partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.headless import prepare_mujoco
from generalist.envs.task import ActionFunction, Task, needs_extra

Observation = dict[str, np.ndarray]


def make(id: str, render_mode: str | None = None) -> gym.Env:
    """The environment of an id of Gymnasium-Robotics, truncated at its registered limit.

    Observations {"observation": float64[10] (reach), [25] (other Fetch) or [4] (maze), "achieved_goal" and
    "desired_goal": float64[3] or [2]}. Actions float32[4] or [2] in [-1, 1].
    """
    if render_mode is not None:
        prepare_mujoco()
    # The package greets on the error stream when it is imported.
    with needs_extra("robotics"), contextlib.redirect_stderr(io.StringIO()):
        import gymnasium_robotics  # noqa: F401 (registers the ids)
    env = gym.make(id, render_mode=render_mode, disable_env_checker=True)
    if id.startswith("PointMaze"):
        base: Any = env.unwrapped
        Path(base.tmp_xml_file_path).unlink()  # the package leaves one behind for each environment
    return FirstSuccess(env)


class FirstSuccess(gym.Wrapper):
    """Terminates at the first step within the goal's radius; `info["success"]` on every step, as a bool."""

    def step(self, action: Any):
        observation, reward, _, truncated, info = self.env.step(np.asarray(action, np.float32))
        success = bool(info["is_success"] if "is_success" in info else info["success"])
        truncated = bool(truncated) and not success
        return observation, float(np.asarray(reward).item()), success, truncated, {**info, "success": success}


STEP = 0.033
"""Metres that the gripper moves in one step at full action. It stops at once, so this is all of a controller."""


def reach_expert(env: gym.Env) -> ActionFunction:
    """Straight to the goal."""
    return lambda observation: _action(observation["desired_goal"] - observation["achieved_goal"])


def pick_and_place_expert(env: gym.Env) -> ActionFunction:
    """Over the block with open fingers, down, close, and straight to the goal. A function of the observation."""

    def act(observation: Observation) -> np.ndarray:
        state = observation["observation"]
        to_block, fingers = state[6:9], state[9] + state[10]
        if np.linalg.norm(to_block) < 0.02 and fingers < 0.055:
            held = abs(fingers - 0.05) < 0.004  # the block is 5 cm wide
            return _action((observation["desired_goal"] - state[3:6]) * held, gripper=-1)
        if np.linalg.norm(to_block) < 0.012:
            return _action(np.zeros(3), gripper=-1)
        above = np.linalg.norm(to_block[:2]) >= 0.015
        return _action(to_block + np.array([0, 0, 0.06]) * above, gripper=1)

    return act


def push_expert(env: gym.Env) -> ActionFunction:
    """Behind the block, over it if need be, and then towards the goal. A function of the observation."""

    def act(observation: Observation) -> np.ndarray:
        gripper, block = observation["observation"][:3], observation["observation"][3:6]
        distance, ahead, aside = _heading(observation["desired_goal"] - block)
        along, lateral = (gripper - block)[:2] @ ahead, (gripper - block)[:2] @ aside
        low, high = block[2] - 0.01 - gripper[2], block[2] + 0.06 - gripper[2]
        to_start = block[:2] - 0.08 * ahead - gripper[:2]
        if along < -0.03 and abs(lateral) < 0.012 and low > -0.03:
            forward = min(distance + 0.02, STEP)
            return _action(np.append(forward * ahead - lateral * aside, low))
        if np.linalg.norm(to_start) < 0.015 or (along < -0.06 and low > -0.04):
            return _action(np.append(to_start, low))
        # Up first, so that the way round does not touch the block.
        return _action(np.append(to_start * (high < 0.02), high))

    return act


def slide_expert(env: gym.Env) -> ActionFunction:
    """Onto the puck from above, drag it towards the goal, and lift off where the arm comes to its end.

    A hit from behind throws the puck off its course, because the fingers are flat. The arm lets go at less than
    0.8 m/s, and the puck stops within 0.3 m of it: the furthest goals are out of reach of this way.
    """
    table = 0.414  # height of the middle of a puck that lies on it

    def act(observation: Observation) -> np.ndarray:
        state = observation["observation"]
        gripper, puck = state[:3], state[3:6]
        velocity = (state[14:17] + state[20:23])[:2]  # metres a step; the first is relative to the gripper
        _, ahead, _ = _heading(observation["desired_goal"] - puck)
        to_puck = (puck - gripper)[:2]
        press, high = table + 0.04 - gripper[2], table + 0.07 - gripper[2]
        if velocity @ ahead > 0.02 and gripper[0] > 1.24:
            return _action(np.array([0, 0, STEP]))
        if np.linalg.norm(to_puck) < 0.03:
            on_it = press > -0.02
            return _action(np.append(0.04 * ahead + 0.5 * to_puck if on_it else to_puck, press))
        return _action(np.append((to_puck + 2 * velocity) * (high < 0.03), high))

    return act


def _heading(to_goal: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Distance over the table, the unit vector towards the goal, and the one across it."""
    distance = float(np.linalg.norm(to_goal[:2]))
    ahead = to_goal[:2] / max(distance, 1e-6)
    return distance, ahead, np.array([-ahead[1], ahead[0]])


def _action(move: np.ndarray, gripper: float = 0.0) -> np.ndarray:
    """The action that moves the gripper by that many metres, or as far as one step goes."""
    return np.append(np.clip(move / STEP, -1, 1), gripper).astype(np.float32)


def maze_expert(env: gym.Env) -> ActionFunction:
    """Along the shortest way of cells, by a proportional-derivative law to the middle of the next one.

    A function of the observation (position, velocity, goal) and of the maze, which is the same in every episode.
    """
    base: Any = env.unwrapped
    maze = base.maze
    free = frozenset(
        (row, column) for row, line in enumerate(maze.maze_map) for column, cell in enumerate(line) if cell != 1
    )

    def cell_of(point: np.ndarray) -> Cell:
        row, column = maze.cell_xy_to_rowcol(point)
        return int(row), int(column)

    def act(observation: Observation) -> np.ndarray:
        position, velocity = observation["observation"][:2], observation["observation"][2:]
        goal = observation["desired_goal"]
        here, there = cell_of(position), cell_of(goal)
        following = _next_cells(free, there).get(here, there)
        target = goal if here == there else maze.cell_rowcol_to_xy(following)
        return np.clip(4.0 * (target - position) - 0.8 * velocity, -1, 1).astype(np.float32)

    return act


Cell = tuple[int, int]


@cache
def _next_cells(free: frozenset[Cell], goal: Cell) -> dict[Cell, Cell]:
    """The neighbour of every free cell on a shortest way to the goal's."""
    following, queue = {goal: goal}, deque([goal])
    while queue:
        row, column = queue.popleft()
        for cell in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if cell in free and cell not in following:
                following[cell] = (row, column)
                queue.append(cell)
    return following


_FETCH = {
    "Reach": (reach_expert, "straight to the goal", ""),
    "Push": (push_expert, "scripted push from behind", ""),
    "Slide": (
        slide_expert,
        "scripted drag from above",
        "success is passing over the goal; the expert's puck stops short of goals in the furthest quarter",
    ),
    "PickAndPlace": (pick_and_place_expert, "scripted grasp", ""),
}
_MAZES = {"UMaze": 300, "Open": 300, "Medium": 600, "Large": 800}
_STARTS = {"UMaze": ("",), "Open": ("", "_Diverse_G", "_Diverse_GR")}
_ROW: dict[str, Any] = {"family": "robotics", "score": "success", "has_success": True, "extra": "robotics"}


def _fetch(name: str, suffix: str) -> Task:
    expert, how, note = _FETCH[name]
    return Task(
        id=f"Fetch{name}{suffix}-v4",
        make=partial(make, f"Fetch{name}{suffix}-v4"),
        expert=expert,
        horizon=50,
        episodes=200,
        note=note,
        provenance=f"Gymnasium-Robotics, ended at the first success; {how}",
        **_ROW,
    )


def _maze(name: str, starts: str, suffix: str) -> Task:
    id = f"PointMaze_{name}{starts}{suffix}-v3"
    return Task(
        id=id,
        make=partial(make, id),
        expert=maze_expert,
        horizon=_MAZES[name],
        # As the episode ends at the goal, whoever never gets there collects the dense reward for longer.
        note="the return is no score here: a failure collects more of it than a success" if suffix else "",
        provenance="Gymnasium-Robotics, ended at the first success; shortest way and a PD law",
        **_ROW,
    )


TASKS: tuple[Task, ...] = (
    *(_fetch(name, suffix) for name in _FETCH for suffix in ("", "Dense")),
    *(
        _maze(name, starts, suffix)
        for name in _MAZES
        for starts in _STARTS.get(name, _STARTS["Open"])
        for suffix in ("", "Dense")
    ),
)
