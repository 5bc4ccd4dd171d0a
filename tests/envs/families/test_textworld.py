"""TextWorld: seeds, scenes that show what can be seen, commands written and chosen, and what each level promises."""

import os
import subprocess
import sys

import numpy as np
import pytest

from generalist.envs.families import textworld, textworld_games
from generalist.envs.families.textworld import CHOICE, TASKS, make, make_choice, plain
from generalist.envs.families.textworld_games import LEVELS, Scene, draw_game
from generalist.envs.reference import random_policy
from generalist.envs.table import find_task
from generalist.envs.task import MissingExtra

QUICK = ("coin-easy", "treasure-easy", "cooking-easy", "simple", "quest-2")


def installed():
    return pytest.importorskip("textworld")


def solved(task, seed: int, steps: int = 1000) -> list:
    """Observations, actions and what came of them, of the expert."""
    env = task.make()
    observation, _ = env.reset(seed=seed)
    act, rows = task.expert(env), []
    while len(rows) < steps and not (rows and (rows[-1][3] or rows[-1][4])):
        action = act(observation)
        after, reward, terminated, truncated, info = env.step(action)
        rows.append((observation, action, reward, terminated, truncated, info["success"]))
        observation = after
    return rows


def test_the_levels_are_rows_with_or_without_the_package():
    ids = {task.id for task in TASKS}
    assert ids == {f"textworld/{level}" for level in LEVELS} | {f"textworld_choice/{level}" for level in CHOICE}
    assert find_task("textworld/coin-easy").extra == "text"


def test_without_the_package_make_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "textworld", None)
    with pytest.raises(MissingExtra, match=r"pip install 'generalist\[text\]'"):
        make("coin-easy")


@pytest.mark.parametrize("level", QUICK)
def test_a_seed_is_a_game(level):
    installed()
    env, used = make(level), make(level)
    used.reset(seed=9)
    used.step("go north")
    first = env.reset(seed=3)[0]
    assert first == used.reset(seed=3)[0] == env.reset(seed=3)[0]
    assert len({str(env.reset(seed=seed)[0]) for seed in range(6)}) > 1


