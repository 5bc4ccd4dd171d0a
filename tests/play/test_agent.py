"""A trained agent from its run directory: in single and vector environments, known, unknown and unreadable."""

import shutil
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from flax import nnx
from tiny import CONFIG, demonstrations, train_here, trained

from generalist.agent.config import DecodeConfig
from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.envs.files import read_json, write_json
from generalist.envs.table import find_task
from generalist.envs.task import UnknownTask
from generalist.play.agent import Agent
from generalist.train.checkpoint import CheckpointError


@pytest.fixture(scope="module")
def agent() -> Agent:
    return Agent.load(trained())


class Seen(gym.Env):
    """Shows a random member of the space that it is given."""

    action_space = gym.spaces.Discrete(3)

    def __init__(self, space: gym.Space):
        self.observation_space = space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


def test_five_lines_are_enough(agent):
    env = gym.make("CartPole-v1")
    policy = agent.policy(env)
    observation, _ = env.reset(seed=0)
    action = policy(observation)
    observation, *_ = env.step(action)
    assert env.action_space.contains(policy(observation))
    assert policy.policy.source == 0


def test_a_vector_environment_gets_the_actions_of_single_ones(agent):
    """Three environments at once, over the end of an episode, equal three played alone."""
    envs = gym.make_vec("FrozenLake8x8-v1", num_envs=3, vectorization_mode="sync")
    policy = agent.policy(envs)
    seen, _ = envs.reset(seed=[1, 2, 3])
    shown, taken = [], []
    for _ in range(4):
        actions = policy(seen)
        assert envs.action_space.contains(actions)
        shown.append(seen)
        taken.append(actions)
        seen, *_ = envs.step(actions)
    single = agent.policy("FrozenLake8x8-v1")
    assert single.policy.source == 1
    for index in range(3):
        single.reset()
        assert [single(one[index]) for one in shown] == [one[index] for one in taken]
    envs.close()


def test_an_agent_that_is_shown_returns_must_be_told_the_rewards(tmp_path):
    sources = tuple(replace(each, layout=replace(each.layout, returns="to_go")) for each in CONFIG.sources)
    run = train_here(tmp_path / "run", config=replace(CONFIG, sources=sources), steps=1)
    agent = Agent.load(run)
    layout, _ = agent.layout("CartPole-v1")
    returns = Demonstrations.open(dataset_folder(demonstrations(), "CartPole-v1")).returns
    assert min(returns) <= layout.target_return <= max(returns)
    env = gym.make("CartPole-v1")
    policy = agent.policy(env)
    observation, _ = env.reset(seed=0)
    observation, reward, *_ = env.step(policy(observation))
    with pytest.raises(ValueError, match=r"give it the reward of its last action, policy\(observation, reward\)"):
        policy(observation)
    policy(observation, reward)
    assert policy.policy.received.tolist() == [1.0]
    policy.reset()
    policy(observation)
    envs = gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync")
    several = agent.policy(envs)
    seen, _ = envs.reset(seed=0)
    seen, rewards, *_ = envs.step(several(seen))
    several.reset([1])
    several(seen, rewards)
    assert several.policy.received.tolist() == [1.0, 0.0]
    envs.close()


def test_reset_forgets_the_named_slots(agent):
    envs = gym.make_vec("FrozenLake8x8-v1", num_envs=3, vectorization_mode="sync")
    policy = agent.policy(envs)
    seen, _ = envs.reset(seed=0)
    policy(seen)
    for where in (1, [1], np.array([False, True, False])):
        policy.policy.timestep[:] = 5
        policy.reset(where)
        assert policy.policy.timestep.tolist() == [5, 0, 5]
    envs.close()


def test_episodes_are_drawn_anew_after_each_reset(agent):
    """Without a rollout that gives seeds, sampled episodes still differ; the likeliest action is always the same."""
    for decode, differ in ((DecodeConfig(), False), (DecodeConfig(discrete="sample", temperature=1000.0), True)):
        policy = Agent.load(trained(), decode=decode).policy("FrozenLake8x8-v1", slots=2)
        actions = []
        for _ in range(10):
            policy.reset()
            actions.append([int(action) for action in policy.policy.act([0, 0], [0, 1])])
        assert (len({tuple(pair) for pair in actions}) > 1) == differ
        assert any(one != other for one, other in actions) == differ


