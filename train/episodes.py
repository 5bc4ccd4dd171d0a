"""Which episodes of a data set a job learns from, and which it holds out; one rule for training and baselines."""

from dataclasses import dataclass

import numpy as np

from generalist.demonstrations.filter import lowest_return
from generalist.demonstrations.storage import Demonstrations
from generalist.train.config import SourceConfig, TrainConfig
from generalist.train.held_out import split_indices


@dataclass(frozen=True)
class Selection:
    """Indices of episodes, int64 and ascending: those that are trained on, and those that are held out."""

    training: np.ndarray
    held_out: np.ndarray


def select_episodes(config: TrainConfig, source: SourceConfig, demonstrations: Demonstrations) -> Selection:
    """What a job takes of the data set of one of its sources.

    First the episodes that are there for it (`SourceConfig.successes`, `.episodes`, `.episodes_seed`), then those of
    them that are held out, last the return filter. That takes its threshold from what is trained on; of what is held
    out, which may then be none, the episodes below it are left out too.

    Raises:
        ValueError: fewer episodes than the source asks for, with both numbers.
    """
    there = _there(source, demonstrations)
    training, held_out = (there[part] for part in split_indices(len(there), config.held_out))
    if config.return_filter:
        returns = demonstrations.returns
        lowest = lowest_return(returns[training], config.return_filter)
        training, held_out = (chosen[returns[chosen] >= lowest] for chosen in (training, held_out))
    return Selection(training, held_out)


def _there(source: SourceConfig, demonstrations: Demonstrations) -> np.ndarray:
    every = np.arange(len(demonstrations))
    known = [success for success in demonstrations.successes if success is not None]
    if source.successes and known:
        every = np.array([each for each in every if demonstrations.successes[each]], np.int64)
    asked = source.episodes
    if asked is None and len(every):
        return every
    if len(every) < (asked or 1):
        which = f" that reached the goal, of {len(demonstrations):,}" if source.successes and known else ""
        raise ValueError(
            f"{source.task}: too few episodes: {asked or 1:,} asked for, {demonstrations.folder} has {len(every):,}"
            f"{which}; collect more (generalist collect --task {source.task} --episodes N), or ask for fewer"
        )
    if source.episodes_seed is None:
        return every[:asked]
    return np.sort(np.random.default_rng(source.episodes_seed).permutation(every)[:asked])
