"""What a training run shows in the terminal: a progress bar with rate, loss, utilisation and time to go."""

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def progress_bars(console: Console, *, visible: bool) -> Progress:
    """Bars with a count, a `text` of the caller's, the time so far and the time to go."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
        TextColumn("to go"),
        TimeRemainingColumn(),
        console=console,
        disable=not visible,
    )


class TrainingDisplay:
    """A context manager; `quiet` shows nothing. Without a terminal, a line is printed for every tenth of the run.

    The loss of what is held out is that of the newest evaluation.
    """

    def __init__(self, steps: int, first: int, *, quiet: bool = False):
        self.steps, self.quiet = steps, quiet
        self.console = Console(stderr=True)
        self.progress = progress_bars(self.console, visible=not quiet and self.console.is_terminal)
        self.task = self.progress.add_task("training", total=steps, completed=first, text="compiling")
        self.printed = first * 10 // steps
        self.held_out = ""

    def __enter__(self) -> "TrainingDisplay":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def say(self, text: str) -> None:
        if text and not self.quiet:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def update(self, step: int, line: dict[str, Any]) -> None:
        if "held_out" in line:
            self.held_out = f"held out {line['held_out']['loss']:.3f}  "
        text = (
            f"loss {line['loss']:.3f}  {self.held_out}{line['tokens_per_second']:,.0f} tokens/s  "
            f"{line['model_flops_utilisation']:.0%} of peak  padding {line['padding']:.0%}  "
            f"input wait {line['input_wait']:.1%}, {line['input_made']:,.0f} tokens/s made"
        )
        self.progress.update(self.task, completed=step, text=text)
        if not self.quiet and not self.console.is_terminal and step * 10 // self.steps > self.printed:
            self.printed = step * 10 // self.steps
            self.console.print(f"step {step}/{self.steps}  {text}", highlight=False, soft_wrap=True)
