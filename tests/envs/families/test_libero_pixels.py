"""The same episodes as from states, seen by two cameras."""

import subprocess
import sys

import numpy as np
import pytest

from generalist.envs.families import libero, libero_pixels
from generalist.envs.families.libero_tasks import NAMES, PIXELS, ids_of_instruction
from generalist.envs.seeds import evaluation_seed
from generalist.envs.table import all_tasks, find_task
from generalist.envs.task_spaces import stored_spaces

SUITE, NAME = "libero_goal", "put_the_bowl_on_the_plate"
ID = f"{SUITE}{PIXELS}/{NAME}"


@pytest.fixture(scope="module")
def env():
    pytest.importorskip("libero")
    env = libero_pixels.make(SUITE, NAME, render_mode="rgb_array")
    yield env
    env.close()


def test_every_task_has_a_view_by_cameras():
    assert [task.id.replace(PIXELS, "") for task in libero_pixels.TASKS] == [task.id for task in libero.TASKS]
    assert {task.family for task in libero_pixels.TASKS} == {f"{suite}{PIXELS}" for suite in NAMES}
    state, seen = (find_task(id) for id in (f"{SUITE}/{NAME}", ID))
    assert (seen.horizon, seen.expert, seen.extra) == (state.horizon, state.expert, "libero")
    measured = {task.id: task for task in all_tasks() if task.extra == "libero" and task.expert_reference}
    assert any(id.split("/")[0].endswith(PIXELS) for id in measured)
    assert {stored_spaces()[task.id][0] == libero_pixels.OBSERVATION for task in libero_pixels.TASKS} == {True}
    assert ids_of_instruction("Turn on the stove.", f"{SUITE}{PIXELS}") == (f"{SUITE}{PIXELS}/turn_on_the_stove",)


@pytest.mark.slow
def test_the_episodes_are_those_from_states(env):
    assert stored_spaces()[ID] == (env.observation_space, env.action_space)
    state = libero.make(SUITE, NAME)
    expected, seen = (each.reset(seed=evaluation_seed(3))[0] for each in (state, env))
    for action in np.random.default_rng(0).uniform(-1, 1, (3, 7)).astype(np.float32):
        assert env.observation_space.contains(seen)
        assert np.array_equal(env.data.qpos, state.data.qpos)
        assert np.array_equal(seen["robot"], expected["state"][: libero.ROBOT])
        assert seen["instruction"] == expected["instruction"] == "put the bowl on the plate"
        (expected, *others), (seen, *same) = state.step(action), env.step(action)
        assert others == same
    state.close()


@pytest.mark.slow
def test_the_cameras_see_different_things_and_the_first_is_a_mirror(env):
    """As published policies see it: robosuite's picture, which is upside down, turned by half a turn."""
    begun, _ = env.reset(seed=evaluation_seed(0))
    image, wrist = begun["image"].astype(int), begun["wrist"].astype(int)
    assert abs(image - wrist).mean() > 20
    assert min(image.std(), wrist.std()) > 10
    # Every other pixel of the frame of `render`, which is upright and twice as large.
    upright = env.render()[::2, ::2].astype(int)
    assert abs(image - upright[:, ::-1]).mean() < 8 < abs(image - upright).mean()
    for _ in range(2):
        later, *_ = env.step(np.array([0, 0, -1, 0, 0, 0, -1], np.float32))
    assert abs(later["wrist"] - wrist).mean() > 1


MISSING = f"""
import sys
sys.modules["libero"] = None
from generalist.envs.table import all_tasks, find_task
from generalist.envs.task import MissingExtra
try:
    find_task("{ID}").make()
except MissingExtra as missing:
    assert "pip install 'generalist[libero]'" in str(missing), missing
else:
    raise AssertionError
"""


def test_without_the_package_the_message_says_what_to_install():
    subprocess.run([sys.executable, "-c", MISSING], check=True)
