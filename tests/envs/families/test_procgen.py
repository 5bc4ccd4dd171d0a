"""Procgen: its two engines, where either is installed, and what is said where neither is."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest

from generalist.envs.experts.fruitbot_eye import FIRE
from generalist.envs.families import procgen
from generalist.envs.families.procgen import TASKS
from generalist.envs.task import MissingExtra

ENGINES = [name for name in ("procgen_gym", "envpool") if find_spec(name) is not None]
installed = pytest.mark.skipif(not ENGINES, reason="needs procgen-gym or envpool")
pooled = pytest.mark.skipif(ENGINES != ["envpool"], reason="needs envpool, and not procgen-gym")


def play(env, seed: int, steps: int) -> list:
    observation, _ = env.reset(seed=seed)
    rng, rows = np.random.default_rng(0), [(observation, 0.0, False, False)]
    while len(rows) <= steps and not (rows[-1][2] or rows[-1][3]):
        observation, reward, terminated, truncated, _ = env.step(rng.integers(procgen.ACTIONS))
        rows.append((observation, reward, terminated, truncated))
    return rows


def same(one: list, other: list) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a[0], b[0]) and a[1:] == b[1:] for a, b in zip(one, other, strict=True)
    )


@pytest.fixture
def nothing_installed(monkeypatch):
    for name in ("procgen_gym", "envpool"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def no_qt(monkeypatch):
    """Neither the system's nor the package's."""
    monkeypatch.setattr(procgen, "QT", ("libQtOfNobody.so.5",))
    monkeypatch.setattr(procgen, "find_spec", lambda name: None if name == "PyQt5" else find_spec(name))
    procgen.load_qt.cache_clear()
    yield
    procgen.load_qt.cache_clear()


def test_sixteen_games_are_rows():
    assert len({task.id for task in TASKS}) == 16


def test_without_an_engine_make_says_what_to_install(nothing_installed):
    with pytest.raises(MissingExtra, match=r"pip install 'generalist\[procgen\]'"):
        TASKS[0].make()


@pooled
def test_without_qt_make_says_what_to_install(no_qt):
    with pytest.raises(MissingExtra, match=r"draws with Qt 5 .*libqt5gui5.*pip install 'generalist\[procgen\]'"):
        TASKS[0].make()


@installed
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_a_seed_is_an_episode(task):
    env, used = task.make(), task.make()
    play(used, 9, 20)
    first = play(env, 5, 60)
    assert same(first, play(used, 5, 60))
    assert same(first, play(env, 5, 60))
    assert not same(first, play(env, 6, 60))
    assert all(env.observation_space.contains(row[0]) for row in first)


@pooled
@pytest.mark.parametrize("seed", [0, 1, 2**30 + 7])
def test_a_seed_is_the_level_that_the_original_engine_draws(seed):
    """`rand_seed` seeds a Mersenne Twister, whose first draw seeds the game's, whose first draw is the level."""
    env = procgen.make("coinrun")
    _, info = env.reset(seed=seed)
    rand_seed = int(np.random.default_rng(seed).integers(2**31 - 1))
    of_game = np.random.RandomState(rand_seed).randint(2**32, dtype=np.uint32)
    assert info["level_seed"] == np.random.RandomState(of_game).randint(2**32, dtype=np.uint32) % (2**31 - 1)


@installed
def test_a_terminal_step_does_not_show_the_next_level():
    env = procgen.make("fruitbot")
    rows = play(env, 3, 1000)
    assert rows[-1][2]
    assert np.array_equal(rows[-1][0], rows[-2][0])


@installed
@pytest.mark.parametrize(("name", "horizon"), [("maze", 500), ("climber", 1000)])
def test_idling_is_truncated_where_the_engine_stops(name, horizon):
    env = procgen.make(name)
    env.reset(seed=1)
    for step in range(1, horizon + 1):
        *_, terminated, truncated, _ = env.step(4)
        assert (terminated, truncated) == (False, step == horizon)
    assert env._engine.step(4)[2] is False  # the engine has begun another level


@installed
def test_a_frame_is_drawn_from_the_level_that_is_played():
    env = procgen.make("coinrun", render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    frame = env.render()
    assert frame.shape == (512, 512, 3)
    small = frame.reshape(64, 8, 64, 8, 3).mean(axis=(1, 3))
    assert np.abs(small - observation).mean() < 12


@installed
def test_the_expert_of_maze_finds_the_cheese_by_what_it_sees():
    """On small and large mazes, of frames alone: it is given no environment."""
    env, act = procgen.make("maze"), procgen.eye("maze", None)
    for seed in range(6):
        observation, _ = env.reset(seed=seed)
        for _ in range(120):
            observation, reward, terminated, _, _ = env.step(act(observation))
            if terminated:
                break
        assert (reward, terminated) == (10.0, True), seed


@installed
@pytest.mark.parametrize(("seed", "has_locks"), [(0, False), (1, True)])
def test_the_expert_of_fruitbot_comes_to_the_end_by_what_it_sees(seed, has_locks):
    """With more fruit than other food on the way: two presents at the end are 20 points."""
    env, act = procgen.make("fruitbot"), procgen.eye("fruitbot", None)
    observation, _ = env.reset(seed=seed)
    total, over, actions = 0.0, False, set()
    while not over:
        actions.add(action := act(observation))
        observation, reward, over, _, _ = env.step(action)
        total += reward
    assert reward >= 10
    assert total > 20
    assert (FIRE in actions) == has_locks


def test_what_an_expert_does_is_told_for_each():
    assert {task.id for task in TASKS if task.note != procgen.UNSOLVED} == {"procgen/fruitbot", "procgen/maze"}
    assert {task.id for task in TASKS if task.expert} == {"procgen/fruitbot", "procgen/maze"}
    assert {task.id for task in TASKS if "; expert: " in task.provenance} == {"procgen/fruitbot", "procgen/maze"}
    assert [task.id for task in TASKS if task.noise] == ["procgen/fruitbot"]
