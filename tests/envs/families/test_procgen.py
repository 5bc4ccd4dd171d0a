"""Procgen: what the message says everywhere, and the games where procgen-gym is installed (Python 3.13)."""

from importlib.util import find_spec

import numpy as np
import pytest

from generalist.envs.families import procgen
from generalist.envs.families.procgen import TASKS
from generalist.envs.task import MissingExtra

installed = pytest.mark.skipif(find_spec("procgen_gym") is None, reason="needs procgen-gym")


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


def test_sixteen_games_are_rows():
    assert len({task.id for task in TASKS}) == 16


def test_the_message_names_the_python_that_has_wheels():
    assert "pip install" in procgen.message((3, 13))
    assert "NumPy 1" not in procgen.message((3, 13))
    for part in ("Python 3.11", "Python 3.13", "procgen-mirror needs NumPy 1"):
        assert part in procgen.message((3, 11))


@pytest.mark.skipif(find_spec("procgen_gym") is not None, reason="procgen-gym is installed")
def test_without_the_engine_make_says_what_to_do():
    with pytest.raises(MissingExtra, match="generalist\\[procgen\\]") as raised:
        TASKS[0].make()
    assert procgen.message() in str(raised.value)


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
