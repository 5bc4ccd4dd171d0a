"""Sokoban: push every box onto a target. Levels come from the reset seed, at random or out of a Boxoban file.

The rewards are those of Racaniere et al. 2017 (Imagination-Augmented Agents): -0.1 a step, +1 for a box pushed onto a
target and -1 for one pushed off, +10 for the last. The pictures are our own.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

from generalist.envs.experts.sokoban_solver import State, solve
from generalist.envs.sokoban_levels import Level, draw_level, read_boxoban
from generalist.envs.task import ActionFunction, Task

HORIZON = 120
TILE = 8
"""Pixels a cell."""


def make(height: int, width: int, boxes: int, render_mode: str | None = None) -> gym.Env:
    """Random levels of height x width cells, walls around them included."""
    return Sokoban(partial(draw_level, height=height, width=width, boxes=boxes), (height, width), render_mode)


def make_boxoban(path: str | Path, render_mode: str | None = None) -> gym.Env:
    """The levels of a file of https://github.com/google-deepmind/boxoban-levels; the reset seed picks one.

    Raises:
        ValueError: a damaged file, or levels of more than one size.
    """
    levels = read_boxoban(path)
    sizes = {(level.height, level.width) for level in levels}
    if len(sizes) > 1:
        raise ValueError(f"{path}: all levels of a file have one size, got {sorted(sizes)}")
    return Sokoban(lambda rng: levels[rng.integers(len(levels))], min(sizes), render_mode)


class Sokoban(gym.Env):
    """Observations uint8[8 * height, 8 * width, 3]; actions up, down, left, right: a step, or a push of one box."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (as Gymnasium has it)

    def __init__(
        self, draw: Callable[[np.random.Generator], Level], shape: tuple[int, int], render_mode: str | None = None
    ):
        self.observation_space = Box(0, 255, (TILE * shape[0], TILE * shape[1], 3), np.uint8)
        self.action_space = Discrete(4)
        self.render_mode = render_mode
        self._draw = draw

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self.level = self._draw(self.np_random)
        self.state: State = (self.level.player, self.level.boxes)
        self._steps = 0
        return self._picture(), {}

    def step(self, action: Any):
        before = len(self.state[1] & self.level.targets)
        self.state = moved(self.level, self.state, int(action))
        on_target = len(self.state[1] & self.level.targets)
        self._steps += 1
        success = on_target == len(self.level.boxes)
        reward = -0.1 + on_target - before + 10 * success
        truncated = self._steps >= HORIZON and not success
        return self._picture(), float(reward), success, truncated, {"success": success}

    def render(self) -> Any:
        """A frame uint8[32 * height, 32 * width, 3]."""
        return self._picture().repeat(4, axis=0).repeat(4, axis=1)

    def _picture(self) -> np.ndarray:
        return picture(self.level, self.state)


def moved(level: Level, state: State, action: int) -> State:
    """The state after a step or a push; the same one if a wall or a second box is in the way."""
    player, boxes = state
    ahead, beyond = player + level.directions[action], player + 2 * level.directions[action]
    if ahead in level.walls or (ahead in boxes and (beyond in level.walls or beyond in boxes)):
        return state
    return ahead, boxes - {ahead} | {beyond} if ahead in boxes else boxes


FLOOR, WALL, TARGET, BOX, BOX_ON_TARGET, PLAYER, PLAYER_ON_TARGET = range(7)


def picture(level: Level, state: State) -> np.ndarray:
    """uint8[8 * height, 8 * width, 3]."""
    player, boxes = state
    cells = np.full(level.height * level.width, FLOOR)
    cells[list(level.walls)] = WALL
    cells[list(level.targets)] = TARGET
    cells[list(boxes)] = BOX
    cells[list(boxes & level.targets)] = BOX_ON_TARGET
    cells[player] = PLAYER_ON_TARGET if player in level.targets else PLAYER
    tiles = _TILES[cells.reshape(level.height, level.width)]
    # [row, column, y, x, 3] -> [row, y, column, x, 3]
    return tiles.transpose(0, 2, 1, 3, 4).reshape(TILE * level.height, TILE * level.width, 3)


def _tiles() -> np.ndarray:
    """uint8[7, 8, 8, 3] in the order of the names above: shapes tell the kinds apart as well as colours."""
    down, right = np.indices((TILE, TILE)) - (TILE - 1) / 2
    edge = np.maximum(abs(down), abs(right))
    ring = (abs(down) + abs(right) > 2) & (abs(down) + abs(right) < 4)
    crate, cross, disc = edge < 3, abs(abs(down) - abs(right)) < 0.5, np.hypot(down, right) < 3
    tiles = np.zeros((7, TILE, TILE, 3), np.uint8)
    tiles[[FLOOR, TARGET, BOX, BOX_ON_TARGET, PLAYER, PLAYER_ON_TARGET]] = (24, 24, 28)
    tiles[WALL] = np.where((edge > 3)[..., None], (90, 84, 80), (120, 112, 106))
    tiles[[TARGET, PLAYER_ON_TARGET]] = np.where(ring[..., None], (225, 60, 60), tiles[TARGET])
    for box, color in ((BOX, (200, 140, 60)), (BOX_ON_TARGET, (90, 190, 80))):
        tiles[box][crate] = color
        tiles[box][crate & cross] = (70, 50, 30)
    tiles[PLAYER][disc] = (70, 140, 240)
    tiles[PLAYER_ON_TARGET][disc & ~ring] = (70, 140, 240)
    return tiles


_TILES = _tiles()


def planner_expert(env: gym.Env) -> ActionFunction:
    """A* on the whole level. It plans once, and anew whenever an action that was not its own led off the plan.

    It looks at the environment, not at the observation. Where the search finds nothing (no solution is left, or more
    states than its limit) it gives up: it answers "up" until the episode ends, which is then no success.
    """
    base: Any = env.unwrapped
    if not isinstance(base, Sokoban):
        raise ValueError(f"the Sokoban expert needs an environment made by envs.families.sokoban, got {env}")
    level, plan, hopeless = base.level, {}, set()

    def act(observation: np.ndarray) -> int:
        state = base.state
        if state not in plan and state[1] not in hopeless:
            actions = solve(level, *state)
            if actions is None:
                hopeless.add(state[1])
            plan.update(_along(level, state, actions or []))
        return plan.get(state, 0)

    return act


def _along(level: Level, state: State, actions: list[int]) -> dict[State, int]:
    """The action of each state on the way."""
    plan = {}
    for action in actions:
        plan[state] = action
        state = moved(level, state, action)
    return plan


def _task(height: int, width: int, boxes: int) -> Task:
    return Task(
        id=f"sokoban/{height}x{width}-{boxes}box",
        family="sokoban",
        make=partial(make, height, width, boxes),
        expert=planner_expert,
        horizon=HORIZON,
        score="return",
        has_success=True,
        episodes=1000,
        provenance="own environment with the rewards of Racaniere et al. 2017; A* over pushes",
    )


TASKS: tuple[Task, ...] = (
    _task(7, 7, 1),
    _task(7, 7, 2),
    _task(8, 8, 2),
    _task(8, 8, 3),
    _task(10, 10, 4),
)