def test_a_seed_is_the_same_game_in_every_process():
    """Python's hash of strings, by which sets are ordered, is another in each."""
    installed()
    script = (
        "from generalist.envs.families.textworld import LEVELS, make_choice\n"
        "for level in ('treasure-easy', 'quest-3'):\n"
        "    env = make_choice(level)\n"
        "    print(env.reset(seed=5)[0], env.unwrapped.next_command)\n"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", script], env=environment(seed), capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert told[0].count("scene") == 2


def environment(hash_seed: str) -> dict[str, str]:
    return os.environ | {"PYTHONHASHSEED": hash_seed}


@pytest.mark.parametrize("level", QUICK)
def test_the_solution_wins_and_spaces_contain_what_is_read(level):
    installed()
    for family in ("textworld", "textworld_choice"):
        if family == "textworld_choice" and level not in CHOICE:
            continue
        task = find_task(f"{family}/{level}")
        env = task.make()
        for seed in range(3):
            rows = solved(task, seed)
            assert all(env.observation_space.contains(row[0]) and env.action_space.contains(row[1]) for row in rows)
            assert [row[3:] for row in rows[:-1]] == [(False, False, False)] * (len(rows) - 1)
            assert rows[-1][3:] == (True, False, True)
            assert sum(row[2] for row in rows) == pytest.approx(1)
            assert len(rows) <= task.horizon / 2


def test_the_solution_is_found_again_after_other_commands():
    installed()
    task = find_task("textworld/coin-easy")
    env = task.make()
    observation, _ = env.reset(seed=4)
    act, rng = task.expert(env), np.random.default_rng(0)
    for _ in range(6):
        observation, *_ = env.step(rng.choice(env.unwrapped.commands))
    over = False
    while not over:
        observation, _, terminated, truncated, info = env.step(act(observation))
        over = terminated or truncated
    assert info["success"]


def test_what_is_not_a_command_does_nothing_and_the_horizon_is_a_truncation():
    installed()
    env = make("coin-easy")
    before, _ = env.reset(seed=0)
    for step in range(1, LEVELS["coin-easy"].horizon + 1):
        after, reward, terminated, truncated, info = env.step("sing a song" if step % 2 else "")
        assert after["scene"] == f"that does nothing. {before['scene']}"
        assert (reward, terminated, truncated) == (0.0, False, step == LEVELS["coin-easy"].horizon)
        assert info == {"success": False}


def test_the_wrong_thing_loses():
    installed()
    env = make("treasure-easy")
    for seed in range(20):
        env.reset(seed=seed)
        wrong = [each for each in env.commands if each.startswith("take ") and each != solution(env)[-1]]
        if wrong:
            _, reward, terminated, truncated, info = env.step(wrong[0])
            assert (reward, terminated, truncated, info) == (0.0, True, False, {"success": False})
            return
    raise AssertionError("no game begins beside the wrong thing")


def solution(env) -> list[str]:
    return [plain(each) for each in env._inform7.gen_commands_from_actions(env._progress.winning_policy)]


def test_a_scene_shows_what_can_be_seen_and_no_more():
    installed()
    names = {"P": "", "I": "", "r_0": "kitchen", "r_1": "hall", "r_2": "attic", "d_0": "oak door", "c_0": "fridge"}
    names |= {"c_1": "safe", "s_0": "table", "o_0": "egg", "o_1": "coin", "o_2": "lamp", "k_0": "key", "f_0": "carrot"}
    said = "at P r_0; north_of r_1 r_0; south_of r_0 r_1; east_of r_2 r_0; link r_0 d_0 r_2; locked d_0; at c_0 r_0"
    said += "; open c_0; in o_0 c_0; at c_1 r_0; closed c_1; in o_1 c_1; at s_0 r_0; on o_2 s_0; in k_0 I; at f_0 r_0"
    said += "; roasted f_0; raw o_0"
    facts = [fact(*each.split()) for each in said.split("; ")]
    assert Scene(facts, names).text() == (
        "kitchen. exits: north, east (oak door, locked). here: carrot (roasted); fridge (open) with egg; "
        "safe (closed); table with lamp. you carry: key."
    )


def fact(name: str, *arguments: str):
    from textworld.logic import Proposition, Variable

    return Proposition(name, [Variable(each, each[0]) for each in arguments])


def test_a_recipe_is_read_by_examining():
    installed()
    env = make("cooking-easy")
    env.reset(seed=1)
    book = next(each for each in env.commands if each.startswith("examine"))
    assert "gather all following ingredients" in env.step(book)[0]["scene"]
    assert "gather" not in env.step("look")[0]["scene"]


def test_numbers_stand_for_the_listed_commands():
    installed()
    chosen, written = make_choice("coin-easy"), make("coin-easy")
    listed, same = chosen.reset(seed=2)[0], written.reset(seed=2)[0]
    assert {key: listed[key] for key in same} == same
    told = [each.split(" ", 1) for each in listed["commands"].split("; ")]
    assert [int(number) for number, _ in told] == list(range(len(told)))
    assert {command for _, command in told} == set(written.commands)
    assert not {"look", "inventory"} & set(written.commands)
    number, command = told[-1]
    assert chosen.step(int(number))[0]["scene"] == written.step(command)[0]["scene"]
    assert chosen.step(textworld.MOST_COMMANDS - 1)[0]["scene"].startswith(textworld.NOTHING)


@pytest.mark.parametrize("policy", ["written", "chosen"])
def test_random_play_loses(policy):
    installed()
    env = (make if policy == "written" else make_choice)("coin-easy")
    wins = 0
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        act, over = random_policy(env, seed), False
        while not over:
            observation, _, terminated, truncated, info = env.step(act(observation))
            over = terminated or truncated
        wins += info["success"]
    assert wins == 0


def test_a_map_without_room_for_the_quest_is_drawn_anew_but_not_for_ever(monkeypatch):
    error = installed().generator.QuestGenerationError
    seeds = []

    def fails(level, options):
        seeds.append(options.seeds["map"])
        raise error("no room")

    monkeypatch.setattr(textworld_games, "_make", fails)
    with pytest.raises(RuntimeError, match=r"no game of .* in 100 drafts"):
        draw_game(LEVELS["quest-1"], np.random.default_rng(0))
    assert len({*seeds}) > 90


def test_a_frame_shows_the_text():
    installed()
    env = make("simple", render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    env.step("open chest drawer")
    assert (before.shape, before.dtype) == ((300, 400, 3), np.uint8)
    assert (before != env.render()).any()


def test_the_experts_refuse_another_environment():
    import gymnasium as gym

    with pytest.raises(ValueError, match=r"envs\.families\.textworld"):
        textworld.walkthrough_expert(gym.make("CartPole-v1"))
    installed()
    with pytest.raises(ValueError, match="make_choice"):
        textworld.chosen_walkthrough_expert(make("coin-easy"))
