"""Reading a maze's frame and stepping along a shortest way, on frames painted here."""

import numpy as np
import pytest

from generalist.envs.experts import maze_eye
from generalist.envs.experts.maze_eye import CELLS, CHEESE, DOWN, LEFT, MOUSE, RIGHT, STAY, UP, WALL

FLOOR = (100, 50, 8)


def painted(free: np.ndarray, mouse, cheese) -> np.ndarray:
    """A frame of cells as the engine draws them: to the nearest pixel; animals fill a part of theirs."""
    edges = np.round(np.arange(CELLS + 1) * 64 / CELLS).astype(int)
    frame = np.full((64, 64, 3), WALL[0], np.uint8)
    for row, column in np.argwhere(free):
        frame[edges[row] : edges[row + 1], edges[column] : edges[column + 1]] = FLOOR
    for (row, column), colours in ((mouse, MOUSE), (cheese, CHEESE)):
        frame[edges[row] + 1 : edges[row] + 3, edges[column] + 1 : edges[column] + 3] = colours[0]
    return frame


def corridors() -> np.ndarray:
    """A ring with a wall in the middle, whose cheese is nearer one way round than the other."""
    free = np.zeros((CELLS, CELLS), bool)
    free[2, 2:13] = free[12, 2:13] = free[2:13, 2] = free[2:13, 12] = True
    return free


@pytest.mark.parametrize(
    ("mouse", "action"), [((2, 5), LEFT), ((2, 8), RIGHT), ((3, 2), DOWN), ((4, 12), DOWN), ((12, 8), LEFT)]
)
def test_the_mouse_goes_the_shorter_way_round(mouse, action):
    assert maze_eye.to_the_cheese(painted(corridors(), mouse, (12, 6))) == action


def test_a_way_up_is_up():
    assert maze_eye.to_the_cheese(painted(corridors(), (12, 2), (2, 3))) == UP


def test_without_a_way_it_stays():
    free = corridors()
    free[7, 7] = True
    assert maze_eye.to_the_cheese(painted(free, (7, 7), (2, 2))) == STAY


def test_cells_are_counted_where_they_are_drawn():
    free = np.random.default_rng(0).random((CELLS, CELLS)) < 0.5
    free[0, 0] = True
    assert np.array_equal(maze_eye.counts(painted(free, (0, 0), (0, 0)), WALL, CELLS) > 0, ~free)


def test_the_frame_is_not_changed():
    frame = painted(corridors(), (2, 5), (12, 6))
    before = frame.copy()
    maze_eye.to_the_cheese(frame)
    assert np.array_equal(frame, before)
