import numpy as np
import pytest

from generalist.envs.families import box2d

tasks = pytest.mark.parametrize("task", box2d.TASKS, ids=lambda task: task.id)


def play(env, seed: int, actions: list) -> list[np.ndarray]:
    rows = [env.reset(seed=seed)[0]]
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        rows.append(np.append(observation.ravel(), [reward, terminated]))
        if terminated or truncated:
            break
    return rows


@tasks
def test_no_trace_of_the_episodes_before(task):
    """Also not of one that was left in the middle; the walkers' own reset keeps the world's solver."""
    steps = 20 if task.id.startswith("Car") else 150
    fresh, used = task.make(), task.make()
    fresh.action_space.seed(0)
    actions = [fresh.action_space.sample() for _ in range(steps)]
    play(used, 8, actions)
    play(used, 9, actions[: steps // 3])
    expected = play(fresh, 5, actions)
    again = play(used, 5, actions)
    assert len(again) == len(expected)
    assert all(np.array_equal(one, other) for one, other in zip(again, expected, strict=True))
    assert not np.array_equal(play(used, 6, actions)[-1], expected[-1])


@tasks
def test_the_horizon_is_the_registered_limit(task):
    env = task.make()
    assert env.spec is not None
    assert env.spec.max_episode_steps == task.horizon


def test_a_climbing_lander_stays_in_its_space():
    env = box2d.make("LunarLander-v3")
    observation, _ = env.reset(seed=0)
    height = []
    for _ in range(400):
        lean = 0.5 * observation[4] + observation[5]
        observation, _, terminated, *_ = env.step(3 if lean > 0.05 else 1 if lean < -0.05 else 2)
        assert env.observation_space.contains(observation)
        height.append(float(observation[1]))
        if terminated:
            break
    assert max(height) == 2.5


@pytest.mark.parametrize(("id", "least"), [("LunarLander-v3", 200), ("LunarLanderContinuous-v3", 240)])
def test_the_expert_lands(id, least):
    task = next(task for task in box2d.TASKS if task.id == id)
    env = task.make()
    returns = []
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        act, total, over = task.expert(env), 0.0, False
        while not over:
            action = act(observation)
            assert env.action_space.contains(action)
            observation, reward, terminated, truncated, _ = env.step(action)
            total, over = total + reward, terminated or truncated
        returns.append(total)
    assert np.median(returns) > least


def test_the_expert_is_a_function_of_the_observation():
    one, other = box2d.make("LunarLander-v3"), box2d.make("LunarLander-v3")
    observation, _ = one.reset(seed=0)
    other.reset(seed=1)
    act, other_act = box2d.lander_expert(one), box2d.lander_expert(other)
    for _ in range(60):
        action = act(observation)
        assert other_act(observation) == action
        observation, *_ = one.step(action)


def test_frames_are_drawn():
    env = box2d.make("BipedalWalker-v3", render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    assert frame.dtype == np.uint8
    assert frame.std() > 1
