"""Imported demonstrations of a task that no environment plays: an arm that is told where to reach, and grips."""

import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from gymnasium import spaces
from tiny import CONFIG, _folder

from generalist.demonstrations.episode import Episode
from generalist.demonstrations.public.convert import import_data
from generalist.demonstrations.public.reader import PublicData, make_episode
from generalist.tokenizers.layout import LayoutOptions
from generalist.train.config import SourceConfig
from generalist.train.loop import train

TASK = "robot/own-arm"
OBSERVATION = spaces.Dict(state=spaces.Box(-10, 10, (3,), np.float32), task=spaces.Text(40, min_length=0))
ACTION = spaces.Dict(arm=spaces.Box(-1, 1, (2,), np.float32), grip=spaces.Discrete(2))
EPISODES = 20


def source(name: str = "own:arm", episodes: int = EPISODES) -> PublicData:
    """Episodes of 6 to 9 steps; the arm's action is a linear function of the state, the grip a threshold."""

    def read(start: int) -> Iterator[Episode]:
        for number in range(start, episodes):
            rng = np.random.default_rng(number)
            steps = 6 + number % 4
            state = rng.uniform(-1, 1, (steps + 1, 3)).astype(np.float32)
            arm = np.clip(state[:-1, :2] * [0.5, -0.5] + 0.1, -1, 1).astype(np.float32)
            yield make_episode(
                name,
                TASK,
                (OBSERVATION, ACTION),
                observations={"state": state, "task": ["reach"] * (steps + 1)},
                actions={"arm": arm, "grip": (state[:-1, 2] > 0).astype(np.int64)},
                rewards=np.zeros(steps),
                terminated=True,
                truncated=False,
            )

    return PublicData(
        name=name,
        task_id=TASK,
        observation_space=OBSERVATION,
        action_space=ACTION,
        episodes_total=episodes,
        read=read,
    )


@functools.cache
def imported() -> Path:
    """The folder of the data."""
    data = _folder() / "imported"
    import_data(source(), data, quiet=True)
    return data


LAYOUT = LayoutOptions(continuous="vector", past_actions="hidden", context=1, max_text_tokens=8, predict_text=False)
ARM = replace(
    CONFIG,
    sources=(SourceConfig(task=TASK, layout=LAYOUT),),
    held_out=0.2,
    steps=150,
    batch_size=8,
    log_every=50,
    evaluate_every=150,
    checkpoint_every=150,
)


@functools.cache
def trained_arm() -> Path:
    """A finished run on it; not to be changed."""
    run = _folder() / "arm"
    train(ARM, imported(), run, quiet=True)
    return run
