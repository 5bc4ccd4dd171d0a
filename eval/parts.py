"""Finished parts of an evaluation, kept on disk so that an interrupted one goes on where it stopped."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cattrs
import numpy as np

from generalist.demonstrations.storage import dataset_folder
from generalist.envs.files import WritingError, check_writable, read_json, write_json
from generalist.envs.task import Task
from generalist.eval.config import SPECIALISTS, EvaluationConfig
from generalist.eval.report.record import TaskRecord, task_from_json, task_to_json
from generalist.eval.versions import episode_versions
from generalist.train.exported import Exported
from generalist.train.run import Run

FOLDER = "evaluation"
FITTED = ("baselines", *SPECIALISTS)
"""Parts that learn from demonstrations."""
MEASURE = "restore it from a copy, or delete this file, and it alone is measured again"
"""What to do about a damaged part."""


def parts_folder(run: Run, out: Path) -> Path:
    """Where parts are kept: in the run, or beside the report where nothing may be written into the run.

    Those of an export are kept apart from those of any other network.

    Raises:
        WritingError: nothing may be written to `out`; said before anything is played.
    """
    check_writable(out)
    if run.exported:
        return folder_of_export(run.exported, out)
    try:
        check_writable(run.directory / FOLDER)
    except WritingError:
        check_writable(out / FOLDER)
        return out / FOLDER
    return run.directory / FOLDER


def folder_of_export(exported: Exported, out: Path) -> Path:
    """The parts of an export, beside its report."""
    return out / FOLDER / exported.fingerprint[:12]


class Parts:
    """Finished parts of an evaluation on disk.

    Parts of other settings, another checkpoint or other demonstrations do not count, nor what was fitted on other
    episodes of them.

    Args:
        episodes: by task id, the numbers of those that the parts in `FITTED` learn from; None where there are none.
    """

    def __init__(
        self,
        folder: Path,
        config: EvaluationConfig,
        step: int,
        data: Path,
        episodes: Mapping[str, np.ndarray | None] | None = None,
    ):
        self.folder, self.step, self.data, self.episodes = folder, step, data, episodes or {}
        settings = cattrs.unstructure(config)
        # These change what is shown, how fast, which parts there are, or what is measured on corpora.
        others = ("films", "workers", "specialists", "documents")
        self.settings = {name: value for name, value in settings.items() if name not in others}
        if config.decode.play_chunk == 1:
            del self.settings["decode"]["play_chunk"]  # parts from before there was the option still count
        folder.mkdir(parents=True, exist_ok=True)

    def _fingerprint(self, task: Task, part: str) -> dict[str, Any]:
        demonstrations = demonstrations_mark(self.data, task)
        content = {"config": self.settings, "step": self.step, "demonstrations": demonstrations}
        if part in FITTED and (learned := self.episodes.get(task.id)) is not None:
            content["episodes"] = [len(learned), hashlib.sha256(learned.astype("<i8").tobytes()).hexdigest()]
        return json.loads(json.dumps(content))

    def _path(self, task: Task, part: str) -> Path:
        return _path(self.folder, task, part)

    def load(self, task: Task, part: str) -> TaskRecord | None:
        """The part, None if it is not there or does not count. Raises ValueError, with the file, if it is damaged."""
        path = self._path(task, part)
        if not path.exists():
            return None
        stored = read_json(path, "", MEASURE)
        return task_from_json(stored["task"]) if stored.get("fingerprint") == self._fingerprint(task, part) else None

    def save(self, task: Task, part: str, record: TaskRecord) -> TaskRecord:
        content = {
            "fingerprint": self._fingerprint(task, part),
            "versions": episode_versions(task),
            "task": task_to_json(record),
        }
        write_json(self._path(task, part), content)
        return record


def stored_part(folder: Path, task: Task, part: str) -> dict[str, Any] | None:
    """What is kept of a part, whatever it was made with: `fingerprint`, `versions` and `task`; None if nothing is.

    Raises ValueError, with the file, if it is damaged.
    """
    path = _path(folder, task, part)
    return read_json(path, "", MEASURE) if path.exists() else None


def demonstrations_mark(data: Path, task: Task) -> list[Any] | None:
    """Where a task's demonstrations are and when they were last changed; None where there are none."""
    index = dataset_folder(data, task.id) / "index.json"
    return [str(index), index.stat().st_mtime_ns] if index.exists() else None


def _path(folder: Path, task: Task, part: str) -> Path:
    return folder / f"{dataset_folder('.', task.id).parent.name}.{part}.json"
