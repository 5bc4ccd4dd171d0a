import numpy as np
import pytest

from generalist.envs.families import metaworld

NAMES = ["drawer-close-v3", "button-press-topdown-v3", "door-open-v3", "push-v3"]


@pytest.mark.parametrize("name", NAMES)
def test_every_seed_has_a_goal_and_start_of_its_own(name):
    env = metaworld.make(name)
    starts = [env.reset(seed=seed)[0] for seed in range(20)]
    assert len(np.unique(np.round(starts, 4), axis=0)) == 20
    assert all(env.observation_space.contains(start) for start in starts)


def test_no_trace_of_the_episode_before():
    """Also not of an episode that was left in the middle, arm bent and door open."""
    fresh, used = metaworld.make("door-open-v3"), metaworld.make("door-open-v3")
    observation, _ = used.reset(seed=1)
    act = metaworld.door_open_expert(used)
    for _ in range(60):
        observation, *_ = used.step(act(observation))
    one, other = fresh.reset(seed=2)[0], used.reset(seed=2)[0]
    for _ in range(80):
        assert np.array_equal(one, other)
        action = act(one)
        one, other = fresh.step(action)[0], used.step(action)[0]


def test_environments_of_one_task_share_no_state():
    one, other = metaworld.make("push-v3"), metaworld.make("push-v3")
    start, _ = one.reset(seed=3)
    other.reset(seed=4)
    other.unwrapped.model.body_pos[:] += 1
    other.step(np.ones(4, np.float32))
    again = metaworld.make("push-v3")
    for env in (one, again):
        observation, _ = env.reset(seed=3)
        assert observation.tolist() == start.tolist()


def test_the_global_random_state_has_no_say():
    env = metaworld.make("push-v3")
    np.random.seed(0)  # noqa: NPY002 (Meta-World itself draws from it)
    one = env.reset(seed=3)[0]
    np.random.seed(1)  # noqa: NPY002
    assert np.array_equal(env.reset(seed=3)[0], one)


def test_without_a_seed_the_next_episode_is_another_one():
    env = metaworld.make("push-v3")
    one = env.reset(seed=3)[0]
    two = env.reset()[0]
    assert not np.array_equal(one, two)
    env.reset(seed=3)
    assert np.array_equal(env.reset()[0], two)


def test_the_episode_terminates_at_the_first_success():
    env = metaworld.make("drawer-close-v3")
    observation, _ = env.reset(seed=0)
    act, flags = metaworld.scripted_expert(env), []
    while not flags or not any(flags[-1]):
        observation, _, terminated, truncated, info = env.step(act(observation))
        flags.append((terminated, truncated))
        assert info["success"] == terminated
    assert flags[-1] == (True, False)
    assert len(flags) < 150


def test_the_goal_is_visible_and_constant():
    env = metaworld.make("push-v3")
    observation, _ = env.reset(seed=0)
    goal = observation[-3:]
    assert goal.any()
    for _ in range(5):
        observation, *_ = env.step(np.zeros(4, np.float32))
        assert np.array_equal(observation[-3:], goal)


def test_the_scripted_policy_gets_a_copy_of_the_observation():
    """door-open's policy writes into what it is given."""
    env = metaworld.make("door-open-v3")
    observation, _ = env.reset(seed=0)
    before = observation.copy()
    metaworld.scripted_expert(env)(observation)
    assert np.array_equal(observation, before)


def test_what_the_gripper_touches_is_found_as_meta_world_finds_it():
    """Before it closes around the puck and after."""
    env = metaworld.make("pick-place-v3")
    base = env.unwrapped
    theirs, found = type(base).__mro__[1].touching_object, []
    observation, _ = env.reset(seed=0)
    act = metaworld.scripted_expert(env)
    for _ in range(60):
        observation, *_ = env.step(act(observation))
        touched = bool(theirs(base, base._get_id_main_object()))
        assert base.touching_object(base._get_id_main_object()) == touched
        found.append(touched)
    assert 5 < sum(found) < 55
    env.close()


def test_the_door_expert_opens_the_doors_that_stall_the_scripted_policy():
    env = metaworld.make("door-open-v3")
    for seed in (1610612746, 1610612751):
        observation, _ = env.reset(seed=seed)
        act, terminated, steps = metaworld.door_open_expert(env), False, 0
        while not terminated and steps < 150:
            observation, _, terminated, _, _ = env.step(act(observation))
            steps += 1
        assert terminated
