"""Environments of installed packages that the task table does not list, by commands alone.

A Dict observation of a robot arm (gymnasium-robotics), a MultiDiscrete action (popgym) and a 210 x 160 image (ale-py).
"""

import gymnasium as gym
import numpy as np
import pytest

from generalist.configs.commands import cli
from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.envs.table import find_task
from generalist.eval.report.record import load_report
from generalist.play.agent import Agent

ROBOT = "gym:gymnasium_robotics:FetchReach-v4"
SHIPS = "gym:popgym:popgym-BattleshipEasy-v0"
PONG = "gym:ale_py:ALE/Pong-v5"
TASKS = (ROBOT, SHIPS, PONG)
SPACES = {
    ROBOT: (gym.spaces.Dict, gym.spaces.Box),
    SHIPS: (gym.spaces.Discrete, gym.spaces.MultiDiscrete),
    PONG: (gym.spaces.Box, gym.spaces.Discrete),
}
EVERY = [argument for task in TASKS for argument in ("--task", task)]
EPISODES = 2

pytestmark = pytest.mark.slow


def generalist(*arguments: str) -> None:
    assert cli.main(list(arguments)) == 0, arguments


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Data and a run, whose images are one token each: as patches a frame of Pong is 140, more than a row holds."""
    folder = tmp_path_factory.mktemp("packages")
    data, run = str(folder / "data"), str(folder / "run")
    generalist("collect", *EVERY, "--policy", "random", "--episodes", str(EPISODES), "--workers", "1", "--out", data)
    small = ("--train.sources.0.layout.images", "conv", "--train.agent.layers", "1", "--train.steps", "2")
    generalist("train", "smoke", *EVERY, *small, "--data", data, "--out", run)
    generalist("eval", run, "--episodes", "1", "--selection-episodes", "1", "--prompts", "0", "--workers", "1")
    return folder


@pytest.fixture(scope="module")
def report(home):
    return load_report(home / "run" / "report.json")


@pytest.mark.parametrize("task", TASKS)
def test_random_play_is_recorded_in_the_spaces_of_the_environment(home, task):
    stored = Demonstrations.open(dataset_folder(home / "data", task))
    env = find_task(task).make()
    assert (type(stored.observation_space), type(stored.action_space)) == SPACES[task]
    assert stored.observation_space == env.observation_space
    assert stored.action_space == env.action_space
    assert len(stored) == EPISODES
    for index in range(EPISODES):
        episode = stored.episode(index)
        assert len(episode.actions) == len(episode.rewards) == stored.lengths[index]
        assert all(env.action_space.contains(action) for action in episode.actions)
    env.close()


@pytest.mark.parametrize("task", TASKS)
def test_the_agent_gives_actions_of_the_space(home, task):
    env = find_task(task).make()
    agent = Agent.load(home / "run")
    assert agent.layout(env)[1] == TASKS.index(task)
    policy = agent.policy(env)
    observation, _ = env.reset(seed=0)
    for _ in range(3):
        action = policy(observation)
        assert env.action_space.contains(np.asarray(action) if isinstance(action, np.generic) else action)
        observation, *_ = env.step(action)
    env.close()


def test_the_report_has_every_policy_and_no_normalised_score(report):
    assert [task["id"] for task in report["tasks"]] == list(TASKS)
    for task in report["tasks"]:
        for policy in ("agent", "random", "constant", "linear", "nearest_neighbour"):
            assert len(task[policy]["returns"]) == 1, policy
            assert 1 <= task[policy]["lengths"][0] <= task["horizon"]
        assert task["expert"] is None
        assert task["normalized"] is None
        assert task["undefined"] == "the task has no expert mean"
    assert report["overall"]["tasks"] == 0


def test_the_returns_are_those_of_the_games(report):
    robot, ships, pong = report["tasks"]
    assert robot["horizon"] == robot["agent"]["lengths"][0] == 50
    assert -50 <= robot["agent"]["mean"] <= 0
    assert ships["agent"]["lengths"][0] <= 64
    assert -21 <= pong["random"]["mean"] < 0
    assert pong["random"]["mean"].is_integer()


def test_the_report_names_the_packages_of_the_environments(report):
    assert {"gymnasium-robotics", "popgym", "ale-py"} <= set(report["versions"])


def test_an_image_of_too_many_patches_is_one_clear_line(home, capsys):
    """As patches a frame of Pong is longer than a row of the smoke config."""
    assert cli.main(["train", "smoke", "--task", PONG, "--data", str(home / "data"), "--out", str(home / "new")]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"error: a timestep of {PONG} has 141 tokens and does not fit sequence_length 64: raise it")
    assert "--train.sources.0.layout.images conv" in line
    assert not (home / "new").exists()
