"""What a folder of demonstrations holds: its data sets, recorded and imported, finished or not, whole or damaged."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym

from generalist.demonstrations.storage import COLLECTION, INDEX, VERSION, Demonstrations, dataset_folder
from generalist.envs.files import read_json
from generalist.envs.table import task_in_file
from generalist.envs.task import UnknownTask, nearest_ids


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """One data set of a folder.

    Args:
        folder: DATA/<name>/1.0.0.
        task: the task's id.
        policy: who acted, or the public data set that it was imported from.
        episodes, steps: totals; 0 where the collection is not finished.
        mean_return: over all episodes; None without any.
        success: share of successful episodes; None where the task has no success.
        observation_space, action_space: of the data; None where it cannot be read.
        problem: why it cannot be read, "" where it can.
    """

    folder: Path
    task: str
    policy: str = ""
    episodes: int = 0
    steps: int = 0
    mean_return: float | None = None
    success: float | None = None
    observation_space: gym.Space | None = None
    action_space: gym.Space | None = None
    problem: str = ""


def is_recorded(data: str | os.PathLike, task_id: str) -> bool:
    """Whether the folder has demonstrations of a task, whole or not."""
    return dataset_folder(data, task_id).exists()


def data_sets(data: str | os.PathLike) -> tuple[DataSet, ...]:
    """Every data set of a folder, by its name; what cannot be read says why and is listed with the others.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    folder = Path(data)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; `generalist collect` and `import` make one (--out)")
    found = sorted({path.parent for path in folder.glob(f"*/{VERSION}/{COLLECTION}")})
    return tuple(_data_set(path) for path in found)


def recorded_tasks(data: str | os.PathLike) -> tuple[str, ...]:
    """Ids of the tasks that a folder has whole demonstrations of; none where there is no such folder."""
    if not Path(data).is_dir():
        return ()
    return tuple(each.task for each in data_sets(data) if not each.problem)


def check_known(task_id: str, data: str | os.PathLike) -> None:
    """Nothing for a task that the folder has demonstrations of, or that `task_in_file` knows.

    Raises:
        UnknownTask: neither; lists the nearest of both.
    """
    if is_recorded(data, task_id):
        return
    try:
        task_in_file(task_id)
    except UnknownTask as unknown:
        near = nearest_ids(task_id, list(recorded_tasks(data)))
        there = f"the nearest in {data} are {', '.join(near)}" if near else f"{data} has no demonstrations of it"
        raise UnknownTask(f"{unknown}; {there} (`generalist tasks --data {data}` lists them)") from None


def _data_set(folder: Path) -> DataSet:
    settings: dict[str, Any] = {}
    try:
        settings = read_json(folder / COLLECTION, "collect or import it again")
        if not (folder / INDEX).exists():
            raise ValueError("not finished: the same command again goes on")
        opened = Demonstrations.open(folder)
    except (ValueError, OSError, KeyError, TypeError) as error:
        task = str(settings.get("task", folder.parent.name))
        return DataSet(folder=folder, task=task, policy=str(settings.get("policy", "")), problem=str(error))
    known = [success for success in opened.successes if success is not None]
    return DataSet(
        folder=folder,
        task=opened.task_id,
        policy=str(opened.settings.get("policy", "")),
        episodes=len(opened),
        steps=int(opened.lengths.sum()),
        mean_return=float(opened.returns.mean()) if len(opened) else None,
        success=sum(known) / len(known) if known else None,
        observation_space=opened.observation_space,
        action_space=opened.action_space,
    )
