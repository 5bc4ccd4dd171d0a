"""Mazes of Procgen (Cobbe et al. 2020), read from the frame alone and solved by breadth-first search.

A frame shows the whole world of square cells; its walls have one colour in every theme, its floors one of many. What
stands in a cell is told by counting the pixels of its colours. Nothing is remembered between frames.
"""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order

Colours = tuple[tuple[int, int, int], ...]
Cell = tuple[int, int]
"""(row from the top, column from the left)"""

LEFT, DOWN, STAY, UP, RIGHT = 1, 3, 4, 5, 7
STEPS: dict[Cell, int] = {(0, -1): LEFT, (1, 0): DOWN, (-1, 0): UP, (0, 1): RIGHT}
"""Actions of the engine by the step that they make."""

CELLS = 15
"""Of a side of the easy world; smaller mazes have walls around them."""
WALL: Colours = ((195, 145, 97),)
MOUSE: Colours = ((187, 203, 204), (199, 212, 212))
CHEESE: Colours = ((253, 155, 37), (254, 231, 98))
WITHIN = 12
"""Of 255, that a pixel's red, green and blue may differ from a colour's."""


def to_the_cheese(frame: np.ndarray) -> int:
    """Action of the mouse in a frame uint8[64, 64, 3] of the easy maze: the first step of a shortest way."""
    free = counts(frame, WALL, CELLS) < frame[:, :, 0].size / CELLS**2 / 2
    return step_towards(free, most(counts(frame, MOUSE, CELLS)), most(counts(frame, CHEESE, CELLS)))


def counts(frame: np.ndarray, colours: Colours, cells: int) -> np.ndarray:
    """int[cells, cells]: how many pixels of a frame uint8[side, side, 3] have one of the colours, in each cell."""
    distance = np.abs(frame.astype(int)[:, :, None] - np.array(colours)).max(axis=-1)
    pixels = np.argwhere((distance <= WITHIN).any(axis=-1))
    rows, columns = ((pixels + 0.5) * cells / len(frame)).astype(int).T
    return np.bincount(rows * cells + columns, minlength=cells**2).reshape(cells, cells)


def most(counted: np.ndarray) -> Cell:
    """The cell with the highest count."""
    row, column = np.unravel_index(counted.argmax(), counted.shape)
    return int(row), int(column)


def step_towards(free: np.ndarray, here: Cell, goal: Cell) -> int:
    """Action of the first step of a shortest way over cells bool[side, side] that are free; `STAY` without a way."""
    side = len(free)
    cells = np.arange(side**2).reshape(side, side)
    across, down = free[:, 1:] & free[:, :-1], free[1:] & free[:-1]
    one = np.concatenate([cells[:, :-1][across], cells[:-1][down]])
    other = np.concatenate([cells[:, 1:][across], cells[1:][down]])
    graph = csr_array((np.ones(len(one)), (one, other)), shape=(side**2, side**2))
    _, before = breadth_first_order(graph, cells[goal], directed=False)
    row, column = divmod(int(before[cells[here]]), side)
    return STEPS.get((row - here[0], column - here[1]), STAY)
