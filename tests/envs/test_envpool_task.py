"""What every environment of envpool must hold here: seeds at `reset`, no autoreset, spaces, no arrays that change."""

import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from generalist.envs.envpool_task import PoolEnv, new_pool, only
from generalist.envs.task import MissingExtra


@pytest.fixture(scope="module", autouse=True)
def installed():
    pytest.importorskip("envpool", reason="needs the extra envpool")


def cartpole(horizon: int = 200, **more) -> PoolEnv:
    """Gymnasium's own, which envpool has too: quick, random at its start, over when the pole has fallen."""
    return PoolEnv("CartPole-v1", horizon, **more)


def play(env: gym.Env, seed: int, action: int = 1, steps: int = 30) -> list:
    rows = [(env.reset(seed=seed)[0], 0.0, False, False)]
    while len(rows) <= steps and not (rows[-1][2] or rows[-1][3]):
        rows.append(env.step(action)[:4])
    return rows


def same(one: list, other: list) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a[0], b[0]) and a[1:] == b[1:] for a, b in zip(one, other, strict=True)
    )


def test_a_seed_is_an_episode_in_a_new_and_in_a_used_environment():
    used = cartpole()
    play(used, 3)
    first = play(cartpole(), 7)
    assert same(first, play(used, 7))
    assert same(first, play(used, 7))
    assert not same(first, play(used, 8))


def test_a_reset_without_a_seed_goes_on_from_the_last_one():
    one, other = cartpole(), cartpole()
    starts = []
    for env in (one, other):
        env.reset(seed=5)
        starts.append([env.reset()[0] for _ in range(2)])
    assert np.array_equal(starts[0], starts[1])
    assert not np.array_equal(*starts[0])


def test_a_step_after_the_last_is_refused_instead_of_beginning_another_episode():
    env = cartpole()
    rows = play(env, 1, steps=200)
    assert rows[-1][2:] == (True, False)
    assert len(rows) < 200
    with pytest.raises(gym.error.ResetNeeded):
        env.step(1)
    env.reset(seed=1)
    env.step(1)


def test_a_step_before_the_first_reset_is_refused():
    with pytest.raises(gym.error.ResetNeeded):
        cartpole().step(0)


def test_the_horizon_truncates_and_the_end_of_the_pole_terminates():
    rows = play(cartpole(horizon=4), 1)
    assert [row[2:] for row in rows[1:]] == [(False, False)] * 3 + [(False, True)]
    fallen = play(cartpole(), 1)
    both = play(cartpole(horizon=len(fallen) - 1), 1)
    assert both[-1][2] != both[-1][3]


def test_what_was_shown_stays_as_it_was():
    env = cartpole()
    observation, info = env.reset(seed=0)
    before = observation.copy()
    env.step(0)
    assert np.array_equal(observation, before)
    assert env.observation_space.contains(observation)
    assert {"env_id", "players", "elapsed_step"}.isdisjoint(info)


def test_what_a_batch_of_one_holds_is_its_own():
    batch = {"a": np.zeros((1, 2)), "b": {"c": np.array([True])}}
    held = only(batch)
    batch["a"][:] = 1
    assert held["a"].tolist() == [0, 0]
    assert held["b"] == {"c": True}


def test_a_frame_is_drawn():
    env = cartpole(render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    assert (frame.shape, frame.dtype) == ((240, 240, 3), np.uint8)
    assert frame.std() > 1


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_resets_leave_no_threads_behind():
    env = cartpole()
    env.reset(seed=0)
    before = len(list(Path("/proc/self/task").iterdir()))
    for seed in range(20):
        env.reset(seed=seed)
    assert len(list(Path("/proc/self/task").iterdir())) <= before + 1


def test_without_the_package_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(MissingExtra, match=r"pip install 'generalist\[envpool\]'"):
        cartpole()
    with pytest.raises(MissingExtra, match=r"pip install 'generalist\[procgen\]'"):
        new_pool("CoinrunHard-v0", 0, "procgen")
