from pathlib import Path

import numpy as np
import pytest

from generalist.envs.families import robotics

IDS = [task.id for task in robotics.TASKS]
SPARSE = [task for task in robotics.TASKS if "Dense" not in task.id]
sparse = pytest.mark.parametrize("task", SPARSE, ids=lambda task: task.id)


def row(observation) -> np.ndarray:
    return np.concatenate([observation[key] for key in sorted(observation)])


def play(env, seed: int, actions: list) -> np.ndarray:
    """Observations of fixed actions after a reset; until the episode ends."""
    rows = [row(env.reset(seed=seed)[0])]
    for action in actions:
        observation, _, terminated, truncated, _ = env.step(action)
        rows.append(row(observation))
        if terminated or truncated:
            break
    return np.stack(rows)


def solve(task, env, seed: int) -> tuple[int, dict, bool, bool]:
    observation, _ = env.reset(seed=seed)
    act, steps, over = task.expert(env), 0, False
    while not over:
        before = row(observation)
        action = act(observation)
        assert np.array_equal(row(observation), before)
        assert env.action_space.contains(action)
        observation, _, terminated, truncated, info = env.step(action)
        assert env.observation_space.contains(observation)
        assert type(info["success"]) is bool
        assert info["success"] == terminated
        steps, over = steps + 1, terminated or truncated
    return steps, info, terminated, truncated


def test_the_listed_ids_and_their_limits_are_the_registered_ones():
    import gymnasium as gym

    robotics.make("FetchReach-v4")
    assert len(set(IDS)) == len(IDS) == 28
    assert all(gym.spec(task.id).max_episode_steps == task.horizon for task in robotics.TASKS)


@sparse
def test_the_same_seed_is_the_same_episode(task):
    """In a new environment, and in one that was left in the middle of another one, the arm at the block."""
    fresh, used = task.make(), task.make()
    fresh.action_space.seed(0)
    actions = [fresh.action_space.sample() for _ in range(25)]
    observation, _ = used.reset(seed=9)
    act = task.expert(used)
    for _ in range(8):
        observation, _, terminated, *_ = used.step(act(observation))
        if terminated:
            break
    expected = play(fresh, 5, actions)
    assert np.array_equal(play(used, 5, actions), expected)


@sparse
def test_seeds_have_goals_of_their_own(task):
    env = task.make()
    goals = [tuple(env.reset(seed=seed)[0]["desired_goal"]) for seed in range(6)]
    assert len(set(goals)) == 6


@sparse
def test_the_expert_ends_episodes_by_success(task):
    env = task.make()
    played = [solve(task, env, seed) for seed in range(6)]
    successes = [info["success"] for _, info, *_ in played]
    assert sum(successes) >= (2 if "Slide" in task.id else 6)
    for steps, info, terminated, truncated in played:
        assert (terminated, truncated) == (info["success"], not info["success"])
        assert steps <= task.horizon


@pytest.mark.parametrize("id", ["FetchPush-v4", "PointMaze_UMaze-v3"])
def test_an_unsolved_episode_is_truncated_at_the_horizon(id):
    task = next(task for task in robotics.TASKS if task.id == id)
    env = task.make()
    env.reset(seed=0)
    idle = np.zeros(env.action_space.shape, np.float32)
    ends = [env.step(idle)[2:4] for _ in range(task.horizon)]
    assert ends[-2:] == [(False, False), (False, True)]


def test_the_dense_tasks_differ_in_their_reward_alone():
    sparse_env, dense_env = robotics.make("FetchReach-v4"), robotics.make("FetchReachDense-v4")
    one, other = sparse_env.reset(seed=1)[0], dense_env.reset(seed=1)[0]
    assert np.array_equal(row(one), row(other))
    action = np.array([0.1, 0, 0, 0], np.float32)
    one, reward, *_ = sparse_env.step(action)
    other, dense_reward, *_ = dense_env.step(action)
    assert np.array_equal(row(one), row(other))
    assert reward == -1
    assert dense_reward == pytest.approx(-np.linalg.norm(one["desired_goal"] - one["achieved_goal"]))


def test_a_maze_leaves_no_file_behind():
    env = robotics.make("PointMaze_UMaze-v3")
    assert not Path(env.unwrapped.tmp_xml_file_path).exists()


def test_the_import_is_silent(capfd):
    import subprocess
    import sys

    code = "from generalist.envs.families import robotics; robotics.make('FetchReach-v4')"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    assert capfd.readouterr() == ("", "")


def test_frames_are_drawn():
    for id in ("FetchReach-v4", "PointMaze_UMaze-v3"):
        env = robotics.make(id, render_mode="rgb_array")
        env.reset(seed=0)
        frame = env.render()
        env.close()
        assert frame.dtype == np.uint8
        assert frame.std() > 1
