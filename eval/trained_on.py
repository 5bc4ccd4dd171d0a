"""Which episodes of a data set a run was trained on."""

import numpy as np

from generalist.demonstrations.storage import Demonstrations
from generalist.play.agent import Agent
from generalist.train.episodes import select_episodes


def trained_on(agent: Agent, task_id: str, demonstrations: Demonstrations) -> tuple[np.ndarray, np.ndarray]:
    """Numbers int64 (ascending) of the episodes that were trained on, and of those that were held out.

    Of a data set that has grown, or another one, they are those that the run's training would choose. A task that is
    not among the run's sources has all episodes, and none held out.
    """
    sources = [source for source in agent.run.config.sources if source.task == task_id]
    if not sources:
        return np.arange(len(demonstrations)), np.zeros(0, np.int64)
    found = select_episodes(agent.run.config, sources[0], demonstrations)
    return found.training, found.held_out
