"""Rows of the table keep the contract of a task: seeds, spaces, horizon, success, an expert worth its name.

A sample: the quickstart, and one task of every other family and view. GENERALIST_EVERY_TASK=1 takes all, an hour.
"""

import os
from collections import Counter

import numpy as np
import pytest
from wheels import marked

from generalist.demonstrations.storage import dataset_folder
from generalist.envs.reference import EPISODES, Measurement, load_references, measure, random_policy
from generalist.envs.seeds import evaluation_seed, selection_seed
from generalist.envs.sets import task_set
from generalist.envs.table import all_tasks, find_task
from generalist.envs.task import GOOD_SUCCESS, Task

OTHERS = (
    "FrozenLake-v1",
    "CliffWalkingSlippery-v1",
    "Blackjack-v1",
    "LunarLander-v3",
    "InvertedDoublePendulum-v5",
    "dm_control/cartpole-balance",
    "dm_control_small/reacher-easy",
    "dm_control_large/pendulum-swingup",
    "babyai/KeyInBox",
    "babyai/PutNextS6N3Carrying",
    "babyai_symbolic/GoToLocalS5N2",
    "minigrid/DoorKey-5x5",
    "metaworld/hammer-v3",
    "FetchReach-v4",
    "PointMaze_UMaze-v3",
    "sokoban/7x7-1box",
)
SAMPLE = all_tasks() if os.environ.get("GENERALIST_EVERY_TASK") else (*task_set("quickstart"), *map(find_task, OTHERS))
PLAYED = [task for task in SAMPLE if task.expert is not None and task.expert_reference is not None]
ids = {"ids": lambda task: task.id}
tasks = pytest.mark.parametrize("task", marked(SAMPLE), **ids)
played = pytest.mark.parametrize("task", marked(PLAYED), **ids)


def flat(observation) -> list:
    if isinstance(observation, dict):
        return [item for key in sorted(observation) for item in flat(observation[key])]
    return [observation]


def equal(one, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(flat(one), flat(other), strict=True))


def record(env, seed: int, actions: list) -> list:
    """Observations, rewards and flags of fixed actions after a reset."""
    observation, _ = env.reset(seed=seed)
    steps = [(observation, 0.0, False, False, None)]
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        steps.append((observation, reward, terminated, truncated, info.get("success")))
        if terminated or truncated:
            break
    return steps


def same_record(one: list, other: list) -> bool:
    return len(one) == len(other) and all(equal(a[0], b[0]) and a[1:] == b[1:] for a, b in zip(one, other, strict=True))


def play(env, act, seed: int):
    """Total reward, steps, and the flags of the last step."""
    observation, _ = env.reset(seed=seed)
    action_of, total, steps = act(env), 0.0, 0
    while True:
        observation, reward, terminated, truncated, info = env.step(action_of(observation))
        total, steps = total + float(reward), steps + 1
        if terminated or truncated:
            return total, steps, terminated, truncated, info


def test_the_table_has_the_promised_tasks():
    ids = [task.id for task in all_tasks()]
    assert len(ids) == len(set(ids)) >= 300
    assert len({dataset_folder("", id) for id in ids}) == len(ids), "every task has a folder of its own"
    assert {task.id for task in all_tasks() if not task.provenance} == set()
    families = Counter(task.family for task in all_tasks())
    assert {
        "classic_control": 5,
        "toy_text": 6,
        "metaworld": 50,
        "babyai": 96,
        "atari": 104,
    }.items() <= families.items()


def test_two_hundred_and_thirty_experts_are_measured():
    assert sum(task.expert is not None and task.expert_reference is not None for task in all_tasks()) >= 230


def test_an_expert_that_fails_more_than_one_episode_in_ten_is_marked_and_why():
    failing = [
        task.id
        for task in all_tasks()
        if (expert := task.expert_reference) and expert.success is not None and expert.success < GOOD_SUCCESS
    ]
    assert failing
    assert [id for id in failing if not find_task(id).note] == []


