"""What an evaluation shows in the terminal: episodes of the agent and finished baselines, with time to go."""

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class EvaluationDisplay:
    """A context manager; `quiet` shows nothing. Without a terminal, a line is printed per finished task."""

    def __init__(self, tasks: Sequence[str], *, quiet: bool = False):
        self.quiet = quiet
        self.console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[now]}"),
            TimeElapsedColumn(),
            TextColumn("to go"),
            TimeRemainingColumn(),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
        )
        self.agent = self.progress.add_task("agent, tasks", total=len(tasks), now="loading")
        self.baselines = self.progress.add_task("baselines, tasks", total=len(tasks), now="")
        self.episodes = 0

    def __enter__(self) -> "EvaluationDisplay":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def agent_episode(self, task: str, total: int) -> None:
        self.episodes += 1
        self.progress.update(self.agent, now=f"{task} {self.episodes}/{total} episodes")

    def agent_done(self, task: str) -> None:
        self.episodes = 0
        self.progress.update(self.agent, advance=1, now=task)
        self._say(f"agent: {task}")

    def baseline_done(self, task: str) -> None:
        self.progress.update(self.baselines, advance=1, now=task)
        self._say(f"baselines: {task}")

    def _say(self, text: str) -> None:
        if not self.quiet and not self.console.is_terminal:
            self.console.print(text, highlight=False)
