"""Every row of the table keeps the contract of a task: seeds, spaces, horizon, success, an expert worth its name."""

import numpy as np
import pytest

from generalist.envs.reference import load_references, random_policy
from generalist.envs.seeds import selection_seed
from generalist.envs.task import Task, all_tasks

IDS = [task.id for task in all_tasks()]
tasks = pytest.mark.parametrize("task", all_tasks(), ids=IDS)


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
    assert len(set(IDS)) == len(IDS) == 18
    families = {"classic_control": 5, "toy_text": 3, "mujoco": 2, "babyai": 4, "metaworld": 4}
    assert {family: sum(task.family == family for task in all_tasks()) for family in families} == families
    assert all(task.expert is not None and task.provenance and task.extra for task in all_tasks())


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
    if task.id == "CliffWalking-v1":
        assert not any(different), "CliffWalking has one start and no randomness"
    else:
        assert any(different)


@tasks
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


@tasks
def test_the_expert_leaves_the_observation_as_it_was(task: Task):
    env = task.make()
    observation, _ = env.reset(seed=1)
    expert = task.expert(env)
    for _ in range(3):
        before = [np.array(leaf) for leaf in flat(observation)]
        action = expert(observation)
        assert all(np.array_equal(a, b) for a, b in zip(before, flat(observation), strict=True))
        observation, *_ = env.step(action)


@tasks
def test_every_episode_ends_at_the_horizon(task: Task):
    """An action that solves nothing: truncated exactly at the horizon, or terminated before it."""
    env = task.make()
    idle = {"Box": lambda: np.zeros(env.action_space.shape, np.float32), "Discrete": lambda: 0}
    action = idle[type(env.action_space).__name__]()
    _, steps, terminated, truncated, info = play(env, lambda env: lambda observation: action, seed=2)
    assert steps <= task.horizon
    assert truncated == (steps == task.horizon)
    if task.id not in ("CartPole-v1", "InvertedPendulum-v5", "FrozenLake8x8-v1"):
        assert (steps, terminated) == (task.horizon, False)
    assert not info.get("success", False)


FEW = {"CartPole-v1": 2, "InvertedPendulum-v5": 1, "FrozenLake8x8-v1": 20, "CliffWalking-v1": 1}


@tasks
def test_the_expert_reaches_its_reference_and_random_does_not(task: Task):
    """Within three standard errors of a few episodes, on seeds the reference was not measured on."""
    env = task.make()
    count = FEW.get(task.id, 5)
    played = [play(env, task.expert, selection_seed(episode)) for episode in range(count)]
    reference = task.expert_reference
    margin = 3 * reference.std / np.sqrt(count) + 1e-3
    assert np.mean([total for total, *_ in played]) > reference.mean - margin
    if task.has_success:
        successes = [info["success"] for *_, info in played]
        assert np.mean(successes) >= (0.6 if task.id == "FrozenLake8x8-v1" else 1.0)
    key = "success" if task.score == "success" else "mean"
    assert getattr(reference, key) > getattr(task.random_reference, key)


@tasks
def test_the_random_reference_is_reproduced(task: Task):
    env = task.make()
    count = 1 if task.family == "metaworld" else 3
    totals = [play(env, lambda env, seed=seed: random_policy(env, seed), seed)[0] for seed in range(count)]
    reference = task.random_reference
    assert abs(np.mean(totals) - reference.mean) < 6 * reference.std + 1e-3


def test_every_task_has_both_references_with_versions():
    references = load_references()
    assert set(references) == set(IDS)
    for row in references.values():
        for reference in row.values():
            assert reference.episodes >= 50
            assert "gymnasium" in reference.versions


@pytest.mark.parametrize(
    "id", ["CartPole-v1", "Taxi-v4", "Reacher-v5", "babyai/GoToObj", "metaworld/push-v3"], ids=lambda id: id
)
def test_a_frame_is_rendered_for_each_family(id):
    env = next(task for task in all_tasks() if task.id == id).make(render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    env.close()
    assert frame.dtype == np.uint8
    assert frame.shape[2] == 3
    assert frame.std() > 1
