import json

import numpy as np
import pytest
from gymnasium import spaces

from generalist.envs.table import all_tasks, find_task
from generalist.envs.task_spaces import kinds, store_spaces, stored_spaces, summary

SAMPLE = ("CartPole-v1", "Taxi-v4", "Reacher-v5", "babyai/GoToObj", "babyai_symbolic/GoToObj", "metaworld/push-v3")


def test_every_task_has_stored_spaces():
    assert set(stored_spaces()) == {task.id for task in all_tasks()}


@pytest.mark.parametrize("id", SAMPLE)
def test_stored_spaces_are_those_of_the_environment(id):
    env = find_task(id).make()
    assert stored_spaces()[id] == (env.observation_space, env.action_space)


def test_a_space_that_several_tasks_share_is_stored_once(tmp_path):
    path = tmp_path / "spaces.json"
    order = ["CartPole-v1", "Taxi-v4", "CliffWalking-v1"]
    store_spaces([find_task("Taxi-v4")], order, path)
    store_spaces([find_task("CartPole-v1"), find_task("gym:CartPole-v1")][:1], order, path)
    data = json.loads(path.read_text())
    assert list(data["tasks"]) == order[:2]
    assert len(data["spaces"]) == 4
    assert stored_spaces(path)["Taxi-v4"][0] == spaces.Discrete(500)


@pytest.mark.parametrize(
    ("space", "text", "kind"),
    [
        (spaces.Discrete(4), "Discrete(4)", {"discrete"}),
        (spaces.MultiDiscrete([3, 4]), "MultiDiscrete(2)", {"discrete"}),
        (spaces.Box(0, 1, (3,)), "Box(3,) float32", {"continuous"}),
        (spaces.Box(0, 255, (8, 8, 3), np.uint8), "Box(8, 8, 3) uint8", {"image"}),
        (spaces.Box(0, 255, (8,), np.uint8), "Box(8,) uint8", {"discrete"}),
        (
            spaces.Dict({"a": spaces.Text(4), "b": spaces.Tuple([spaces.Discrete(2)])}),
            "{a: text, b: (Discrete(2))}",
            {"text", "discrete"},
        ),
    ],
)
def test_a_space_in_a_few_characters(space, text, kind):
    assert summary(space) == text
    assert kinds(space) == kind
