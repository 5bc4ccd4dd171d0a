"""Marksmen for scenarios of ViZDoom (Kempka et al. 2016): they see the frame alone, and remember nothing or one action.

A frame uint8[84, 84, channels] looks straight ahead, so that whoever stands crosses the row of the horizon and a shot
goes to the middle column. Monsters are told from the rooms by their colours.
"""

from typing import Any

import numpy as np
from scipy import ndimage

from generalist.envs.task import ActionFunction

NONE, RIGHT, LEFT, SHOOT = range(4)
"""Actions: none, move or turn right, move or turn left, attack; 4 and 5 are the moves with a shot."""

MIDDLE = 41.5
"""Column of the aim."""
NEAR = 2.5
"""Columns from the middle within which a shot at a monster of some five columns hits; after a move one slides on."""


def strafe_to_blue(frame: np.ndarray) -> int:
    """Basic: brings the monster, who alone is blue, before the gun and shoots."""
    red, _, blue = np.moveaxis(frame.astype(int), -1, 0)
    return _strafe(blue - red > 20)


def strafe_to_dark(frame: np.ndarray) -> int:
    """Basic with rockets, in grey: the monster is the darkest before the wall, between the ceiling and the floor."""
    wall = slice(34, 50)
    return _strafe(frame[wall, :, 0] < 30)


def letting_go(act: ActionFunction) -> ActionFunction:
    """The same with none after each shot: a launcher does not fire while attack is held since before it was ready."""
    last = NONE

    def pulsed(frame: np.ndarray) -> int:
        nonlocal last
        wanted = act(frame)
        last = NONE if wanted == last == SHOOT else wanted
        return last

    return pulsed


def _strafe(monster: np.ndarray) -> int:
    columns = np.nonzero(monster)[1]
    return _aim(columns.mean() - MIDDLE, NEAR) if len(columns) else SHOOT


def _aim(to_the_right: float, near: float) -> int:
    if abs(to_the_right) <= near:
        return SHOOT
    return RIGHT if to_the_right > 0 else LEFT


def turn_to_widest(frame: np.ndarray) -> int:
    """Defend the center: turns to the monster that looks widest, which is the nearest, and shoots while it is in front.

    Demons are red and marines bluish before a brown wall. Those under three columns are too far to be hit by turns of
    seven columns and more; where there is none it looks around.
    """
    red, green, blue = np.moveaxis(frame[HORIZON].astype(int), -1, 0)
    monster = (red - green > 45) | (blue > red - 5)
    labelled: Any = ndimage.label(monster.any(axis=0))  # its type says it may be a number, which it is with an output
    labels, _ = labelled
    spans = [(found.start, found.stop) for (found,) in ndimage.find_objects(labels) if found.stop - found.start >= 3]
    if not spans:
        return RIGHT
    start, stop = max(spans, key=_nearness)
    return _aim((start + stop - 1) / 2 - MIDDLE, (stop - start) / 2)


HORIZON = slice(38, 45)
"""Rows above the floor, where corpses lie, and the gun."""


def _nearness(span: tuple[int, int]) -> float:
    """Its columns, less one for ten columns that it is off the middle."""
    start, stop = span
    return stop - start - abs((start + stop - 1) / 2 - MIDDLE) / 10
