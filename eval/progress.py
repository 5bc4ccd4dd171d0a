"""What an evaluation shows in the terminal: episodes of the agent and finished baselines, with time to go."""

from collections.abc import Sequence

from generalist.tokenizers.printable import SafeConsole
from generalist.train.display import progress_bars


class EvaluationDisplay:
    """A context manager; `quiet` shows nothing. Without a terminal, a line is printed per finished task."""

    def __init__(self, tasks: Sequence[str], *, specialists: int = 0, offline: int = 0, quiet: bool = False):
        self.quiet, self.tasks = quiet, len(tasks)
        self.console = SafeConsole(stderr=True)
        self.progress = progress_bars(self.console, visible=not quiet and self.console.is_terminal)
        self.agent = self.progress.add_task("agent, tasks", total=len(tasks), text="loading", visible=bool(tasks))
        self.baselines = self.progress.add_task("baselines, tasks", total=len(tasks), text="", visible=bool(tasks))
        self.specialists = self.progress.add_task(
            "specialists", total=len(tasks) * specialists, text="", visible=bool(tasks and specialists)
        )
        self.offline = self.progress.add_task("offline, tasks", total=offline, text="", visible=bool(offline))
        self.episodes = 0

    def __enter__(self) -> "EvaluationDisplay":
        self.progress.start()
        if self.tasks:
            self._say(f"playing {self.tasks} tasks; the first step of each kind compiles")
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def agent_episode(self, task: str, total: int) -> None:
        self.episodes += 1
        self.progress.update(self.agent, text=f"{task} {self.episodes}/{total} episodes")

    def agent_done(self, task: str) -> None:
        self.episodes = 0
        self.progress.update(self.agent, advance=1, text=task)
        self._say(f"agent: {task}")

    def baseline_done(self, task: str) -> None:
        self.progress.update(self.baselines, advance=1, text=task)
        self._say(f"baselines: {task}")

    def specialist_done(self, task: str) -> None:
        self.progress.update(self.specialists, advance=1, text=task)
        self._say(f"specialist: {task}")

    def offline_done(self, task: str) -> None:
        self.progress.update(self.offline, advance=1, text=task)
        self._say(f"offline: {task}")

    def corpus_done(self, name: str) -> None:
        self._say(f"corpus: {name}")

    def failed(self, task: str, part: str, error: str) -> None:
        """Said at once: the others may take hours."""
        if not self.quiet:
            self.console.print(f"failed ({part}): {task}: {error}", soft_wrap=True)

    def _say(self, text: str) -> None:
        if not self.quiet and not self.console.is_terminal:
            self.console.print(text)
