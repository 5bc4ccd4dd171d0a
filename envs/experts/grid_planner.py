"""Planning on a whole MiniGrid level: the next action towards a pose, clearing what is in the way.

It sees the true grid, also what the agent does not see, and plans anew at every step. Shortest routes go through closed
doors, and at a price through locked doors and over objects; the first of these on a route is cleared: its key is
fetched (out of a box if need be), or it is carried away.
"""

from collections.abc import Collection, Iterator
from heapq import heappop, heappush
from typing import Any

LEFT, RIGHT, FORWARD, PICK_UP, DROP, TOGGLE, DONE = range(7)
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""What a step adds to (x, y) in the directions right, down, left, up."""

Cell = tuple[int, int]
Pose = tuple[int, int, int]
"""x, y, direction."""

OBJECT, LOCKED, NEW = 50, 200, 1000
"""Steps that a route may be longer rather than pass an object, a locked door without its key, and one that no route
has passed before: once a way is chosen, the next plans keep to it."""


class NoWay(Exception):  # noqa: N818 (not an error of the program: the level cannot be solved from here)
    """No route leads there, whatever is cleared."""


def at(cells: Collection[Cell]) -> set[Pose]:
    """Every pose on one of the cells."""
    return {(x, y, direction) for x, y in cells for direction in range(4)}


def facing(cell: Cell) -> set[Pose]:
    """The four poses from which that cell is in front."""
    return {(cell[0] - dx, cell[1] - dy, direction) for direction, (dx, dy) in enumerate(STEPS)}


class Planner:
    """Plans for one episode of a MiniGrid environment.

    Args:
        base: the unwrapped environment; it is only read.
        movable: whether objects in the way are carried away; else they are walls.
    """

    def __init__(self, base: Any, movable: bool = True):
        self.base = base
        self._movable = movable
        self._accepted: dict[int, Any] = {}  # what routes have passed, by identity
        self._clearing: list[Any] = []
        self._wanted: set[Cell] = set()
        self._unwanted: Any = None  # what is carried, once it is to be put away

    @property
    def pose(self) -> Pose:
        x, y = self.base.agent_pos
        return int(x), int(y), int(self.base.agent_dir)

    def look(self, cell: Cell) -> Any:
        """What lies or stands there; a wall outside of the grid is never asked for."""
        return self.base.grid.get(*cell)

    def find(self, kind: str, color: str | None = None) -> list[Cell]:
        """Cells with such an object."""
        return [cell for cell, thing in self.things() if thing.type == kind and (color is None or thing.color == color)]

    def towards(self, goals: Collection[Pose]) -> int | None:
        """The next action on the way to the nearest of the poses; None if it stands there. Raises NoWay."""
        if not self._clearing:
            self._accepted.pop(id(self.base.carrying), None)
            if self._unwanted is not None and self._unwanted is self.base.carrying:
                return self.put_away()
        route = self._route(goals)
        if not self._clearing:
            self._wanted = {(x, y) for x, y, _ in route}
        obstacles = [((x, y), self.look((x, y))) for x, y, _ in route if self._hard(self.look((x, y)))]
        self._accepted.update((id(thing), thing) for _, thing in obstacles)
        if obstacles:
            return self._clear(*obstacles[0])
        return self._first_action(route[0]) if route else None

    def use(self, cell: Cell, action: int) -> int:
        """Go in front of the cell and do that."""
        step = self.towards(facing(cell))
        return action if step is None else step

    def pick_up(self, cell: Cell) -> int:
        """Go there and take it, putting away first what is carried."""
        step = self.towards(facing(cell))
        if step is not None:
            return step
        return PICK_UP if self.base.carrying is None else self.put_away()

    def open(self, cell: Cell) -> int:
        """Go in front of a door and open it, with its key if it is locked."""
        step = self.towards(at([cell]))
        return DONE if step is None else step

    def put_away(self) -> int:
        """Drop what is carried where it is least in the way; further plans go on with it until it is done."""
        self._unwanted = self.base.carrying
        best = None
        for pose, (cost, _) in self._search(hard=False).items():
            cell = _front(pose)
            if self._inside(cell) and self.look(cell) is None and cell != self.pose[:2]:
                best = min(best or (10**6, pose), (cost + self._harm(cell), pose))
        if best is None:
            raise NoWay("no place to put an object down")
        route = self._route([best[1]])
        return self._first_action(route[0]) if route else DROP

    def _clear(self, cell: Cell, thing: Any) -> int:
        if any(thing is other for other in self._clearing):
            raise NoWay("what is in the way can only be cleared from its other side")
        self._clearing.append(thing)
        try:
            if thing.type == "door":
                return self._fetch_key(thing.color)
            return self.pick_up(cell) if thing.contains is None else self.use(cell, TOGGLE)
        finally:
            self._clearing.pop()

    def _fetch_key(self, color: str) -> int:
        keys = self._keys(color)
        if not keys:
            raise NoWay(f"no {color} key")
        if keys[0] is None:
            return self.put_away()
        return self.pick_up(keys[0]) if self.look(keys[0]).type == "key" else self.use(keys[0], TOGGLE)

    def _keys(self, color: str) -> list[Cell | None]:
        """Where keys of that colour are, bare ones first; None if one is in a box that is carried."""
        carried = self.base.carrying
        boxes = [cell for cell, thing in self.things() if _holds_key(thing, color)]
        return self.find("key", color) + ([None] if carried is not None and _holds_key(carried, color) else []) + boxes

    def _route(self, goals: Collection[Pose]) -> list[Pose]:
        """The poses after the present one on the cheapest way to one of the goals."""
        goals = set(goals)
        found = self._search(goals=goals)
        reached = [(found[goal][0], goal) for goal in goals if goal in found]
        if not reached:
            raise NoWay("no route")
        route, pose = [], min(reached)[1]
        while pose != self.pose:
            route.append(pose)
            pose = found[pose][1]
        return route[::-1]

    def _search(self, goals: Collection[Pose] = (), hard: bool = True) -> dict[Pose, tuple[int, Pose]]:
        """Dijkstra from the present pose until the first goal: {pose: (cost, pose before)}."""
        goal_cells = {(x, y) for x, y, _ in goals}
        found, done, heap = {self.pose: (0, self.pose)}, set(), [(0, self.pose)]
        while heap:
            cost, pose = heappop(heap)
            if pose in done:
                continue
            done.add(pose)
            if pose in goals:
                break
            x, y, direction = pose
            turns = [((x, y, (direction + turn) % 4), 1) for turn in (-1, 1)]
            ahead = _front(pose)
            price = self._price(ahead, goal_cells, hard)
            for after, step in [*turns, *([] if price is None else [((*ahead, direction), price)])]:
                if after not in found or cost + step < found[after][0]:
                    found[after] = (cost + step, pose)
                    heappush(heap, (cost + step, after))
        return found

    def _price(self, cell: Cell, goal_cells: Collection[Cell], hard: bool) -> int | None:
        """Actions that entering a cell takes; None if it cannot be entered."""
        if not self._inside(cell):
            return None
        thing = self.look(cell)
        if thing is None or thing.type == "floor":
            return 1
        if thing.type == "goal":
            return 1 if cell in goal_cells else None
        if thing.type == "door" and not self._hard(thing):
            return 1 if thing.is_open else 2
        if not hard or not self._hard(thing) or (thing.type == "door" and not self._keys(thing.color)):
            return None
        return (LOCKED if thing.type == "door" else OBJECT) + (0 if id(thing) in self._accepted else NEW)

    def _hard(self, thing: Any) -> bool:
        """Whether it must be cleared before one can go there."""
        if thing is None or thing.type not in ("door", "key", "ball", "box"):
            return False
        if thing.type == "door":
            key = self.base.carrying
            return thing.is_locked and not (key is not None and (key.type, key.color) == ("key", thing.color))
        return self._movable

    def _first_action(self, after: Pose) -> int:
        x, y, direction = self.pose
        if after[:2] == (x, y):
            return RIGHT if (direction + 1) % 4 == after[2] else LEFT
        thing = self.look(after[:2])
        return TOGGLE if thing is not None and thing.type == "door" and not thing.is_open else FORWARD

    def _harm(self, cell: Cell) -> int:
        """Steps worth going further rather than dropping something here: on the way, by a door, or in a passage."""
        beside = [self._free((cell[0] + dx, cell[1] + dy)) for dx, dy in _RING]
        # Stretches of free cells around it: more than one means that it is a passage from one to the other.
        passages = sum(beside[i] and not (beside[i - 1] and beside[i - 2]) for i in range(0, 8, 2))
        doors = [self.look((cell[0] + dx, cell[1] + dy)) for dx, dy in STEPS]
        by_door = any(thing is not None and thing.type == "door" for thing in doors)
        return 40 * (cell in self._wanted) + 20 * (passages > 1) + 10 * by_door

    def _free(self, cell: Cell) -> bool:
        return self._inside(cell) and (self.look(cell) is None or self.look(cell).type in ("floor", "door"))

    def _inside(self, cell: Cell) -> bool:
        return 0 <= cell[0] < self.base.width and 0 <= cell[1] < self.base.height

    def things(self) -> Iterator[tuple[Cell, Any]]:
        for index, thing in enumerate(self.base.grid.grid):
            if thing is not None:
                yield (index % self.base.width, index // self.base.width), thing


_RING = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))


def _front(pose: Pose) -> Cell:
    x, y, direction = pose
    return x + STEPS[direction][0], y + STEPS[direction][1]


def _holds_key(thing: Any, color: str) -> bool:
    inside = thing.contains
    return inside is not None and (inside.type, inside.color) == ("key", color)
