"""Ranges are of the episodes that are trained on, stored in the run, and all that an agent needs to act in units."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from tiny import CONFIG
from written import episode_of, write_episodes

from generalist.agent.config import AgentConfig
from generalist.envs.files import write_json
from generalist.play.agent import Agent
from generalist.tokenizers.options import LayoutOptions
from generalist.train import ranges
from generalist.train.config import PromptConfig, SourceConfig
from generalist.train.held_out import held_out_indices
from generalist.train.loop import train
from generalist.train.run import read_run
from generalist.train.sources import open_mixture
from generalist.train.start import Start

TASK = "gym:Crane-v0"
SPACES = (
    gym.spaces.Dict(
        force=gym.spaces.Box(-np.inf, np.inf, (2,), np.float64), pixel=gym.spaces.Box(0, 640, (2,), np.float32)
    ),
    gym.spaces.Dict(grip=gym.spaces.Box(-1, 1, (1,), np.float32), to=gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)),
)
SCALE, OFFSET = np.array([500, 3e5, 4e-6]), np.array([250, 1e6, 0])
EPISODES, STEPS = 20, 12
HELD_OUT = held_out_indices(EPISODES, 0.1).tolist()
TRAINED_ON = [number for number in range(EPISODES) if number not in HELD_OUT]


def values(number: int) -> tuple[dict, dict]:
    """Held-out episodes go a hundred times farther."""
    rng, far = np.random.default_rng(number), 100 if number in HELD_OUT else 1
    observations = {
        "force": far * rng.normal(0, 1, (STEPS + 1, 2)) * [800, 2e-7],
        "pixel": rng.uniform(0, 640, (STEPS + 1, 2)).astype(np.float32),
    }
    actions = {
        "grip": rng.uniform(-1, 1, (STEPS, 1)).astype(np.float32),
        "to": far * (rng.uniform(-0.5, 0.5, (STEPS, 3)) * SCALE + OFFSET),
    }
    return observations, actions


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    episodes = [episode_of(TASK, *values(number), number) for number in range(EPISODES)]
    return write_episodes(tmp_path_factory.mktemp("crane"), TASK, SPACES, episodes)


def config(**options):
    source = SourceConfig(task=TASK, layout=LayoutOptions(past_actions="hidden", context=1, **options))
    agent = AgentConfig(width=16, layers=1, heads=2, head_size=8, feedforward=32, window=32, vector_hidden=16)
    return replace(CONFIG, sources=(source,), agent=agent, prompt=PromptConfig(fraction=0), steps=2, checkpoint_every=2)


def test_they_are_of_the_episodes_that_are_trained_on(data, monkeypatch):
    [source] = open_mixture(config(), data).sources
    found = source.layout.ranges
    assert sorted(found) == ["action/to", "observation/force"]
    seen = np.concatenate([values(number)[1]["to"] for number in TRAINED_ON])
    margin = 0.05 * np.ptp(seen, axis=0)
    np.testing.assert_allclose(found["action/to"].low, seen.min(0) - margin)
    np.testing.assert_allclose(found["action/to"].high, seen.max(0) + margin)
    assert found["action/to"].values == len(TRAINED_ON) * STEPS
    monkeypatch.setattr(ranges, "CHUNK_VALUES", 20)
    [again] = open_mixture(config(), data).sources
    assert again.layout == source.layout


def test_vectors_have_statistics_and_need_none(data):
    [source] = open_mixture(config(continuous="vector"), data).sources
    assert sorted(source.layout.ranges) == ["action/to"]
    made = source[0]
    assert np.abs(made.vectors).max(axis=0).min() > 0.3  # also of the force of 2e-7
    assert np.abs(made.vectors).max() < 1


def test_outliers_do_not_make_all_other_vectors_one(tmp_path):
    observations = {number: values(number)[0] for number in TRAINED_ON}
    observations[TRAINED_ON[1]]["force"][3] = [3e12, -1e5]
    made = [
        episode_of(TASK, observations.get(number, values(number)[0]), values(number)[1], number)
        for number in range(EPISODES)
    ]
    data = write_episodes(tmp_path, TASK, SPACES, made)
    [source] = open_mixture(config(continuous="vector"), data).sources
    mean, std = source.layout.statistics["observation/force"]
    assert abs(mean[0]) < 400
    assert 300 < std[0] < 3000
    assert 1e-7 < std[1] < 1e-6


def test_actions_beyond_their_bounds_are_counted(tmp_path):
    made = []
    for number in range(EPISODES):
        observations, actions = values(number)
        actions["grip"][2] = 1.5
        actions["grip"][3] = 1 + 1e-7
        made.append(episode_of(TASK, observations, actions, number))
    mixture = open_mixture(config(), write_episodes(tmp_path, TASK, SPACES, made))
    [said] = [line for line in mixture.notices if "grip" in line]
    assert said == f"{TASK}: action/grip[0]: -1 to 1, 18 of 216 beyond and clipped (by bounds)"
    assert mixture.sources[0].layout.ranges["action/grip"].low == (None,)


def test_the_fixed_scale_has_none(data):
    """What it clips is counted all the same."""
    mixture = open_mixture(config(ranges="mu-law"), data)
    found = mixture.sources[0].layout.ranges
    assert {end for each in found.values() for end in (*each.low, *each.high)} == {None}
    assert found["action/to"].clipped[1:] == (len(TRAINED_ON) * STEPS, 0)
    assert sum("(by mu-law)" in line and " beyond and clipped" in line for line in mixture.notices) == 3


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Path:
    return train(config(), data, tmp_path_factory.mktemp("runs") / "run", quiet=True).directory


def test_an_agent_acts_in_the_units_of_the_data_and_needs_only_its_run(run, tmp_path):
    moved = Path(shutil.copytree(run, tmp_path / "elsewhere"))
    agent = Agent.load(moved)
    layout, _ = agent.layout(TASK)
    observations, _ = values(TRAINED_ON[0])
    found = agent.policy(_Crane())({key: part[0] for key, part in observations.items()})
    low, high = layout.action_fields[1].ends
    assert (low <= found["to"]).all()
    assert (found["to"] <= high).all()
    assert (np.abs(found["to"] - OFFSET) <= 0.6 * SCALE).all()


class _Crane(gym.Env):
    observation_space, action_space = SPACES


def test_what_the_ranges_are_is_said_and_kept(run, data, capsys):
    notices = json.loads((run / "config.json").read_text())["notices"]
    assert len(notices) == 5
    assert notices[3].startswith(f"{TASK}: action/to[1]: 8")
    assert notices[3].endswith("0 of 216 beyond and clipped (ends found in the data)")
    train(config(), data, run, start=Start(resume=True))
    said = capsys.readouterr()
    assert all(notice in said.out + said.err for notice in notices)


def test_a_resumed_run_has_its_ranges_and_other_data_are_refused(run, data, tmp_path):
    before = read_run(run).layouts
    assert train(config(), data, run, start=Start(resume=True), quiet=True).layouts == before
    others = [episode_of(TASK, *values(number + 50), number) for number in range(EPISODES)]
    with pytest.raises(ValueError, match=r"are not those that .* was started with"):
        train(config(), write_episodes(tmp_path, TASK, SPACES, others), run, start=Start(resume=True), quiet=True)


def test_a_run_from_before_there_were_ranges_keeps_its_scale(run, tmp_path):
    stored = json.loads((run / "config.json").read_text())
    for layout in stored["layouts"].values():
        del layout["ranges"]
    for source in stored["config"]["sources"]:
        del source["layout"]["ranges"], source["layout"]["channel_axis"]
    write_json(tmp_path / "config.json", stored)
    found = read_run(tmp_path)
    [layout] = found.layouts.values()
    assert layout.options.ranges == found.config.sources[0].layout.ranges == "mu-law"
    assert layout.encode_actions({"grip": [[0.0]], "to": [[1.0, 1e6, 1e-6]]}).tolist() == [[272, 279, 287, 272]]


def test_the_layout_of_an_environment_that_it_was_not_trained_on_says_what_is_missing(run):
    class Other(gym.Env):
        observation_space = SPACES[0]
        action_space = gym.spaces.Box(-np.inf, np.inf, (2,))

    with pytest.raises(ValueError, match=r"observation/force: value 0 .* its range must come from data"):
        Agent.load(run).policy(Other())
