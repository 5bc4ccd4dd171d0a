"""Published data of LIBERO's suites as what the tasks `libero_*_pixels` show.

RLDS as OpenVLA has it (`libero_object_no_noops`) and LeRobot sets made of it. In both the pictures are taken to be
turned as there, which is how the tasks show them; those of 256 pixels are halved. Of a data set that was recorded
otherwise nothing says so: compare a picture of it with one of the task.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from gymnasium import spaces

from generalist.demonstrations.episode import Episode
from generalist.demonstrations.public.reader import PublicData
from generalist.envs.families.libero_pixels import OBSERVATION, SIDE
from generalist.envs.families.libero_tasks import NAMES, PIXELS

KEYS = {
    "instruction": ("language_instruction", "task", "instruction"),
    "robot": ("state", "robot"),
    "image": ("image", "images.image"),
    "wrist": ("wrist_image", "images.wrist_image", "images.image2", "wrist"),
}
"""By our key, the keys that published sets have for it once they are opened."""


def as_seen_by(source: PublicData, task: str) -> PublicData:
    """The data in the observation of a pixel view, where `task` is one, or its suite, and the data has all of it.

    Else as it is: whoever compares it with the spaces of the task says what it lacks.
    """
    if task.partition("/")[0] not in {f"{suite}{PIXELS}" for suite in NAMES}:
        return source
    given = source.observation_space.spaces if isinstance(source.observation_space, spaces.Dict) else {}
    chosen = {ours: next((key for key in theirs if key in given), None) for ours, theirs in KEYS.items()}
    names = {ours: key for ours, key in chosen.items() if key is not None}
    if len(names) < len(KEYS):
        return source

    def read(start: int) -> Iterator[Episode]:
        for episode in source.read(start):
            seen = {ours: _fitted(episode.observations[theirs]) for ours, theirs in names.items()}
            yield replace(episode, observations=seen)

    halved = [ours for ours, theirs in names.items() if given[theirs].shape == (2 * SIDE, 2 * SIDE, 3)]
    fitted = {ours: OBSERVATION[ours] if ours in halved else given[theirs] for ours, theirs in names.items()}
    said = f"{', '.join(f'{theirs} is {ours}' for ours, theirs in names.items())} for {task}"
    turned = "; pictures are taken as they are: that they are turned as OpenVLA's was not checked"
    small = f"; {' and '.join(halved)} halved to {SIDE} pixels" if halved else ""
    notices = (*source.notices, f"{said}{small}{turned}")
    return replace(source, observation_space=spaces.Dict(fitted), read=read, notices=notices)


def _fitted(values: np.ndarray) -> np.ndarray:
    """Pictures uint8[N, 256, 256, 3] as the means of two by two pixels; all else as it is."""
    if values.dtype != np.uint8 or values.shape[1:] != (2 * SIDE, 2 * SIDE, 3):
        return values
    four = values.reshape(len(values), SIDE, 2, SIDE, 2, 3).sum(axis=(2, 4), dtype=np.uint16)
    return ((four + 2) // 4).astype(np.uint8)
