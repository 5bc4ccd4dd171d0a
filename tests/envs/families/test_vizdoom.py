"""ViZDoom by envpool: seeds, the rules of reward, where episodes end, and the picture. Each reset starts a process."""

from importlib.util import find_spec

import numpy as np
import pytest

from generalist.envs.families import vizdoom
from generalist.envs.families.vizdoom import RULES, SCENARIOS, TASKS

pytestmark = pytest.mark.skipif(find_spec("envpool") is None, reason="needs the extra envpool")

NONE, LEFT, ATTACK = 0, 2, 3
"""Of `basic`: its combinations of a move (none, right, left) without and with a shot."""


def play(env, seed: int, actions: list[int]) -> list:
    rows = [(env.reset(seed=seed)[0], 0.0, False, False, None)]
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        rows.append((observation, reward, terminated, truncated, info.get("success")))
        if terminated or truncated:
            break
    return rows


def same(one: list, other: list) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a[0], b[0]) and a[1:] == b[1:] for a, b in zip(one, other, strict=True)
    )


@pytest.mark.slow
def test_a_seed_is_an_episode_and_idling_is_cut_at_the_horizon():
    """The game's own limit comes later, or its end would look like the goal."""
    env, used = vizdoom.make("basic"), vizdoom.make("basic")
    idle = play(used, 2, [NONE] * 100)
    assert len(idle) - 1 == SCENARIOS["basic"].horizon
    assert [row[1:] for row in idle[-2:]] == [(0.0, False, False, False), (0.0, False, True, False)]
    some = list(np.random.default_rng(0).integers(6, size=20))
    first = play(env, 5, some)
    assert same(first, play(used, 5, some))
    assert not same(first, play(env, 6, some))
    for made in (env, used):
        made.close()


@pytest.mark.slow
def test_the_game_leaves_nothing_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = vizdoom.make("rocket_basic")
    for seed in range(2):
        env.reset(seed=seed)
        env.step(0)
    env.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_hit_is_the_goal():
    """The monster of the seed 1 stands to the left of the player."""
    env = vizdoom.make("basic", render_mode="rgb_array")
    for seed in range(1, 4):
        rows = play(env, seed, [LEFT, ATTACK, LEFT, NONE] * 20)
        if rows[-1][2]:
            break
    assert rows[-1][1:] == (1.0, True, False, True)
    assert all(row[1:] == (0.0, False, False, False) for row in rows[1:-1])
    env.reset(seed=1)
    assert env.render().shape == (240, 240, 3)
    env.close()


@pytest.mark.slow
def test_the_picture_has_its_colours_last_and_survival_pays_for_tics():
    env = vizdoom.make("health_gathering")
    observation, info = env.reset(seed=0)
    assert observation.shape == (84, 84, 3)
    assert env.observation_space.contains(observation)
    assert observation.std(axis=2).mean() > 1, "colours"
    assert 0 < info["HEALTH"] <= 100
    rows = play(env, 0, [0] * 524)
    assert rows[-1][1:4] == (-100.0, True, False), "idling dies of the floor's acid"
    assert {row[1] for row in rows[1:-1]} == {4.0}
    env.close()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("basic", 1.0), ("rocket_basic", 1.0), ("defend_the_center", 8.0)])
def test_experts_hit_by_what_they_see(name, least):
    """Of frames alone: they are given no environment. Random play kills 0.6 in the middle of the round room."""
    env, act = vizdoom.make(name), vizdoom.eye(name, None)
    for seed in (0, 3):
        observation, _ = env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(act(observation))
            total, over = total + reward, terminated or truncated
        assert total >= least
    env.close()


def test_rules_of_reward():
    before, now = {"KILLCOUNT": 2.0}, {"KILLCOUNT": 4.0}
    cases = {"goal": (0.0, 1.0), "survival": (4.0, -0.0), "survival, death": (4.0, -100.0), "kills": (2.0, 1.0)}
    for rule, (alive, over) in (cases | {"shaped": (0.25, 0.25)}).items():
        reward, _ = RULES[rule]
        assert (reward(before, now, False, 0.25), reward(before, now, True, 0.25)) == (alive, over)


def test_only_scenarios_with_a_goal_have_success():
    assert {task.id for task in TASKS if task.has_success} == {
        "vizdoom/basic",
        "vizdoom/rocket_basic",
        "vizdoom/my_way_home",
    }