def test_a_task_without_an_expert_says_why():
    assert [task.id for task in all_tasks() if task.expert is None and not task.note] == []


def test_fewer_than_a_hundred_episodes_are_explained():
    short = {
        task.id
        for task in all_tasks()
        for reference in (task.random_reference, task.expert_reference)
        if reference and reference.episodes < EPISODES and not reference.note
    }
    assert short == set()


@tasks
def test_the_same_seed_is_the_same_episode(task: Task):
    """In a new environment, and in one that has played something else before."""
    env, used = task.make(), task.make()
    env.action_space.seed(3)
    actions = [env.action_space.sample() for _ in range(30)]
    record(used, 99, actions[::-1])
    expected = record(env, 5, actions)
    assert same_record(record(used, 5, actions), expected)
    assert same_record(record(env, 5, actions), expected)


@tasks
def test_different_seeds_are_different_episodes(task: Task):
    env = task.make()
    env.action_space.seed(3)
    actions = [env.action_space.sample() for _ in range(30)]
    first = record(env, 5, actions)
    different = [not same_record(record(env, seed, actions), first) for seed in range(6, 12)]
    if task.id in ("CliffWalking-v1", "Blackjack-v1") or task.family == "myosuite":
        pass  # one start and no randomness; a hand that may be over after the first card
    else:
        assert any(different)


@played
def test_spaces_contain_what_comes_out(task: Task):
    env = task.make()
    observation, _ = env.reset(seed=1)
    expert = task.expert(env)
    for _ in range(40):
        assert env.observation_space.contains(observation)
        action = expert(observation)
        assert env.action_space.contains(action), (action, env.action_space)
        observation, reward, terminated, truncated, info = env.step(action)
        assert isinstance(terminated, bool | np.bool_)
        assert isinstance(truncated, bool | np.bool_)
        assert np.isfinite(float(reward))
        assert ("success" in info) == task.has_success
        if task.has_success:
            assert type(info["success"]) is bool
        if terminated or truncated:
            break
    assert env.observation_space.contains(observation)


@played
def test_the_expert_leaves_the_observation_as_it_was(task: Task):
    env = task.make()
    observation, _ = env.reset(seed=1)
    expert = task.expert(env)
    for _ in range(3):
        before = [np.array(leaf) for leaf in flat(observation)]
        action = expert(observation)
        assert all(np.array_equal(a, b) for a, b in zip(before, flat(observation), strict=True))
        observation, *_ = env.step(action)


ENDS_EARLY = ("CartPole-v1", "InvertedPendulum-v5", "InvertedDoublePendulum-v5", "LunarLander-v3", "Blackjack-v1")
DEADLY = ("atari", "procgen", "vizdoom", "playground", "myosuite")
"""Families where who idles falls or dies."""


@tasks
def test_every_episode_ends_at_the_horizon(task: Task):
    """An action that solves nothing: truncated exactly at the horizon, or terminated before it."""
    env = task.make()
    idle = {
        "Box": lambda: np.zeros(env.action_space.shape, np.float32),
        "Discrete": lambda: 0,
        "MultiDiscrete": lambda: np.zeros(env.action_space.shape, np.int64),
        "Text": str,
    }
    action = idle[type(env.action_space).__name__]()
    _, steps, terminated, truncated, info = play(env, lambda env: lambda observation: action, seed=2)
    assert steps <= task.horizon
    if task.id.startswith(("babyai", "minigrid")):
        assert truncated != terminated, "the limit of a level depends on its mission, and is no more than the horizon"
    else:
        assert truncated == (steps == task.horizon)
        if task.id not in ENDS_EARLY and not task.id.startswith("FrozenLake") and task.family not in DEADLY:
            assert (steps, terminated) == (task.horizon, False)
    assert not info.get("success", False)


