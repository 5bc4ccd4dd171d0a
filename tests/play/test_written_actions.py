"""Actions that are texts, from demonstrations to play: what is collected is trained on, and what is played is written."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from tiny import CONFIG

from generalist.demonstrations.collect import collect
from generalist.demonstrations.storage import dataset_folder
from generalist.envs.seeds import evaluation_seed
from generalist.envs.task import Task
from generalist.eval.agreement import action_agreement
from generalist.eval.baselines.measure import measure_baselines
from generalist.play.agent import Agent
from generalist.play.rollout import rollout
from generalist.tokenizers.layout import LayoutOptions
from generalist.train.config import SourceConfig
from generalist.train.loop import train

WORDS = ("go on", "stop", "wave")


class Told(gym.Env):
    """Does what it is told: "say go on" wants the command "go on", five times."""

    observation_space = gym.spaces.Text(16, charset="abcdefghijklmnopqrstuvwxyz ")
    action_space = gym.spaces.Text(16, min_length=0, charset="abcdefghijklmnopqrstuvwxyz ")

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.right = 0, 0
        return self._say(), {}

    def _say(self):
        self.wanted = WORDS[int(self.np_random.integers(len(WORDS)))]
        return f"say {self.wanted}"

    def step(self, action):
        self.steps, self.right = self.steps + 1, self.right + (action == self.wanted)
        over = self.steps == 5
        return self._say(), float(action == self.wanted), over, False, {"success": over and self.right == 5}


def expert(env):
    return lambda observation: observation.removeprefix("say ")


TOLD = Task(
    id="told", family="told", make=Told, expert=expert, horizon=5, score="success", has_success=True, provenance="here"
)
LAYOUT = LayoutOptions(max_text_tokens=9, action_text_tokens=6, context=1, past_actions="hidden", predict_text=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("told")
    collect(TOLD, folder, episodes=60, workers=0, quiet=True)
    return folder


def test_an_agent_learns_to_write_what_it_is_told(data, tmp_path):
    config = replace(
        CONFIG,
        sources=(SourceConfig(task="told", layout=LAYOUT),),
        agent=replace(CONFIG.agent, width=32, feedforward=64, local_positions=16),
        prompt=replace(CONFIG.prompt, fraction=0.0),
        sequence_length=32,
        batch_size=16,
        steps=150,
        evaluate_every=150,
        checkpoint_every=150,
        log_every=150,
    )
    agent = Agent.load(train(config, data, tmp_path / "run", quiet=True))
    seeds = [evaluation_seed(number) for number in range(8)]
    results = rollout(TOLD, agent.policy(TOLD).policy, seeds, slots=1)
    assert np.mean([each.episode_return for each in results]) > 4
    assert action_agreement(TOLD, agent.policy(TOLD).policy, seeds[:3]) > 0.8


def test_plain_baselines_of_written_actions(data):
    seeds = [evaluation_seed(number) for number in range(4)]
    records = measure_baselines(TOLD, dataset_folder(data, "told"), seeds, selection_episodes=2)
    assert set(records) == {"random", "expert", "constant", "nearest_neighbour"}
    assert records["constant"].details["action"] in WORDS
    assert np.mean(records["nearest_neighbour"].returns) == 5
    assert np.mean(records["random"].returns) < 1 <= np.mean(records["constant"].returns) < 4
