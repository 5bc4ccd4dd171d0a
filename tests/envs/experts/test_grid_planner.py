"""The planner on small levels drawn in the test."""

from types import SimpleNamespace

import pytest
from minigrid.core.grid import Grid
from minigrid.core.world_object import Ball, Box, Door, Goal, Key, Lava, Wall

from generalist.envs.experts.grid_planner import (
    DROP,
    FORWARD,
    LEFT,
    PICK_UP,
    RIGHT,
    STEPS,
    TOGGLE,
    NoWay,
    Planner,
    at,
    facing,
)

THINGS = {
    "#": Wall,
    "G": Goal,
    "~": Lava,
    "o": lambda: Ball("green"),
    "k": lambda: Key("red"),
    "b": lambda: Box("grey", Key("red")),
    "L": lambda: Door("red", is_locked=True),
    "N": lambda: Door("yellow", is_locked=True),
    "D": lambda: Door("blue"),
}


class Level:
    """As much of a MiniGrid environment as the planner reads; the agent begins at ">", looking right."""

    def __init__(self, *rows: str):
        self.height, self.width = len(rows), len(rows[0])
        self.grid, self.carrying, self.agent_dir = Grid(self.width, self.height), None, 0
        for y, row in enumerate(rows):
            for x, letter in enumerate(row):
                if letter == ">":
                    self.agent_pos = (x, y)
                elif letter != " ":
                    self.grid.set(x, y, THINGS[letter]())

    def step(self, action: int) -> None:
        ahead = tuple(a + b for a, b in zip(self.agent_pos, STEPS[self.agent_dir], strict=True))
        thing = self.grid.get(*ahead)
        if action in (LEFT, RIGHT):
            self.agent_dir = (self.agent_dir + (1 if action == RIGHT else -1)) % 4
        elif action == FORWARD:
            assert thing is None or thing.can_overlap()
            self.agent_pos = ahead
        elif action == PICK_UP:
            assert thing.can_pickup()
            assert self.carrying is None
            self.carrying = thing
            self.grid.set(*ahead, None)
        elif action == DROP:
            assert thing is None
            assert self.carrying is not None
            self.grid.set(*ahead, self.carrying)
            self.carrying = None
        else:
            thing.toggle(SimpleNamespace(grid=self.grid, carrying=self.carrying), ahead)


def run(level: Level, plan, limit: int = 80) -> list[int]:
    """Actions until the plan has nothing left to do, or the goal is reached."""
    planner, actions = Planner(level), []
    while (action := plan(planner)) is not None:
        assert len(actions) < limit, "the plan goes round in circles"
        level.step(action)
        actions.append(action)
    return actions


def to_goal(planner: Planner) -> int | None:
    return planner.towards(at(planner.find("goal")))


def test_the_shortest_way_counts_turns():
    level = Level("#####", "#>  #", "#   #", "#  G#", "#####")
    assert run(level, to_goal) == [FORWARD, FORWARD, RIGHT, FORWARD, FORWARD]


def test_lava_is_gone_round():
    level = Level("#####", "#>~G#", "#   #", "#####")
    assert run(level, to_goal) == [RIGHT, FORWARD, LEFT, FORWARD, FORWARD, LEFT, FORWARD]


def test_a_closed_door_is_opened():
    assert run(Level("#####", "#>DG#", "#####"), to_goal) == [TOGGLE, FORWARD, FORWARD]


def test_a_locked_door_takes_its_key():
    level = Level("######", "#>  ##", "# k LG", "######")
    actions = run(level, to_goal)
    assert actions.count(PICK_UP) == actions.count(TOGGLE) == 1
    assert level.carrying.type == "key"


def test_a_key_is_taken_out_of_its_box():
    level = Level("######", "#>  ##", "# b LG", "######")
    actions = run(level, to_goal)
    assert actions.count(TOGGLE) == 2
    assert actions.index(TOGGLE) < actions.index(PICK_UP)


def test_a_box_in_the_hands_is_put_down_for_its_key():
    level = Level("######", "#>  ##", "#   LG", "######")
    level.carrying = Box("grey", Key("red"))
    actions = run(level, to_goal)
    assert [action for action in actions if action not in (LEFT, RIGHT, FORWARD)] == [DROP, TOGGLE, PICK_UP, TOGGLE]


def test_a_ball_before_a_locked_door_is_carried_away_and_not_in_the_way():
    level = Level("#######", "#>   ##", "#  koLG", "#    ##", "#######")
    actions = run(level, to_goal)
    assert actions.count(PICK_UP) >= 2
    assert actions.count(DROP) >= 1


def test_hands_are_emptied_for_the_target_in_a_narrow_place():
    level = Level("########", "#k> L o#", "########")
    target = level.grid.get(6, 1)

    def take(planner: Planner) -> int | None:
        return None if level.carrying is target else planner.pick_up(planner.find("ball")[0])

    actions = run(level, take)
    assert [action for action in actions if action not in (LEFT, RIGHT, FORWARD)] == [PICK_UP, TOGGLE, DROP, PICK_UP]


@pytest.mark.parametrize(
    "rows",
    [("#######", "#  #  #", "# >   #", "#  #  #", "#######"), ("########", "# > D  #", "#   #  #", "########")],
    ids=["passage", "door"],
)
def test_nothing_is_dropped_in_a_passage_or_by_a_door(rows):
    level = Level(*rows)
    level.carrying = Ball("green")
    planner, (x, y) = Planner(level), level.agent_pos
    while level.carrying is not None:
        level.step(planner.put_away())
    assert planner.find("ball") != [(x + 1, y)]


def test_a_box_with_a_key_in_the_way_is_opened():
    actions = run(Level("######", "#>bLG#", "######"), to_goal)
    assert [action for action in actions if action not in (LEFT, RIGHT, FORWARD)] == [TOGGLE, PICK_UP, TOGGLE]


def test_no_way_is_said():
    for rows in (("#####", "#>#G#", "#####"), ("#####", "#>LG#", "#####"), ("######", "#>LkG#", "######")):
        with pytest.raises(NoWay):
            run(Level(*rows), to_goal)
    with pytest.raises(NoWay):
        Planner(Level("#####", "#>oG#", "#####"), movable=False).towards(at([(3, 1)]))


def test_of_two_doors_the_one_with_a_key_is_taken():
    """The nearer door's key is nowhere."""
    level = Level("########", "#  >  ##", "#k     #", "#L##N###", "#   G  #", "########")
    actions = run(level, to_goal)
    assert [action for action in actions if action not in (LEFT, RIGHT, FORWARD)] == [PICK_UP, TOGGLE]


def test_the_poses_of_a_cell():
    assert facing((3, 3)) == {(2, 3, 0), (3, 2, 1), (4, 3, 2), (3, 4, 3)}
    assert len(at([(1, 1), (2, 2)])) == 8
