from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from imported import TASK, imported, trained_arm
from tiny import TASKS, demonstrations, trained

from generalist.envs.table import find_task
from generalist.envs.task import UnknownTask
from generalist.eval.playable import _difference, split_tasks
from generalist.play.agent import Agent


def test_the_tasks_of_the_run_are_played():
    played, measured = split_tasks(Agent.load(trained()), (), demonstrations())
    assert [task.id for task in played] == list(TASKS)
    assert measured == {}


def test_one_without_an_environment_is_measured():
    played, measured = split_tasks(Agent.load(trained_arm()), (), imported())
    assert (played, list(measured)) == ((), [TASK])
    assert "no environment" in measured[TASK]


def test_one_that_nobody_knows_is_refused():
    with pytest.raises(UnknownTask, match="CartPol-v1"):
        split_tasks(Agent.load(trained()), "CartPol-v1", demonstrations())


def test_all_can_be_measured_as_asked():
    task = find_task(TASKS[0])
    played, measured = split_tasks(Agent.load(trained()), [task, TASKS[1]], demonstrations(), offline=True)
    assert (played, list(measured)) == ((), list(TASKS))


BOX = spaces.Box(-1, 1, (3,), np.float32)


def test_one_whose_data_have_other_spaces_than_its_environment_is_measured():
    agent = Agent.load(trained())
    layouts = agent.run.layouts | {TASKS[0]: replace(agent.run.layouts[TASKS[0]], observation_space=BOX, statistics={})}
    other = replace(agent, run=replace(agent.run, layouts=layouts))
    played, measured = split_tasks(other, (), demonstrations())
    assert ([task.id for task in played], list(measured)) == ([TASKS[1]], [TASKS[0]])
    assert "observation of the data is Box(-1.0, 1.0, (3,), float32)" in measured[TASKS[0]]


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (BOX, spaces.Box(-9, 9, (3,), np.float64), ""),
        (spaces.Dict(say=spaces.Text(4), x=BOX), spaces.Dict(say=spaces.Text(9), x=BOX), ""),
        (BOX, spaces.Box(-1, 1, (4,), np.float32), "observation of the data is Box"),
        (spaces.Discrete(3), spaces.Discrete(4), "Discrete(3), of the environment Discrete(4)"),
        (spaces.MultiDiscrete([2, 3]), spaces.MultiDiscrete([2, 4]), "MultiDiscrete"),
        (spaces.Dict(a=BOX), spaces.Dict(a=BOX, b=BOX), "have ['a'], those of the environment ['a'], ['b']"),
        (spaces.Discrete(3), BOX, "Discrete(3)"),
    ],
)
def test_an_agent_plays_where_the_shapes_are_those_of_its_data(ours: gym.Space, theirs: gym.Space, said: str):
    found = _difference("observation", ours, theirs)
    assert (said in found) if said else (found == "")
