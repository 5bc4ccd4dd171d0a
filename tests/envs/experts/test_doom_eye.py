"""Where the marksmen go and when they shoot, on frames painted here."""

import numpy as np
import pytest

from generalist.envs.experts.doom_eye import (
    LEFT,
    NONE,
    RIGHT,
    SHOOT,
    letting_go,
    strafe_to_blue,
    strafe_to_dark,
    turn_to_widest,
)

WALL, BLUE, RED = (110, 85, 60), (20, 20, 90), (180, 70, 70)


def room(*monsters: tuple[slice, tuple[int, int, int]]) -> np.ndarray:
    """A brown room with a monster in each of the columns, from above the horizon to below it."""
    frame = np.full((84, 84, 3), WALL, np.uint8)
    for columns, colour in monsters:
        frame[36:50, columns] = colour
    return frame


@pytest.mark.parametrize(
    ("first", "action"), [(20, LEFT), (35, LEFT), (38, SHOOT), (41, SHOOT), (45, RIGHT), (70, RIGHT)]
)
def test_a_monster_is_brought_before_the_gun(first, action):
    frame = room((slice(first, first + 5), BLUE))
    assert strafe_to_blue(frame) == action
    dark = np.full((84, 84, 1), 120, np.uint8)
    dark[36:50, first : first + 5] = 10
    assert strafe_to_dark(dark) == action


def test_what_is_dark_above_and_below_the_wall_is_no_monster():
    frame = np.full((84, 84, 1), 120, np.uint8)
    frame[36:50, 60:65] = 10
    frame[:30, :40] = frame[60:, :40] = 10
    assert strafe_to_dark(frame) == RIGHT


@pytest.mark.parametrize("colour", [BLUE, RED])
def test_it_turns_to_the_nearest_and_shoots_in_front(colour):
    assert turn_to_widest(room((slice(10, 20), colour), (slice(60, 64), colour))) == LEFT
    assert turn_to_widest(room((slice(10, 14), colour), (slice(60, 70), colour))) == RIGHT
    assert turn_to_widest(room((slice(37, 45), colour))) == SHOOT
    assert turn_to_widest(room((slice(44, 48), colour))) == RIGHT


def test_of_two_of_one_width_the_one_nearer_the_middle_is_turned_to():
    assert turn_to_widest(room((slice(5, 10), RED), (slice(55, 60), RED))) == RIGHT


def test_it_looks_around_where_nobody_is_or_all_are_far():
    assert turn_to_widest(room()) == RIGHT
    assert turn_to_widest(room((slice(20, 22), RED))) == RIGHT


def test_a_corpse_on_the_floor_is_no_monster():
    frame = room((slice(10, 14), RED))
    frame[50:60, 36:60] = RED
    assert turn_to_widest(frame) == LEFT


def test_the_trigger_is_let_go_after_each_shot_and_moves_are_as_they_were():
    wanted = [SHOOT, SHOOT, SHOOT, LEFT, LEFT, SHOOT, SHOOT]
    act = letting_go(lambda index: wanted[index])
    assert [act(index) for index in range(7)] == [SHOOT, NONE, SHOOT, LEFT, LEFT, SHOOT, NONE]
