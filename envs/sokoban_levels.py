"""Sokoban levels: drawn at random so that they can be solved, or read from Boxoban files. No rules of play here.

Cells are numbers, row * width + column. The outermost cells of a level are walls, so a neighbour always exists.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Level:
    """Walls and targets, and where the boxes and the player start."""

    height: int
    width: int
    walls: frozenset[int]
    targets: frozenset[int]
    boxes: frozenset[int]
    player: int

    @property
    def directions(self) -> tuple[int, int, int, int]:
        """What up, down, left and right add to a cell; the order of the actions."""
        return -self.width, self.width, -1, 1


_MARKS = {" ": "", "#": "w", ".": "t", "$": "b", "*": "tb", "@": "p", "+": "tp"}


def parse_level(rows: list[str]) -> Level:
    """A level in the usual letters: # wall, $ box, . target, * box on target, @ player, + player on target.

    Raises:
        ValueError: no rectangle closed by walls, another letter, not one player, or not one target for each box.
    """
    height, width = len(rows), len(rows[0]) if rows else 0
    if height < 3 or width < 3 or any(len(row) != width for row in rows):
        raise ValueError(f"a level is a rectangle of at least 3 x 3, got rows of {[len(row) for row in rows]} letters")
    text = "".join(rows)
    if strange := set(text) - set(_MARKS):
        raise ValueError(f"a level has only the letters {''.join(_MARKS)!r}, got {''.join(sorted(strange))!r}")
    walls, targets, boxes, players = (
        frozenset(cell for cell, letter in enumerate(text) if mark in _MARKS[letter]) for mark in "wtbp"
    )
    if len(players) != 1 or not boxes or len(boxes) != len(targets):
        counts = f"{len(players)} players, {len(boxes)} boxes and {len(targets)} targets"
        raise ValueError(f"a level has one player and as many boxes as targets, at least one; got {counts}")
    if any("#" * width != row for row in (rows[0], rows[-1])) or any(row[0] + row[-1] != "##" for row in rows):
        raise ValueError("a level is closed by walls, got one with another letter at its edge")
    return Level(height, width, walls, targets, boxes, min(players))


def read_boxoban(path: str | Path) -> tuple[Level, ...]:
    """The levels of a file of DeepMind's boxoban-levels: a line "; 0", the rows, an empty line, and so on.

    Raises:
        ValueError: a damaged file; the message has its name and the level's.
    """
    levels: list[tuple[str, list[str]]] = []
    for line in Path(path).read_text().splitlines():
        if line.startswith(";"):
            levels.append((line[1:].strip(), []))
        elif line.strip() and not levels:
            raise ValueError(f"{path}: a Boxoban file starts with a line like '; 0', got {line!r}")
        elif line.strip():
            levels[-1][1].append(line)
    if not levels:
        raise ValueError(f"{path}: no level: a Boxoban file has a line like '; 0' before each")
    return tuple(_named(path, name, rows) for name, rows in levels)


def _named(path: str | Path, name: str, rows: list[str]) -> Level:
    try:
        return parse_level(rows)
    except ValueError as error:
        raise ValueError(f"{path}: level {name}: {error}") from error


def draw_level(rng: np.random.Generator, height: int, width: int, boxes: int) -> Level:
    """A level that can be solved: a room dug at random, boxes on their targets, and then pulled away from them.

    A pull is a push played backwards (Racaniere et al. 2017, appendix, draw their levels in this way as well).
    """
    while True:
        walls = _dig(rng, height, width)
        floor = [cell for cell in range(height * width) if cell not in walls]
        if len(floor) < 2 * boxes + 6:
            continue
        *targets, player = (int(cell) for cell in rng.choice(floor, boxes + 1, replace=False))
        solved = Level(height, width, walls, frozenset(targets), frozenset(targets), player)
        if (level := _pulled_apart(solved, rng)) is not None:
            return level


_STAMPS = ("....x....", "....xx...", "....x..x.", "...xx..x.", "...xx.xx.")
"""What is dug at each place of the walk: 3 x 3 cells, x for floor."""


def _dig(rng: np.random.Generator, height: int, width: int) -> frozenset[int]:
    """Walls of a room: the walk of a digger that turns now and then, with a random stamp at every place."""
    room = np.ones((height, width), bool)
    row, column = int(rng.integers(1, height - 1)), int(rng.integers(1, width - 1))
    direction = int(rng.integers(4))
    for _ in range(3 * (height + width) // 2):
        stamp = _STAMPS[rng.integers(len(_STAMPS))]
        for place in (index for index, letter in enumerate(stamp) if letter == "x"):
            down, right = row + place // 3 - 1, column + place % 3 - 1
            if 0 < down < height - 1 and 0 < right < width - 1:
                room[down, right] = False
        if rng.random() < 0.35:
            direction = int(rng.integers(4))
        step = ((-1, 0), (1, 0), (0, -1), (0, 1))[direction]
        row = int(np.clip(row + step[0], 1, height - 2))
        column = int(np.clip(column + step[1], 1, width - 2))
    return frozenset(int(cell) for cell in np.flatnonzero(room))


_PULLS = 25
"""Random pulls for each box."""


def _pulled_apart(level: Level, rng: np.random.Generator) -> Level | None:
    """The state of a random backward play whose boxes are the furthest from where they were, none on a target."""
    homes = {box: box for box in level.boxes}  # where it is now -> where it began
    player, best, score = level.player, None, 0
    for _ in range(_PULLS * len(homes)):
        region = reachable(level, homes, player)
        pulls = _pulls(level, homes, region)
        if not pulls:
            break
        box, direction = pulls[rng.integers(len(pulls))]
        homes[box + direction] = homes.pop(box)
        player = box + 2 * direction
        far = sum(_distance(level, box, home) for box, home in homes.items())
        if far > score and not level.targets & homes.keys():
            best, score = (frozenset(homes), sorted(reachable(level, homes, player))), far
    if best is None or score < 2 * len(homes):
        return None
    boxes, region = best
    return Level(level.height, level.width, level.walls, level.targets, boxes, int(rng.choice(region)))


def _pulls(level: Level, boxes: Iterable[int], region: set[int]) -> list[tuple[int, int]]:
    """(box, direction) such that the player stands on that side of the box and can step back."""
    occupied = level.walls | set(boxes)
    return [
        (box, direction)
        for box in sorted(boxes)
        for direction in level.directions
        if box + direction in region and box + 2 * direction not in occupied
    ]


def _distance(level: Level, one: int, other: int) -> int:
    down, right = one // level.width - other // level.width, one % level.width - other % level.width
    return abs(down) + abs(right)


def reachable(level: Level, boxes: Iterable[int], player: int) -> set[int]:
    """The cells that the player can walk to without pushing, its own included."""
    blocked = level.walls | set(boxes)
    seen, border = {player}, [player]
    while border:
        cell = border.pop()
        for direction in level.directions:
            if cell + direction not in blocked and cell + direction not in seen:
                seen.add(cell + direction)
                border.append(cell + direction)
    return seen