FEW = {"CartPole-v1": 2, "InvertedPendulum-v5": 1, "FrozenLake8x8-v1": 20, "FrozenLake-v1": 20, "CliffWalking-v1": 1}
MANY_LOSE = {"FrozenLake8x8-v1": 0.6, "FrozenLake-v1": 0.5, "babyai/PutNextS6N3Carrying": 0.6}


@played
def test_the_expert_reaches_its_reference_and_random_does_not(task: Task):
    """Within three standard errors of a few episodes, on seeds the reference was not measured on."""
    env = task.make()
    count = FEW.get(task.id, 2 if task.horizon >= 1000 else 5)
    played = [play(env, task.expert, selection_seed(episode)) for episode in range(count)]
    reference = task.expert_reference
    margin = 3 * reference.std / np.sqrt(count) + 1e-3 * max(1, abs(reference.mean))
    assert np.mean([total for total, *_ in played]) > reference.mean - margin
    if task.has_success:
        successes = [info["success"] for *_, info in played]
        assert np.mean(successes) >= MANY_LOSE.get(task.id, 1.0)
    key = "success" if task.score == "success" else "mean"
    assert getattr(reference, key) > getattr(task.random_reference, key)


@played
def test_the_random_reference_is_reproduced(task: Task):
    env = task.make()
    count = 1 if task.horizon >= 500 else 3
    seeds = [evaluation_seed(number) for number in range(count)]
    totals = [play(env, lambda env, seed=seed: random_policy(env, seed), seed)[0] for seed in seeds]
    reference = task.random_reference
    assert abs(np.mean(totals) - reference.mean) < 6 * reference.std + 1e-3


CHEAP = (
    "Taxi-v4",
    "Blackjack-v1",
    "FrozenLake-v1",
    "Reacher-v5",
    "babyai/GoToObjS4",
    "babyai_symbolic/GoToLocalS5N2",
    "sokoban/7x7-1box",
    "PointMaze_UMaze-v3",
)


@pytest.mark.parametrize("id", CHEAP)
@pytest.mark.parametrize("policy", ["random", "expert"])
def test_a_cheap_sample_of_the_references_is_measured_again(id, policy):
    task = find_task(id)
    stored = task.random_reference if policy == "random" else task.expert_reference
    again = measure(task, policy, min(stored.episodes, 100 if policy == "expert" else 20))
    assert Measurement(task, policy, stored, again).agrees


VIEWS = ("babyai_symbolic/GoToSeqS5R2", "dm_control_pixels/cartpole-swingup")


@pytest.mark.parametrize("shown", marked(map(find_task, VIEWS)), **ids)
def test_another_view_plays_the_same_episode(shown):
    """So that the scores of one are those of the other."""
    other = find_task(shown.same_episodes_as)
    assert shown.expert_reference == other.expert_reference
    rewards = []
    for task in (shown, other):
        env = task.make()
        observation, _ = env.reset(seed=selection_seed(3))
        act = task.expert(env)
        rewards.append([])
        for _ in range(40):
            observation, reward, terminated, truncated, _ = env.step(act(observation))
            rewards[-1].append((float(reward), terminated, truncated))
            if terminated or truncated:
                break
    assert rewards[0] == rewards[1]


def test_every_reference_says_what_it_was_measured_with():
    ids = {task.id for task in all_tasks()}
    for id, row in load_references().items():
        assert id in ids
        for reference in row.values():
            assert {"gymnasium", "numpy"} <= set(reference.versions)


@pytest.mark.parametrize(
    "id", ["CartPole-v1", "Taxi-v4", "Reacher-v5", "babyai/GoToObj", "metaworld/push-v3", "Blackjack-v1"]
)
def test_a_frame_is_rendered_for_each_family(id):
    env = next(task for task in all_tasks() if task.id == id).make(render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    env.close()
    assert frame.dtype == np.uint8
    assert frame.shape[2] == 3
    assert frame.std() > 1
