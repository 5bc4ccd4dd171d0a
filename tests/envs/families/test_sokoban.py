from collections import deque
from functools import partial

import numpy as np
import pytest

from generalist.envs.experts.sokoban_solver import solve
from generalist.envs.families import sokoban
from generalist.envs.families.sokoban import moved, picture, planner_expert
from generalist.envs.sokoban_levels import Level, draw_level, parse_level, reachable, read_boxoban

UP, DOWN, LEFT, RIGHT = range(4)
LEVEL = ["######", "#@ $.#", "#    #", "######"]
TWO = ["#######", "#@$.$.#", "#     #", "#######"]
CORNERED = ["#####", "#$ .#", "# @ #", "#####"]


def env_of(level: Level) -> sokoban.Sokoban:
    env = sokoban.Sokoban(lambda rng: level, (level.height, level.width))
    env.reset(seed=0)
    return env


def fewest_pushes(level: Level) -> int | None:
    """Breadth first over pushes, without any of the solver's shortcuts."""
    start = (min(reachable(level, level.boxes, level.player)), level.boxes)
    seen, queue = {start}, deque([(0, *start)])
    while queue:
        pushes, player, boxes = queue.popleft()
        if boxes <= level.targets:
            return pushes
        region = reachable(level, boxes, player)
        for box in boxes:
            for direction in level.directions:
                if box - direction in region and box + direction not in level.walls | boxes:
                    after = boxes - {box} | {box + direction}
                    state = (min(reachable(level, after, box)), after)
                    if state not in seen:
                        seen.add(state)
                        queue.append((pushes + 1, *state))
    return None


def pushes_of(level: Level, actions: list[int]) -> int:
    state, pushes = (level.player, level.boxes), 0
    for action in actions:
        after = moved(level, state, action)
        assert after != state, "the plan walks into a wall"
        pushes, state = pushes + (after[1] != state[1]), after
    assert state[1] <= level.targets
    return pushes


def test_rewards_and_the_end():
    env = env_of(parse_level(TWO))
    _, reward, terminated, truncated, info = env.step(RIGHT)
    assert (reward, terminated, truncated, info) == (pytest.approx(0.9), False, False, {"success": False})
    assert env.step(RIGHT)[1] == pytest.approx(-0.1), "two boxes do not move"
    for action in (DOWN, RIGHT, UP):
        assert env.step(action)[1] == pytest.approx(-0.1)
    assert env.state[0] == 17, "a box does not go into the wall, and the player stays below it"
    env = env_of(parse_level(["######", "#@*  #", "# $. #", "######"]))
    assert env.step(RIGHT)[1] == pytest.approx(-1.1), "off its target"
    env = env_of(parse_level(LEVEL))
    env.step(RIGHT)
    _, reward, terminated, truncated, info = env.step(RIGHT)
    assert (reward, terminated, truncated, info) == (pytest.approx(10.9), True, False, {"success": True})


def test_an_unsolved_episode_is_truncated_at_the_horizon():
    env = sokoban.make(7, 7, 1)
    env.reset(seed=0)
    ends = [env.step(UP)[2:4] for _ in range(sokoban.HORIZON)]
    assert ends[-2:] == [(False, False), (False, True)]


@pytest.mark.parametrize("task", sokoban.TASKS, ids=lambda task: task.id)
def test_drawn_levels_can_be_solved_and_are_not(task):
    env = task.make()
    for seed in range(10):
        observation, _ = env.reset(seed=seed)
        level = env.unwrapped.level
        assert env.observation_space.contains(observation)
        assert f"{level.height}x{level.width}-{len(level.boxes)}box" in task.id
        assert not level.boxes & level.targets
        act, over, steps = task.expert(env), False, 0
        while not over:
            observation, _, terminated, truncated, info = env.step(act(observation))
            steps, over = steps + 1, terminated or truncated
        assert info["success"]
        assert steps <= task.horizon


def test_a_seed_is_a_level():
    env, used = sokoban.make(8, 8, 3), sokoban.make(8, 8, 3)
    used.reset(seed=1)
    used.step(LEFT)
    levels = []
    for seed in range(5):
        one, other = env.reset(seed=seed)[0], used.reset(seed=seed)[0]
        assert np.array_equal(one, other)
        assert env.unwrapped.level == used.unwrapped.level
        levels.append(env.unwrapped.level)
    assert len(set(levels)) == 5


