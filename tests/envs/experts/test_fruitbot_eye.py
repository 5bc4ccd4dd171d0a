"""Steering the robot by a frame, on frames painted here."""

import numpy as np
import pytest

from generalist.envs.experts import fruitbot_eye
from generalist.envs.experts.fruitbot_eye import FIRE, FOOD, FRUIT, LEFT, LOCK, RIGHT, ROBOT, STAY, to_the_fruit

GROUND, STONE, FENCE = (90, 45, 7), (169, 189, 195), (77, 92, 93)


def painted(robot: int = 32, things: tuple = (), gaps: tuple = ()) -> np.ndarray:
    """A frame with the robot in a column, things (colour, row, column) of 3x3 pixels, and walls (row, first and last
    column of the gap) of two rows."""
    frame = np.full((64, 64, 3), GROUND, np.uint8)
    for row, first, last in gaps:
        frame[row : row + 2] = STONE
        frame[row : row + 2, first : last + 1] = GROUND
    for colour, row, column in things:
        frame[row - 1 : row + 2, column - 1 : column + 2] = colour
    frame[61:63, robot] = ROBOT[0]
    return frame


@pytest.mark.parametrize(("first", "last", "action"), [(8, 16, LEFT), (50, 58, RIGHT), (28, 36, STAY)])
def test_it_goes_to_the_gap_of_the_next_wall(first, last, action):
    assert to_the_fruit(painted(gaps=((40, first, last),))) == action


def test_it_keeps_away_from_the_end_of_a_wall_that_it_would_graze():
    assert to_the_fruit(painted(robot=31, gaps=((56, 29, 45),))) == RIGHT


@pytest.mark.parametrize("colour", FRUIT)
def test_it_goes_to_fruit(colour):
    assert to_the_fruit(painted(things=((colour, 52, 24),))) == LEFT
    assert to_the_fruit(painted(things=((colour, 52, 40),))) == RIGHT


@pytest.mark.parametrize("colour", FOOD)
def test_it_steps_aside_of_other_food_and_does_not_go_to_it(colour):
    assert to_the_fruit(painted(things=((colour, 54, 31),))) == RIGHT
    assert to_the_fruit(painted(things=((colour, 54, 33),))) == LEFT
    assert to_the_fruit(painted(things=((colour, 52, 40),))) == STAY


def test_a_gap_is_worth_more_than_fruit_before_it():
    assert to_the_fruit(painted(things=((FRUIT[0], 56, 40),), gaps=((54, 12, 26),))) == LEFT


def fenced(robot: int, row: int) -> np.ndarray:
    frame = painted(robot, gaps=((row, 20, 40),))
    frame[row : row + 2, 20:41] = FENCE
    frame[row - 1 : row + 2, 39:41] = LOCK[0]
    return frame


@pytest.mark.parametrize(("robot", "row", "action"), [(25, 50, RIGHT), (50, 50, LEFT), (40, 50, FIRE), (40, 30, STAY)])
def test_a_lock_is_gone_to_and_opened_when_a_key_reaches_it(robot, row, action):
    assert to_the_fruit(fenced(robot, row)) == action


def test_a_way_is_as_good_as_the_best_of_all_ways():
    """Of every way over four rows, one by one."""
    gain = np.random.default_rng(0).normal(size=(4, fruitbot_eye.SIDE))
    expected = np.full(fruitbot_eye.SIDE, -np.inf)

    def walk(row: int, column: int, worth: float) -> None:
        for aside in fruitbot_eye.REACH:
            there = column + int(aside)
            if 0 <= there < fruitbot_eye.SIDE:
                now = gain[row, there] + fruitbot_eye.LATER * (worth - fruitbot_eye.EFFORT * aside**2)
                if row == len(gain) - 1:
                    expected[there] = max(expected[there], now)
                else:
                    walk(row + 1, there, now)

    for column in range(fruitbot_eye.SIDE):
        walk(0, column, 0.0)
    inside = slice(3, -3)  # at the border a way may lean on it, for more effort
    assert np.allclose(fruitbot_eye.worth_of_ways(gain)[inside], expected[inside])


def test_without_a_robot_it_stays_and_the_frame_is_not_changed():
    frame = painted(things=((FRUIT[0], 52, 24),))
    before = frame.copy()
    to_the_fruit(frame)
    assert np.array_equal(frame, before)
    frame[61:63] = GROUND
    assert to_the_fruit(frame) == STAY


def test_walls_end_at_the_border_and_a_few_grey_pixels_are_none():
    frame = painted(things=((STONE, 20, 30),), gaps=((40, 20, 63),))
    expected = np.zeros((64, 64), bool)
    expected[40:42, :20] = expected[40:42, 63] = True
    assert np.array_equal(fruitbot_eye.walls(frame), expected)


def test_the_robot_is_four_rows_high_and_a_wall_within_two_columns_ends_the_level():
    frame = painted(gaps=((40, 20, 30),))
    gain = fruitbot_eye.rewards(frame, fruitbot_eye.packed(frame), np.zeros((64, 64), bool))
    crashed = gain <= -fruitbot_eye.CRASH
    assert crashed[40:45, [21, 29]].all()
    assert not crashed[40:45, 22:29].any()
    assert not crashed[39].any()
    assert not crashed[45].any()
