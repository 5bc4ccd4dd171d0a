"""The search of the Atari experts: it leaves the environment alone, is fixed by the seed, and finds rewards."""

from dataclasses import replace

import numpy as np
import pytest

from generalist.envs.experts import emulator_search
from generalist.envs.experts.emulator_search import Planner, Search, search_expert
from generalist.envs.families import atari

pytest.importorskip("ale_py")

SMALL = Search(plans=4, depth=8, commit=2)


def play(env, search: Search, seed: int, steps: int) -> tuple[list, list]:
    """(action, reward) of each step, and the last observation."""
    observation, _ = env.reset(seed=seed)
    act, rows = search_expert(search, env), []
    for _ in range(steps):
        action = act(observation)
        observation, reward, *_ = env.step(action)
        rows.append((action, reward))
    return rows, observation


def test_the_search_leaves_the_episode_as_it_is():
    """The same actions without a search meet the same rewards, screens and sticky actions."""
    env = atari.make("Boxing")
    rows, last = play(env, SMALL, 5, 80)
    assert any(reward for _, reward in rows)
    env.reset(seed=5)
    for action, reward in rows:
        observation, gain, *_ = env.step(action)
        assert gain == reward
    assert np.array_equal(observation, last)


def test_the_seed_fixes_the_search():
    env = atari.make("Boxing")
    first = play(env, SMALL, 5, 30)[0]
    assert play(env, SMALL, 6, 30)[0] != first
    assert play(env, SMALL, 5, 30)[0] == first


def test_the_second_emulator_plays_on_from_the_copied_state_with_other_sticky_actions(monkeypatch):
    """A step of it is four frames; what sticks differs from one play of the same plan to the next."""
    env = atari.make("Boxing")
    env.reset(seed=1)
    for _ in range(20):
        env.step(2)
    planner = Planner(SMALL, env.unwrapped, seed=1)
    roots, memories, model = [], set(), planner._model
    monkeypatch.setattr(planner, "_best", lambda root, plan: roots.append(root) or plan)
    planner.act()
    for _ in range(6):
        model.restoreState(roots[0])
        assert np.array_equal(model.getRAM(), env.unwrapped.ale.getRAM())
        start = model.getEpisodeFrameNumber()
        for step in range(20):
            model.act(planner._legal[3 + step // 3 % 2])
        assert model.getEpisodeFrameNumber() - start == 20 * atari.SKIP == 20 * emulator_search.SKIP
        memories.add(model.getRAM().tobytes())
    assert len(memories) > 1


def test_a_plan_is_valued_by_discounted_rewards_until_a_life_is_lost():
    class Script:
        """Pays 10 a step and takes a life in the third."""

        def restoreState(self, root):  # noqa: N802 (as in ale-py)
            self.step = 0

        def lives(self):
            return 3 - (self.step >= 3)

        def act(self, action):
            self.step += 1
            return 10

        def game_over(self):
            return False

    env = atari.make("Pong")
    env.reset(seed=1)
    planner = Planner(Search(discount=0.5, life=100), env.unwrapped, seed=1)
    planner._model = Script()
    assert planner._value(None, [0, 0]) == 10 + 5
    assert planner._value(None, [0, 0, 0, 0, 0]) == 10 + 5 + 2.5 - 0.25 * 100


def test_more_plans_find_more_points():
    """A punch in Boxing is a point: looking ahead scores, random plans hardly do."""
    env = atari.make("Boxing")
    search = Search(plans=8, depth=14, commit=3)
    looked = sum(reward for _, reward in play(env, search, 5, 60)[0])
    blind = sum(reward for _, reward in play(env, replace(search, limit=0), 5, 60)[0])
    assert looked >= blind + 5


def test_after_the_limit_plans_are_not_compared(monkeypatch):
    calls = []
    monkeypatch.setattr(Planner, "_value", lambda self, root, plan: calls.append(1) or 0.0)
    play(atari.make("Pong"), replace(SMALL, limit=6), 5, 20)
    assert len(calls) == 3 * SMALL.plans


def test_the_usual_action_is_most_of_a_random_plan():
    env = atari.make("Freeway")
    env.reset(seed=1)
    planner = Planner(Search(usual="UP", depth=4000), env.unwrapped, seed=1)
    names = [planner._legal[action].name for action in planner._longer([])]
    assert len(names) == 4000
    assert set(names) == {"NOOP", "UP", "DOWN"}
    assert 0.7 < names.count("UP") / 4000 < 0.95


def test_experts_are_of_games_that_exist_and_their_usual_action_too():
    assert set(emulator_search.SEARCHES) <= set(atari.GAMES)
    from ale_py import Action

    assert all(not search.usual or search.usual in Action.__members__ for search in emulator_search.SEARCHES.values())
    with_expert = {task.id.removeprefix("atari/") for task in atari.TASKS if task.expert is not None}
    assert with_expert == set(emulator_search.SEARCHES)
    assert all(task.note for task in atari.TASKS)