def test_an_environment_is_known_by_its_id_or_by_its_spaces(agent):
    assert agent.layout("CartPole-v1")[1] == 0
    assert agent.layout(find_task("FrozenLake8x8-v1"))[1] == 1
    unnamed = gym.make("CartPole-v1").unwrapped
    unnamed.spec = None
    assert agent.layout(unnamed)[1] == 0
    first = agent.run.layouts["CartPole-v1"]
    twins = replace(agent, run=replace(agent.run, layouts={"a": first, "CartPole-v1": first}))
    assert twins.layout(gym.make("CartPole-v1"))[1] == 1
    assert twins.layout(unnamed)[1] == -1, "which of two tasks with the same spaces it is, nobody can say"
    other = gym.wrappers.TransformObservation(
        gym.make("CartPole-v1"), lambda seen: seen[:2], gym.spaces.Box(-9, 9, (2,))
    )
    assert agent.layout(other)[1] == -1


def test_a_task_by_its_id_need_not_be_one_that_was_trained_on(agent):
    assert agent.layout("MountainCar-v0") == agent.layout(find_task("MountainCar-v0"))
    assert agent.policy("MountainCar-v0")(np.zeros(2, np.float32)) in range(3)
    with pytest.raises(UnknownTask, match=r"unknown task 'CartPole-v7': the nearest are CartPole-v1"):
        agent.policy("CartPole-v7")


def test_an_unknown_environment_is_played_without_a_source(agent):
    env = Seen(gym.spaces.Box(-1, 1, (2,), np.float32))
    policy = agent.policy(env)
    assert policy.policy.source == -1
    observation, _ = env.reset(seed=0)
    assert env.action_space.contains(policy(observation))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (gym.spaces.Box(-1, 1, (9,), np.float32), "vectors of length 9, this agent reads 4; .*generalist adapt"),
        (gym.spaces.Box(0, 255, (32, 32, 3), np.uint8), r"patches of \(16, 3\), this agent reads \(0, 3\)"),
        (gym.spaces.MultiDiscrete([3] * 40), "timesteps of tokens 42, this agent reads 32"),
    ],
)
def test_an_environment_that_it_cannot_read_is_refused(agent, space, message):
    with pytest.raises(ValueError, match=message):
        agent.policy(Seen(space))


def test_an_action_that_is_longer_than_what_it_predicts_directly_is_refused(tmp_path):
    direct = replace(CONFIG.sources[0], layout=replace(CONFIG.sources[0].layout, actions="direct"))
    agent = Agent.load(train_here(tmp_path / "run", sources=(direct,), steps=1))
    env = Seen(gym.spaces.Box(-1, 1, (4,), np.float32))
    observation, _ = env.reset(seed=0)
    assert env.action_space.contains(agent.policy(env)(observation))
    env.action_space = gym.spaces.MultiDiscrete([3, 3])
    with pytest.raises(ValueError, match=r"actions of tokens 2, this agent reads 1; .*generalist adapt"):
        agent.policy(env)


def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained(), tmp_path / "run"))


def test_another_vocabulary_version_is_refused(tmp_path):
    run = copied(tmp_path)
    stored = read_json(run / "config.json", "")
    stored["config"]["vocabulary"]["version"] = 99
    write_json(run / "config.json", stored)
    with pytest.raises(CheckpointError, match="vocabulary version 99, this version of generalist has 2"):
        Agent.load(run)


def test_another_vocabulary_than_the_checkpoint_s_is_refused(tmp_path):
    run = copied(tmp_path)
    stored = read_json(run / "config.json", "")
    stored["config"]["vocabulary"]["bins"] = 64
    write_json(run / "config.json", stored)
    with pytest.raises(CheckpointError, match=r"vocabulary is .*'bins': 32.* in the checkpoint, .*'bins': 64"):
        Agent.load(run)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a run directory"):
        Agent.load(tmp_path)
    run = copied(tmp_path)
    with pytest.raises(CheckpointError, match=r"4: there is no such checkpoint; there are 3, 6"):
        Agent.load(run, step=4)
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        Agent.load(run)


def test_an_older_checkpoint_can_be_loaded(agent):
    older = Agent.load(trained(), step=3)
    assert older.step == 3
    one, other = (np.asarray(one.state["tokens"]["rows"][...]) for one in (agent, older))
    assert np.abs(one - other).max() > 0


def test_what_it_reads_of_an_episode_can_be_looked_at(agent):
    episode = Demonstrations.open(dataset_folder(demonstrations(), "CartPole-v1")).episode(0)
    view = agent.view(episode, steps=2)
    layout, source = agent.layout("CartPole-v1")
    assert set(view.sequence.source.tolist()) == {source}
    assert set(view.sequence.timestep.tolist()) == {0, 1}
    assert len(view.sequence) == 2 * layout.max_tokens
    assert "action" in str(view)
    assert len(agent.view(episode, steps=10**6).sequence) == len(episode) * layout.max_tokens


