"""Recordings of this package, imported as any other RLDS data set: nothing of an episode is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from generalist.demonstrations.episode import Episode
from generalist.demonstrations.public.reader import Origin, PublicData
from generalist.demonstrations.rlds import SUCCESS_CODES
from generalist.demonstrations.storage import Demonstrations

OWN = frozenset({"task_id", "seed", "return", "success", "expert", "noise", "truncated"})
"""What is beside the steps of a recording, see `generalist.demonstrations.rlds`."""


def open_own(folder: Path, task: str | None, origin: Origin) -> PublicData:
    """A folder that `generalist collect` or `import` has made, in its own spaces. Raises as `Demonstrations.open`."""
    demonstrations = Demonstrations.open(folder)
    task_id = task or demonstrations.task_id

    def read(start: int) -> Iterator[Episode]:
        for number in range(start, len(demonstrations)):
            episode = demonstrations.episode(number)
            yield replace(episode, metadata=replace(episode.metadata, task_id=task_id))

    return PublicData(
        name=f"rlds:{demonstrations.task_id}",
        task_id=task_id,
        observation_space=demonstrations.observation_space,
        action_space=demonstrations.action_space,
        episodes_total=len(demonstrations),
        read=read,
        notices=("a recording of this package: spaces, final observations, seeds and successes are its own",),
        origin=origin,
    )


def own_facts(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What a record of this package says of its episode. Raises ValueError or IndexError: it does not."""
    codes = {code: success for success, code in SUCCESS_CODES.items()}
    return {
        "task_id": fields["task_id"].bytes_list.value[0].decode(),
        "seed": int(fields["seed"].int64_list.value[0]),
        "success": codes.get(int(fields["success"].int64_list.value[0])),
        "expert": fields["expert"].bytes_list.value[0].decode(),
        "noise": float(np.frombuffer(fields["noise"].bytes_list.value[0], np.float64)[0]),
        "truncated": bool(fields["truncated"].int64_list.value[0]),
    }
