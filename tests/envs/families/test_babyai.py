import numpy as np
import pytest
from gymnasium.spaces import Text

from generalist.envs.families import babyai
from generalist.envs.task import find_task

LEVELS = ["GoToRedBallNoDists", "GoToObj", "OpenRedDoor", "GoToLocalS5N2"]


@pytest.mark.parametrize("level", LEVELS)
def test_observations_are_pixels_and_the_mission(level):
    env = babyai.make(level)
    assert isinstance(env.observation_space["mission"], Text)
    for seed in range(15):
        observation, _ = env.reset(seed=seed)
        assert set(observation) == {"image", "mission"}
        assert observation["image"].shape == (56, 56, 3)
        assert env.observation_space.contains(observation)
        assert len(observation["mission"].split()) >= 4


@pytest.mark.parametrize("level", LEVELS)
def test_the_horizon_of_the_table_is_the_levels_own(level):
    env = babyai.make(level)
    env.reset(seed=0)
    assert find_task(f"babyai/{level}").horizon == env.unwrapped.max_steps


def test_drafts_of_missions_are_not_printed(capsys):
    env = babyai.make("GoToLocal")
    env.reset(seed=8)
    assert capsys.readouterr().out == ""
    env.unwrapped.reset(seed=8)
    assert "Sampling rejected" in capsys.readouterr().out, "the seed must be one whose first draft is rejected"


@pytest.mark.parametrize("level", ["GoToObj", "OpenRedDoor"])
def test_the_expert_copes_with_actions_that_are_not_its_own(level):
    """A third of the actions are random turns and steps."""
    env = babyai.make(level)
    rng = np.random.default_rng(0)
    solved = 0
    for seed in range(10):
        observation, _ = env.reset(seed=seed)
        act, over = babyai.bot_expert(env), False
        while not over:
            action = act(observation)
            if rng.random() < 0.33:
                action = int(rng.integers(0, 3))
            observation, _, terminated, truncated, info = env.step(action)
            over = terminated or truncated
        solved += info["success"]
    assert solved == 10


def test_the_expert_refuses_an_environment_without_the_wrapper():
    env = babyai.make("GoToObj")
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"envs\.babyai\.make"):
        babyai.bot_expert(env.unwrapped)