def test_the_picture_shows_the_whole_state():
    kinds = {tile.tobytes() for tile in sokoban._TILES}
    assert len(kinds) == 7
    level = parse_level(["#####", "#@ .#", "#$$*#", "#.  #", "#####"])
    image = picture(level, (level.player, level.boxes))
    assert image.shape == (40, 40, 3)
    order = [image[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] for row, column in np.ndindex(5, 5)]
    found = [next(kind for kind in range(7) if np.array_equal(sokoban._TILES[kind], tile)) for tile in order]
    letters = {0: " ", 1: "#", 2: ".", 3: "$", 4: "*", 5: "@", 6: "+"}
    assert "".join(letters[kind] for kind in found) == "######@ .##$$*##.  ######"


@pytest.mark.parametrize("seed", range(8))
def test_the_solver_needs_the_fewest_pushes(seed):
    level = draw_level(np.random.default_rng(seed), 7, 7, 2)
    actions = solve(level, level.player, level.boxes)
    assert actions is not None
    assert pushes_of(level, actions) == fewest_pushes(level)


def test_the_solver_says_when_there_is_none_or_it_was_not_found():
    level = parse_level(CORNERED)
    assert solve(level, level.player, level.boxes) is None
    level = parse_level(TWO)
    assert solve(level, level.player, level.boxes) is not None
    assert solve(level, level.player, level.boxes, node_limit=1) is None


def test_the_expert_plans_anew_after_actions_that_are_not_its_own():
    """As long as the level can still be solved, which two random steps may have ended."""
    env, solved = sokoban.make(7, 7, 2), 0
    rng = np.random.default_rng(0)
    for seed in range(10):
        observation, _ = env.reset(seed=seed)
        act = planner_expert(env)
        act(observation)
        over = any(env.step(int(rng.integers(4)))[2] for _ in range(2))
        if over or solve(env.unwrapped.level, *env.unwrapped.state) is None:
            continue
        while not over:
            observation, _, terminated, truncated, info = env.step(act(observation))
            over = terminated or truncated
        assert info["success"]
        solved += 1
    assert solved >= 5


def test_the_expert_gives_up_where_nothing_helps():
    env = env_of(parse_level(CORNERED))
    act = planner_expert(env)
    ends = [env.step(act(np.zeros(1)))[2:4] for _ in range(sokoban.HORIZON)]
    assert ends[-1] == (False, True)


def test_boxoban_files_are_read_and_the_seed_picks(tmp_path):
    path = tmp_path / "000.txt"
    levels = [LEVEL, ["######", "#.$ @#", "#    #", "######"]]
    path.write_text("\n".join(line for index, rows in enumerate(levels) for line in (f"; {index}", *rows, "")))
    assert read_boxoban(path) == tuple(map(parse_level, levels))
    env = sokoban.make_boxoban(path)
    seen = [env.reset(seed=seed) and env.unwrapped.level for seed in range(10)]
    assert set(seen) == set(read_boxoban(path))
    assert [env.reset(seed=seed) and env.unwrapped.level for seed in range(10)] == seen


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no level"),
        ("######\n", "a Boxoban file starts with a line like"),
        ("; 0\n#####\n#@$.#\n####\n", "level 0: a level is a rectangle"),
        ("; 0\n#####\n#@$x#\n#####\n", "level 0: .* got 'x'"),
        ("; 4\n#####\n#@$ #\n#####\n", "level 4: .*1 players, 1 boxes and 0 targets"),
        ("; 4\n#####\n# $.#\n#####\n", "level 4: .*0 players"),
        ("; 4\n#####\n@ $.#\n#####\n", "level 4: a level is closed by walls"),
        ("; 4\n## ##\n#@$.#\n#####\n", "level 4: a level is closed by walls"),
        ("; 0\n#####\n#@$.#\n#####\n\n; 1\n######\n#@$. #\n######\n", "all levels of a file have one size"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "broken.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"broken\.txt: {message}"):
        sokoban.make_boxoban(path)


def test_the_expert_refuses_another_environment():
    import gymnasium as gym

    with pytest.raises(ValueError, match="Sokoban expert"):
        planner_expert(gym.make("CartPole-v1"))


def test_drawing_is_a_function_of_the_generator():
    draw = partial(draw_level, height=9, width=7, boxes=2)
    level = draw(np.random.default_rng(1))
    assert (level.height, level.width, len(level.boxes)) == (9, 7, 2)
    assert draw(np.random.default_rng(1)) == level
