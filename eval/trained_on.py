"""Which episodes of a data set a job was trained on."""

from pathlib import Path

import numpy as np

from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.train.config import TrainConfig
from generalist.train.episodes import select_episodes


def trained_on(config: TrainConfig, task_id: str, demonstrations: Demonstrations) -> tuple[np.ndarray, np.ndarray]:
    """Numbers int64 (ascending) of the episodes that were trained on, and of those that were held out.

    Of a data set that has grown, or another one, they are those that the job's training would choose. A task that is
    not among the job's sources has all episodes, and none held out.
    """
    sources = [source for source in config.sources if source.task == task_id]
    if not sources:
        return np.arange(len(demonstrations)), np.zeros(0, np.int64)
    found = select_episodes(config, sources[0], demonstrations)
    return found.training, found.held_out


def learned(config: TrainConfig, data: Path, task_id: str) -> np.ndarray | None:
    """The episodes of a task that are trained on, from which baselines may learn too; None without demonstrations."""
    folder = dataset_folder(data, task_id)
    return trained_on(config, task_id, Demonstrations.open(folder))[0] if folder.exists() else None
