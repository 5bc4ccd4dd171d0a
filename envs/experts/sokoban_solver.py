"""A* for Sokoban over pushes: the fewest pushes, walking by shortest paths between them.

The heuristic is the cheapest assignment of boxes to targets by push distances on the empty room; a cell from which no
target can be reached is never pushed onto, nor is a box into a square of four from which it cannot move again.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache
from heapq import heappop, heappush
from itertools import permutations

from generalist.envs.sokoban_levels import Level

NODE_LIMIT = 50_000
_NEVER = 10**6

State = tuple[int, frozenset[int]]
"""(player, boxes)"""


def solve(level: Level, player: int, boxes: frozenset[int], node_limit: int = NODE_LIMIT) -> list[int] | None:
    """Actions (up 0, down 1, left 2, right 3) that bring every box of this state onto a target.

    None if there are none, or if none were found among the first `node_limit` states that were looked at.
    """
    estimate, start = _heuristic(level), (player, boxes)
    if estimate(boxes) is None:
        return None
    parents: dict[State, tuple[State, int, int] | None] = {start: None}
    done: set[tuple[int, frozenset[int]]] = set()
    # Equal estimates: the later one first, which is the deeper one, then by insertion, so that states are not compared.
    heap, count = [(estimate(boxes), 0, 0, start)], 0
    while heap and len(done) < node_limit:
        _, pushes, _, state = heappop(heap)
        if state[1] <= level.targets:
            return _actions(level, parents, state)
        walks = walk_distances(level, *state)
        key = (min(walks), state[1])
        if key in done:
            continue
        done.add(key)
        for box, direction in _pushes(level, state[1], walks):
            after = (box, state[1] - {box} | {box + direction})
            rest = estimate(after[1])
            if rest is None or after in parents or _stuck(level, after[1], box + direction):
                continue
            parents[after] = (state, box, direction)
            count += 1
            heappush(heap, (pushes + 1 + rest, pushes + 1, -count, after))
    return None


def walk_distances(level: Level, player: int, boxes: Iterable[int]) -> dict[int, int]:
    """Steps from the player to every cell it can walk to, in order of distance."""
    blocked = level.walls | set(boxes)
    distances, queue = {player: 0}, deque([player])
    while queue:
        cell = queue.popleft()
        for direction in level.directions:
            if cell + direction not in blocked and cell + direction not in distances:
                distances[cell + direction] = distances[cell] + 1
                queue.append(cell + direction)
    return distances


def _pushes(level: Level, boxes: frozenset[int], walks: dict[int, int]) -> Iterator[tuple[int, int]]:
    blocked = level.walls | boxes
    for box in sorted(boxes):
        for direction in level.directions:
            if box - direction in walks and box + direction not in blocked:
                yield box, direction


def _stuck(level: Level, boxes: frozenset[int], box: int) -> bool:
    """Whether that box stands in a square of four walls and boxes, of which one box is off its target."""
    up, down, left, right = level.directions
    for square in ((box, box + a, box + b, box + a + b) for a in (up, down) for b in (left, right)):
        if all(cell in level.walls or cell in boxes for cell in square) and not boxes & set(square) <= level.targets:
            return True
    return False


def _heuristic(level: Level):
    distances = [_push_distances(level, target) for target in sorted(level.targets)]

    @cache
    def estimate(boxes: frozenset[int]) -> int | None:
        """The least number of pushes if boxes were not in each other's way; None if a box can reach no target."""
        rows = [[to_target.get(box, _NEVER) for to_target in distances] for box in boxes]
        orders = permutations(range(len(distances)))
        least = min(sum(row[target] for row, target in zip(rows, order, strict=True)) for order in orders)
        return least if least < _NEVER else None

    return estimate


def _push_distances(level: Level, target: int) -> dict[int, int]:
    """Pushes from every cell of the empty room to the target, found by pulling a box away from it."""
    distances, queue = {target: 0}, deque([target])
    while queue:
        cell = queue.popleft()
        for direction in level.directions:
            box, player = cell + direction, cell + 2 * direction
            if box not in level.walls and player not in level.walls and box not in distances:
                distances[box] = distances[cell] + 1
                queue.append(box)
    return distances


def _actions(level: Level, parents: dict, state: State) -> list[int]:
    """The steps that led to a state: for each push the way behind the box, and the push."""
    parts = []
    while (parent := parents[state]) is not None:
        before, box, direction = parent
        parts.append([*_way(level, before, box - direction), level.directions.index(direction)])
        state = before
    return [action for part in reversed(parts) for action in part]


def _way(level: Level, state: State, goal: int) -> list[int]:
    distances = walk_distances(level, *state)
    way, cell = [], goal
    while distances[cell]:
        action, direction = next(
            (action, direction)
            for action, direction in enumerate(level.directions)
            if distances.get(cell - direction) == distances[cell] - 1
        )
        way.append(action)
        cell -= direction
    return way[::-1]
