"""Tasks of an evaluation that could not be played, beside those that were."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from generalist.envs.failures import PartsFailed, in_words, is_of_one_part
from generalist.envs.workers import JobFailed

Given = TypeVar("Given")
Made = TypeVar("Made")


class Shows(Protocol):
    """A display that says at once what failed."""

    def failed(self, task: str, part: str, error: str) -> None: ...


class EvaluationError(PartsFailed):
    """Some tasks could not be played. `report` has the others and is written; its `failed` says what happened."""

    def __init__(self, report: Mapping[str, Any]):
        super().__init__(
            [f"evaluating {each['task']} failed ({each['part']}): {each['error']}" for each in report["failed"]]
        )
        self.report = report


class Failures:
    """Collects what failed: one entry for each task, of its first part that did."""

    def __init__(self, display: Shows):
        self._display = display
        self._told: dict[str, dict[str, str]] = {}
        self.first: BaseException | None = None

    @property
    def told(self) -> tuple[dict[str, str], ...]:
        """Task, part ("agent", "baselines" or "offline") and error in a line, for the report."""
        return tuple(self._told.values())

    def of_each(self, part: str, tasks: Mapping[str, Given], make: Callable[[Given], Made]) -> dict[str, Made]:
        """What `make` gives of each, by task id, for those for which it does not raise."""
        made: dict[str, Made] = {}
        for id, given in tasks.items():
            try:
                made[id] = make(given)
            except BaseException as error:
                if not is_of_one_part(error):
                    raise
                self._add(id, part, error)
        return made

    def _add(self, task: str, part: str, error: BaseException) -> None:
        self.first = self.first or error
        entry = {"task": task, "part": part, "error": _said(error)}
        self._told.setdefault(task, entry)
        self._display.failed(task, part, entry["error"])


def _said(error: BaseException) -> str:
    """One line. Ray wraps what was raised, our own pool has put it into words already."""
    cause = getattr(error, "cause", None)
    error = cause if isinstance(cause, BaseException) else error
    return error.reason if isinstance(error, JobFailed) else in_words(error)
