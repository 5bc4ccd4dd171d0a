"""Adapting an agent that predicts actions directly to a task whose action has more tokens."""

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from tiny import CONFIG, _folder, demonstrations, train_here

from generalist.demonstrations.collect import collect
from generalist.envs.table import find_task
from generalist.play.agent import Agent
from generalist.tokenizers.layout import LayoutOptions
from generalist.train.adapt import adapt
from generalist.train.adaptation import AdaptConfig
from generalist.train.adapted import adapted
from generalist.train.config import TrainableConfig
from generalist.train.run import read_run

NEW = "MountainCarContinuous-v0"
DIRECT = LayoutOptions(continuous="vector", past_actions="hidden", actions="direct", context=2)
LONGER = AdaptConfig(episodes=3, steps=2, failures=True, keep=0.0, layout=replace(DIRECT, chunk=3))


@cache
def data() -> Path:
    """Demonstrations of the tiny run's tasks, and of another one."""
    folder = shutil.copytree(demonstrations(), _folder() / "longer-data")
    collect((NEW,), folder, seed=0, episodes=4, policy="random", workers=0, quiet=True)
    return folder


@cache
def foundation() -> Path:
    """A run of direct actions, of one token each, trained with Muon."""
    sources = tuple(replace(source, layout=DIRECT) for source in CONFIG.sources)
    tuned = replace(CONFIG.optimizer, method="muon")
    return train_here(_folder() / "direct", sources=sources, optimizer=tuned, steps=2)


def parts(run) -> np.ndarray:
    return np.asarray(dict(nnx.to_flat_state(Agent.load(run).state))["answer", "parts", "rows"].get_value())


def test_the_tokens_that_are_known_are_kept_and_new_ones_follow(tmp_path):
    """With a rate of almost nothing, so that what it begins with is seen."""
    before = parts(foundation())
    assert len(before) == 1
    still = replace(LONGER, learning_rate=1e-12)
    run = adapt(foundation(), (NEW,), still, data=data(), out=tmp_path / "run", quiet=True)
    assert run.config.optimizer.method == "adamw", "the rates of adaptation are AdamW's"
    after = parts(run)
    assert len(after) == 3
    np.testing.assert_allclose(after[:1], before, atol=1e-6)
    assert np.abs(after[1:]).max(axis=1).min() > 0
    agent = Agent.load(run)
    assert agent.layout(NEW)[0].answer_count == 3
    with find_task(NEW).make() as env:
        assert env.action_space.contains(agent.policy(NEW)(env.reset(seed=0)[0]))


@pytest.mark.parametrize(("chunk", "also"), [(3, ("answer",)), (1, ())])
def test_where_little_is_trained_new_tokens_are_trained_whole(chunk, also):
    little = replace(LONGER, trainable=TrainableConfig(how="lora", rank=2), layout=replace(DIRECT, chunk=chunk))
    assert adapted(read_run(foundation()), (NEW,), little, data()).trainable.also == also
