"""Procgen's fruitbot (Cobbe et al. 2020) from the frame alone: through gaps, to fruit, around other food, to locks.

The robot at the bottom rises by half a pixel a step; an action to a side moves it by 2.7 pixels in all, as it slides.
What a pixel shows is told by its colour: the engine draws things in few colours, exactly, on any background. The best
way from the robot to the top of the frame is found by dynamic programming, row by row, and its first step taken.
Nothing is remembered between frames.
"""

import numpy as np
from scipy.ndimage import maximum_filter1d

LEFT, STAY, RIGHT, FIRE = 1, 4, 7, 9

ROBOT = ((164, 180, 198),)
LOCK = ((234, 121, 46),)
FRUIT = ((253, 155, 37), (52, 113, 69), (96, 190, 78), (254, 231, 98), (181, 112, 82), (114, 64, 56), (32, 59, 71))
FOOD = (
    *((249, 211, 174), (228, 164, 103), (188, 106, 69), (252, 116, 116), (30, 206, 255)),
    *((0, 130, 229), (157, 178, 200), (172, 86, 135), (108, 57, 113)),
)
"""Colours of fruit (reward 1) and of other food (reward -4) that the other has not."""

SIDE = 64
ROWS = 63
"""Of the frame from the top that count; the robot's body is in the last two."""
COLUMNS = np.arange(SIDE)
REACH = np.arange(-3, 4)
"""Columns that a way goes to a side from one row to the next."""
NEXT = np.clip(COLUMNS[:, None] + REACH, 0, SIDE - 1)
EFFORT, FIRST_EFFORT = 0.02, 0.005
"""Costs by the square of the columns to a side, of a row and of the first step: a straight way is the cheapest."""
LATER = 0.95
"""Of its worth that a thing keeps for every row that it is farther."""
CRASH, GRAZE = 100.0, 2.0
"""Costs of each row of a wall, within two columns from it, and within three and four (each)."""
AIM = 1.6
"""Columns within which a key hits a lock."""
RANGE = 16
"""Rows that a key flies, above the robot's feet."""


def to_the_fruit(frame: np.ndarray) -> int:
    """Action of the robot in a frame uint8[64, 64, 3] of hard levels: `LEFT`, `RIGHT`, `STAY`, or `FIRE` a key."""
    codes = packed(frame[:ROWS])
    body = np.nonzero(np.isin(codes[-2:], packed(ROBOT)))[1]
    if not len(body):
        return STAY
    robot, lock = body.mean(), np.isin(codes, packed(LOCK))
    rows, columns = np.nonzero(lock)
    if len(rows) and rows.max() >= ROWS - 1 - RANGE and abs(columns[rows > rows.max() - 4].mean() - robot) <= AIM:
        return FIRE
    ways = worth_of_ways(rewards(frame[:ROWS], codes, lock))
    aside = (ways - FIRST_EFFORT * (COLUMNS - robot) ** 2).argmax() - robot
    if abs(aside) < 1.5:
        return STAY
    return RIGHT if aside > 0 else LEFT


def packed(colours: np.ndarray | tuple[tuple[int, int, int], ...]) -> np.ndarray:
    """int[...]: a number for each of the colours [..., 3]."""
    return np.asarray(colours).astype(int) @ np.array([1 << 16, 1 << 8, 1])


def rewards(frame: np.ndarray, codes: np.ndarray, lock: np.ndarray) -> np.ndarray:
    """float[rows, 64]: what the robot gains in each pixel of a frame; a thing is met on six rows or so.

    The only way through a row with a lock is at the lock, which a key opens from below.
    """
    wall = walls(frame)
    fruit, food = (np.isin(codes, packed(colours)) for colours in (FRUIT, FOOD))
    gain = (around(fruit, 1) - 3.0 * around(food, 3) - around(food, 4)) / 6
    gain -= CRASH * around(wall, 2) + GRAZE * (around(wall, 3) + around(wall, 4))
    opened = around(lock, 0) > 0
    return np.where(opened.any(axis=1, keepdims=True), np.where(opened, 0, -CRASH), gain)


def walls(frame: np.ndarray) -> np.ndarray:
    """bool[rows, 64]: pixels of walls, which are bluish grey, in rows with many of them; such rows end in walls, though
    these may be too thin to be drawn."""
    red, green, blue = np.moveaxis(frame.astype(float), -1, 0)
    grey = (red >= 138) & (red <= 183) & (abs(green - 1.117 * red) < 5) & (abs(blue - 1.15 * red) < 6)
    rows = grey.sum(axis=1, keepdims=True) >= SIDE / 4
    return rows & (grey | (COLUMNS == 0) | (COLUMNS == SIDE - 1))


def around(seen: np.ndarray, columns: int) -> np.ndarray:
    """int[rows, 64]: 1 where the feet are when the robot, four rows high, has something seen within so many columns."""
    wide = maximum_filter1d(seen.astype(int), 2 * columns + 1, axis=1)
    return maximum_filter1d(wide, 4, axis=0, origin=1)


def worth_of_ways(gain: np.ndarray) -> np.ndarray:
    """float[64]: the sum of the best way that ends in each column of the last row, from any column of the first."""
    worth, effort = np.zeros(SIDE), EFFORT * REACH**2
    for row in gain:
        worth = row + LATER * (worth[NEXT] - effort).max(axis=1)
    return worth
