"""The command `generalist expert`: an expert for a task that has none, learned and kept as a small file."""

import shlex
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from generalist.configs.commands.terminal import console, print_notice, table

if TYPE_CHECKING:
    from generalist.envs.experts.settings import Settings
    from generalist.envs.experts.training import Progress as Trained
    from generalist.envs.task import Reference, Task

Flag = tyro.conf.FlagCreatePairsOff[bool]
Sizes = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class TrainExpert:
    """Train an expert by SAC or PPO: a file that `generalist collect --policy FILE` records with. Extra: sac.

    For tasks with a state of numbers: SAC where actions are continuous, PPO where they are numbered. The best actor so
    far is always in the file; Ctrl-C ends the training early.
    """

    task: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TASK")]
    """Id of the task, or gym:<id> for any Gymnasium id."""
    steps: int = 300_000
    """Steps of the environment to train for."""
    seed: int = 0
    """Of networks, exploration and first reset."""
    out: Path | None = None
    """File to write, NAME.npz; default: the task's id, in this folder."""
    updates: float = 1.0
    """Updates per step of the environment; SAC only."""
    batch: int = 256
    """Steps that an update is made on."""
    learning_rate: float = 3e-4
    """Adam's step size."""
    discount: float = 0.99
    """Discount per step."""
    averaging: float = 0.005
    """Share of the critics that their slow copies take at each update (tau); SAC only."""
    actor: Sizes = (64, 64)
    """Hidden sizes of the network that is kept."""
    critic: Sizes = (128, 128)
    """Hidden sizes of the networks that only train it: two critics of SAC, one of PPO."""
    every: int = 10_000
    """Steps between two evaluations, by which the best actor is chosen."""
    chosen_by: int = 10
    """Episodes of such an evaluation."""
    episodes: int = 20
    """Episodes, on other seeds, by which the result is measured at the end."""
    overwrite: Flag = False
    """Replace a file that is there."""

    def __call__(self) -> None:
        from generalist.envs.experts.settings import Settings
        from generalist.envs.table import find_task

        task = find_task(self.task)
        if self.episodes < 1:
            raise ValueError(f"--episodes must be at least 1, got {self.episodes}")
        settings = Settings(
            steps=self.steps,
            seed=self.seed,
            updates=self.updates,
            batch=self.batch,
            learning_rate=self.learning_rate,
            discount=self.discount,
            averaging=self.averaging,
            actor=self.actor,
            critic=self.critic,
            every=self.every,
            episodes=self.chosen_by,
        )
        out = self.out or Path(f"{task.id.replace('/', '_').replace(':', '_')}.npz")
        trained = _train_with_bar(task, settings, out, self.overwrite)
        if trained.steps < settings.steps:
            print_notice(f"ended after {trained.steps:,} of {settings.steps:,} steps")
        console().print(table([_row(task, out, trained, self.episodes)]))
        console().print(
            f"\nRecord with it: generalist collect --task {shlex.quote(task.id)} --policy {shlex.quote(str(out))}",
            markup=False,
            soft_wrap=True,
        )


def _train_with_bar(task: "Task", settings: "Settings", out: Path, overwrite: bool) -> "Trained":
    from generalist.envs.experts.training import train_expert

    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()
    times = TimeElapsedColumn(), TimeRemainingColumn(compact=True)
    said = TextColumn("{task.fields[rate]}"), TextColumn("{task.fields[score]}")
    with Progress(*columns, *times, *said, console=console(stderr=True)) as bar:
        line = bar.add_task(task.id, total=settings.steps, rate="", score="")

        def report(progress: "Trained") -> None:
            rate = f"{progress.steps / (bar.tasks[0].elapsed or 1):,.0f} steps/s"
            score = "" if progress.best is None else f"return {progress.last:,.1f}, best {progress.best:,.1f}"
            done = min(progress.steps, settings.steps)  # a training ends with a whole round
            bar.update(line, completed=done, rate=rate, score=score)

        return train_expert(task, settings, out, overwrite=overwrite, report=report)


def _row(task: "Task", out: Path, trained: "Trained", episodes: int) -> dict[str, Any]:
    """What the actor in the file reaches on the evaluation seeds, beside random play and the task's own expert."""
    from generalist.envs.experts.learned import learned_expert
    from generalist.envs.reference import measure

    scores = measure(replace(task, expert=partial(learned_expert, out)), "expert", episodes)
    random = task.random_reference or measure(task, "random", episodes)
    return {
        "file": str(out),
        "kB": out.stat().st_size / 1e3,
        "steps": trained.steps,
        "return": _mean_and_deviation(scores),
        "episodes": episodes,
        "success": scores.success,
        "random": _mean_and_deviation(random),
        "the task's expert": task.expert_reference and _mean_and_deviation(task.expert_reference),
    }


def _mean_and_deviation(scores: "Reference") -> str:
    return f"{scores.mean:,.1f} +- {scores.std:,.1f}"
