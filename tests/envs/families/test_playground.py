"""MuJoCo Playground by envpool: seeds, horizons, and only what the robot sees."""

from importlib.util import find_spec

import numpy as np
import pytest

from generalist.envs.families import playground
from generalist.envs.task_spaces import stored_spaces

pytestmark = pytest.mark.skipif(find_spec("envpool") is None, reason="needs the extra envpool")


def play(env, seed: int, steps: int = 25) -> list:
    rows = [(env.reset(seed=seed)[0], 0.0, False, False)]
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, *env.action_space.shape))
    for action in actions:
        rows.append(env.step(action)[:4])
        if rows[-1][2] or rows[-1][3]:
            break
    return rows


def same(one: list, other: list) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a[0], b[0]) and a[1:] == b[1:] for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("name", ["PandaOpenCabinet", "AeroCubeRotateZAxis"])
def test_a_seed_is_an_episode_in_a_new_and_in_a_used_environment(name):
    env, used = playground.make(name), playground.make(name)
    play(used, 1)
    first = play(env, 4)
    assert same(first, play(used, 4))
    assert not same(first, play(env, 5))
    assert all(env.observation_space.contains(row[0]) for row in first)


def test_the_privileged_state_is_not_shown():
    """A hand that sees 14 numbers, where a critic in training sees 81 more."""
    env = playground.make("AeroCubeRotateZAxis")
    observation, _ = env.reset(seed=0)
    assert observation.shape == env.observation_space.shape == (14,)


def test_an_episode_is_cut_at_its_horizon():
    env = playground.make("PandaOpenCabinet")
    env.reset(seed=0)
    ends = [env.step(np.zeros(8))[2:4] for _ in range(playground.HORIZONS["PandaOpenCabinet"])]
    assert ends[-1] == (False, True)
    assert set(ends[:-1]) == {(False, False)}


def test_a_robot_that_falls_is_terminated():
    env = playground.make("Go1JoystickFlatTerrain")
    rows = play(env, 0, 400)
    assert rows[-1][2:] == (True, False)
    assert len(rows) < 400


def test_a_frame_is_drawn():
    env = playground.make("AeroCubeRotateZAxis", render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    env.close()
    assert (frame.shape, frame.dtype) == ((240, 240, 3), np.uint8)
    assert frame.std() > 5


def test_no_task_shows_a_dict():
    spaces = [stored_spaces()[task.id][0] for task in playground.TASKS]
    assert len(spaces) == 29
    assert all(len(space.shape) == 1 for space in spaces)
