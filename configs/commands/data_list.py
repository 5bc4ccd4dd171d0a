"""What `generalist tasks --data DIR` prints: the data sets of a folder, whether an environment of ours plays each."""

from pathlib import Path
from typing import Any

from generalist.demonstrations.data_folder import DataSet, data_sets
from generalist.envs.table import all_tasks
from generalist.envs.task import GYM_PREFIX
from generalist.envs.task_spaces import summary

OFFLINE = "none: evaluated offline"


def records(data: Path) -> list[dict[str, Any]]:
    """Everything about each data set, for JSON."""
    return [
        {
            "task": each.task,
            "folder": str(each.folder),
            "episodes": each.episodes,
            "steps": each.steps,
            "return": each.mean_return,
            "success": each.success,
            "observation": each.observation_space and summary(each.observation_space),
            "action": each.action_space and summary(each.action_space),
            "from": each.policy or None,
            "environment": _environment(each),
            "problem": each.problem or None,
        }
        for each in data_sets(data)
    ]


def rows(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines of the table, of those that can be read."""
    names = ("task", "episodes", "steps", "return", "success", "observation", "action", "from", "environment")
    return [{name: each[name] for name in names} for each in found if not each["problem"]]


def problems(found: list[dict[str, Any]]) -> list[str]:
    """A line for each that cannot be read."""
    return [f"{each['task']}: {each['problem']}" for each in found if each["problem"]]


def _environment(each: DataSet) -> str:
    """Who plays the task. Nothing is imported for it."""
    if each.task.startswith(GYM_PREFIX):
        return "Gymnasium"
    return "task table" if each.task in {task.id for task in all_tasks()} else OFFLINE
