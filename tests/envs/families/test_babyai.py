import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Text

from generalist.envs.families import babyai
from generalist.envs.families.babyai_levels import HORIZONS, VERSIONS
from generalist.envs.table import find_task

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
    with pytest.raises(ValueError, match=r"envs\.families\.babyai\.make"):
        babyai.bot_expert(env.unwrapped)


def test_the_table_has_every_registered_level():
    babyai.make("GoToObj")
    there = {f"BabyAI-{level}-v{VERSIONS.get(level, 0)}" for level in HORIZONS}
    assert there == {id for id in gym.registry if id.startswith("BabyAI-")}


@pytest.mark.parametrize(
    "level", ["GoToSeqS5R2", "MiniBossLevel", "SynthS5R2", "KeyInBox", "OneRoomS12", "PutNextS4N1"]
)
def test_no_episode_is_longer_than_the_horizon(level):
    """Some levels give more time for longer missions."""
    env = babyai.make(level)
    limits = []
    for seed in range(25):
        env.reset(seed=seed)
        limits.append(env.unwrapped.max_steps)
    assert max(limits) <= HORIZONS[level]
    assert max(limits) == HORIZONS[level] or len(set(limits)) > 1


@pytest.mark.parametrize("level", ["MiniBossLevel", "GoToSeqS5R2", "Synth", "PutNextS4N1"])
def test_the_longest_missions_fit(level):
    env = babyai.make_symbolic(level)
    missions = [env.reset(seed=seed)[0]["mission"] for seed in range(150)]
    space = env.observation_space["mission"]
    assert all(space.contains(mission) for mission in missions)
    assert (max(map(len, missions)) > 128) == (level == "MiniBossLevel")


def played(env: gym.Env, seed: int) -> dict:
    observation, _ = env.reset(seed=seed)
    act, over = babyai.bot_expert(env), False
    while not over:
        observation, _, terminated, truncated, info = env.step(act(observation))
        over = terminated or truncated
    return info


@pytest.mark.parametrize("level", ["KeyInBox", "PutNextS6N3Carrying"])
def test_the_bot_solves_what_minigrids_own_cannot(level):
    env = babyai.make(level)
    assert sum(played(env, seed)["success"] for seed in range(8)) >= 7
    from minigrid.utils.baby_ai_bot import BabyAIBot

    env.reset(seed=0)
    bare = BabyAIBot(env)

    def play_on() -> None:
        for _ in range(50):
            env.step(bare.replan())

    with pytest.raises(AssertionError):
        play_on()


def test_a_plan_without_end_ends_the_bot_and_not_the_episode():
    """In this episode MiniGrid's own bot searches for ever; here it stands still until the time is over."""
    env = babyai.make("UnlockToUnlock")
    seed = next(seed for seed in range(20) if not played(env, seed)["success"])
    observation, _ = env.reset(seed=seed)
    act = babyai.bot_expert(env)
    actions = [act(observation)]
    while actions[-1] != env.unwrapped.actions.done:
        observation, _, terminated, truncated, _ = env.step(actions[-1])
        assert not terminated
        assert not truncated
        actions.append(act(observation))
    assert len(actions) < HORIZONS["UnlockToUnlock"]
    assert act(observation) == env.unwrapped.actions.done


PLACELESS = 821328152


def test_a_subgoal_without_a_place_ends_the_bot_and_not_the_episode():
    """MiniGrid's own bot raises TypeError here."""
    assert not played(babyai.make("SynthS5R2"), PLACELESS)["success"]


FULL = 2**30 + 7


def test_a_room_too_full_for_the_agent_is_drawn_anew():
    """The draft of this seed leaves no cell from which the agent would not face an object: MiniGrid draws for ever."""
    env = babyai.make_symbolic("SynthS5R2")
    one, _ = env.reset(seed=FULL)
    used = babyai.make_symbolic("SynthS5R2")
    used.reset(seed=1)
    other, _ = used.reset(seed=FULL)
    assert one["symbols"].tolist() == other["symbols"].tolist()
    assert played(env, FULL)["success"]


def test_symbols_are_those_of_minigrid():
    shown, own = babyai.make_symbolic("GoToLocal"), gym.make("BabyAI-GoToLocal-v0", disable_env_checker=True)
    (one, _), (other, _) = shown.reset(seed=4), own.reset(seed=4)
    for action in (2, 1, 2, 0, 2, 2):
        assert one["symbols"].reshape(7, 7, 3).tolist() == other["image"].tolist()
        assert one["mission"] == other["mission"]
        assert shown.observation_space.contains(one)
        one, other = shown.step(action)[0], own.step(action)[0]
