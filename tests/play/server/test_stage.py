"""What a viewer is shown: everybody's episode from one seed, the agent's as in its own process, or one's own."""

import base64
import io
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image
from serving import DRAWN, alone
from tiny import trained

from generalist.envs.table import find_task
from generalist.eval.baselines.constant import ExpertPolicy, RandomPolicy
from generalist.play.agent import Agent
from generalist.play.server.engine import Engine
from generalist.play.server.stage import AskedPolicy, Stage, action_names, shown_action
from generalist.play.server.stage_socket import _said

TASK = find_task("CartPole-v1")


@pytest.fixture(scope="module")
def agent() -> Agent:
    return Agent.load(trained()).with_decode(DRAWN)


@pytest.fixture(scope="module")
def engine(agent):
    made = Engine(lambda task: replace(agent, explained=True), ("CartPole-v1",), slots=2)
    yield made
    made.close()


@pytest.fixture
def stage(engine):
    seat = engine.join("CartPole-v1")
    made = Stage(TASK, {"agent": AskedPolicy(engine, seat), "expert": ExpertPolicy(TASK), "random": RandomPolicy()})
    yield made
    made.close()
    engine.leave(seat)


def pixels(url: str) -> np.ndarray:
    head, _, data = url.partition(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_the_agent_plays_as_in_its_own_process_and_again_from_the_same_seed(agent, stage):
    expected = [str(action) for action in alone(agent, "CartPole-v1", 5, 6)]
    for _ in range(2):
        stage.begin(5)
        assert [stage.step()["sides"]["agent"]["action"] for _ in range(6)] == expected


def test_everybody_begins_alike_and_goes_on_apart(stage):
    first = stage.begin(1)
    pictures = [pixels(side["picture"]) for side in first["sides"].values()]
    seen = [stage.step() for _ in range(60)][-1]

    assert all((picture == pictures[0]).all() for picture in pictures)
    assert pictures[0].shape[1] == 360
    sides = seen["sides"]
    assert (sides["expert"]["over"], sides["random"]["over"]) == (False, True)
    assert sides["random"]["length"] < sides["expert"]["length"] == 60
    assert "picture" not in sides["random"]  # nothing of it has changed
    assert not seen["over"]


def test_what_the_agent_thought_is_shown(stage):
    assert stage.begin(1)["thought"] == []
    [thought] = stage.step()["thought"]

    assert thought["kind"] == "discrete"
    assert thought["names"] == ["0", "1"]
    assert sum(thought["bars"]) == pytest.approx(1, abs=1e-3)


def test_a_person_plays_in_the_agents_place(stage):
    """Pushed to one side all the time the pole falls within eleven steps."""
    stage.begin(1)
    steps = [stage.step(1) for _ in range(12)]

    assert {step["sides"]["agent"]["action"] for step in steps} == {"1"}
    assert steps[-1]["sides"]["agent"]["over"]
    assert not steps[-1]["sides"]["expert"]["over"]
    with pytest.raises(ValueError, match="no action 2"):
        stage.begin(1) and stage.step(2)


def test_names_of_actions_are_those_of_the_environment():
    minigrid = pytest.importorskip("minigrid")
    assert minigrid
    grid, arm = find_task("babyai/GoToObj").make(), find_task("Pendulum-v1").make()

    assert action_names(grid, grid.action_space)[:3] == ["left", "right", "forward"]
    assert shown_action(grid, np.int64(2)) == "forward"
    assert shown_action(arm, np.array([0.5], np.float32)) == "+0.50"
    for env in (grid, arm):
        env.close()


def test_an_environment_that_cannot_be_made_leaves_nothing_open(engine):
    made = []

    class Env(gym.Env):
        observation_space = action_space = gym.spaces.Discrete(2)

        def close(self):
            made.remove(self)

    def make(render_mode=None):
        if made:
            raise RuntimeError("no second one")
        made.append(Env())
        return made[0]

    with pytest.raises(RuntimeError, match="no second one"):
        Stage(replace(TASK, make=make), {"expert": RandomPolicy(), "random": RandomPolicy()})

    assert made == []


WRONG = [
    "",
    "[]",
    "{}",
    '{"do": "fly"}',
    '{"do": "begin"}',
    '{"do": "begin", "seed": -1}',
    '{"do": "step", "action": "1"}',
]


@pytest.mark.parametrize("text", [*WRONG, '{"do": "step", "action": true}', "[" * 100_000])
def test_what_a_viewer_cannot_mean_is_refused(text):
    with pytest.raises(ValueError, match=r"request|whole number"):
        _said(text)