def test_it_is_shown_in_one_line(agent):
    assert repr(agent) == f"Agent('{trained()}', update 6, 2 tasks)"
    assert repr(agent.run) == f"Run('{trained()}')"


@pytest.fixture(scope="module")
def told_apart(tmp_path_factory) -> Agent:
    """An agent with task embeddings."""
    run = tmp_path_factory.mktemp("told") / "run"
    return Agent.load(train_here(run, agent=replace(CONFIG.agent, source_embedding=True), steps=1))


def rows_of(state) -> np.ndarray:
    return np.asarray(dict(nnx.to_flat_state(state))["source", "rows"].get_value())


@pytest.mark.parametrize(
    ("what", "members"),
    [("gym:Blackjack-v1", [0, 1]), ("MountainCar-v0", [0]), ("CliffWalking-v1", [1])],
    ids=["no family of the trained", "the family of CartPole", "the family of FrozenLake"],
)
def test_a_task_that_was_not_trained_on_has_the_mean_embedding_of_its_family(told_apart, what, members):
    policy = told_apart.policy(find_task(what)).policy
    trained_rows, own = rows_of(told_apart.state), rows_of(policy.player.state)
    assert policy.source == len(trained_rows) == len(own) - 1
    np.testing.assert_allclose(own[policy.source], trained_rows[members].mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(own[:-1], trained_rows)
    with find_task(what).make() as env:
        observation, _ = env.reset(seed=0)
        assert env.action_space.contains(policy.act([observation], [0])[0])


def test_an_environment_that_was_not_trained_on_is_normalised_as_its_relatives(told_apart):
    """As CartPole, which shows the same array; without relatives, by its bounds; and never by nothing."""
    cart = told_apart.run.layouts["CartPole-v1"].statistics["observation"]
    free = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)
    layout, source = told_apart.layout(Seen(free))
    assert (layout.statistics["observation"], source) == (cart, -1)
    assert layout.options == told_apart.run.layouts["CartPole-v1"].options
    bounded = gym.spaces.Dict(arm=gym.spaces.Box(2.0, 6.0, (3,), np.float32))
    layout, _ = told_apart.layout(Seen(bounded))
    assert layout.statistics["observation/arm"][0] == [4.0] * 3


def test_an_episode_is_a_film_whatever_is_given(agent):
    """By id, as a task, or an environment of one's own, which stays open; the same seed is the same episode."""
    env = gym.make("CartPole-v1", render_mode="rgb_array")
    films = [agent.play(what, seed=3, frames=4) for what in ("CartPole-v1", find_task("CartPole-v1"), env)]

    assert env.reset(seed=0)[0].shape == (4,)
    env.close()
    assert len({film.result.length for film in films}) == 1
    for film in films:
        assert film.animation[:4] == b"RIFF"
        assert "data:image/webp;base64," in film._repr_html_()
        assert f"in {film.result.length} steps" in film._repr_html_()


def test_an_environment_that_does_not_draw_is_refused(agent):
    with pytest.raises(ValueError, match="rgb_array"):
        agent.play(gym.make("CartPole-v1"))


def test_what_cannot_be_drawn_says_why_in_a_notebook(agent):
    film = agent.play(replace(find_task("CartPole-v1"), make=lambda render_mode=None: 1 / 0))

    assert "division by zero" in film._repr_html_()


def test_a_notebook_is_told_what_it_is(agent):
    shown = agent._repr_html_()

    assert "classic_control (1), toy_text (1)" in shown
    assert f"Agent {agent.run.name}" in shown


def test_attention_over_an_episode_is_shown(agent):
    episode = Demonstrations.open(dataset_folder(demonstrations(), "CartPole-v1")).episode(0)
    found = agent.attention(episode, steps=3)
    layers, heads, count, _ = found.weights.shape
    config = agent.run.config.agent
    assert (layers, heads, count) == (config.layers, config.heads, len(found.view.sequence))
    np.testing.assert_allclose(found.weights.sum(axis=-1), 1, rtol=1e-5)
    assert not np.triu(found.weights, 1).any()
    assert (found.weights > 0).any(axis=(0, 1)).sum() > count
    assert "data:image/png;base64," in found._repr_html_()
    assert f"{count} positions" in repr(found)
    assert len(found.figure(head=0).axes) == layers + 1
