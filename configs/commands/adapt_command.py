"""The command `generalist adapt`: a trained agent learns new tasks from few demonstrations."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from generalist.configs.commands.task_commands import Flag, Sets, TaskIds, with_sets
from generalist.configs.commands.terminal import print_notice


def layout_of(config: str | None) -> Any:
    """The layout of a config's first task; None of none. Raises ValueError where it has no task."""
    if config is None:
        return None
    from generalist.configs.presets import load_preset

    sources = load_preset(config).train.sources
    if not sources:
        raise ValueError(f"--layout-of {config}: this config trains on no task; name one that does")
    return sources[0].layout


def default_out(run: Path, what: str) -> Path:
    """The folder of what is made of a run, where none is named; beside a run that is gone, as when it was there."""
    from generalist.train.adapt import is_gone
    from generalist.train.run import read_run

    return run.with_name(f"{run.name}-{what}") if is_gone(run) else read_run(run).beside(what)


@dataclass(frozen=True, kw_only=True)
class Adapt:
    """Train a run's agent on new tasks from few demonstrations; the result is a run like any other.

    `generalist collect --task T --episodes N` records demonstrations, `generalist eval` measures the adapted run, and
    `generalist study adapt` says what the foundation was worth.
    """

    run: tyro.conf.Positional[Path]
    """The foundation: a run directory, or an export: its folder, pretrained:NAME or hf:USER/NAME[@REVISION]; it is only
    read."""
    task: TaskIds = ()
    """A task to learn; give it again for more, which are learnt together."""
    sets: Sets = ()
    """All tasks of this named set; give it again for more."""
    episodes: int | None = None
    """Demonstrations of each task; default: all."""
    episodes_seed: int | None = None
    """Draws them at random; default: the first ones."""
    failures: Flag = False
    """Take demonstrations that did not reach the goal, too."""
    how: Literal["full", "head", "lora", "embedding"] = "full"
    """What is trained: everything; the final norm and the token table; low-rank matrices and the task embedding; the
    task embedding alone."""
    rank: int = 8
    """Of LoRA."""
    alpha: float = 8.0
    """LoRA's products are scaled by alpha / rank."""
    parts: tuple[str, ...] = ("attention", "feedforward")
    """Matrices with LoRA: query key value out (together attention), gate up down (feedforward)."""
    keep: float | None = None
    """Share of the examples that are of the foundation's own tasks, which needs their demonstrations; default: 0.5
    where all of them are there, else 0."""
    steps: int | None = None
    """Updates; default: 2400, or 600 where everything is trained on the new demonstrations alone."""
    learning_rate: float | None = None
    """The highest; default: a part of the foundation's, by what is trained (see docs/adapting.md)."""
    timesteps: int = 128
    """Of one update, about."""
    batch_size: int | None = None
    """Rows of one update; default: as many as hold --timesteps."""
    new_tasks: Literal["mean", "nearest", "random"] = "mean"
    """How the embedding of a new task begins: as the mean of its family's, as that of the trained task that explains
    its demonstrations best, or at random."""
    layout_of: str | None = None
    """A config whose first task says how new ones are shown; default: as the foundation's nearest task is."""
    from_scratch: Flag = False
    """Begin with new parameters: what the foundation is compared with. Statistics are the foundation's all the same."""
    step: int | Literal["best"] | None = None
    """The foundation's checkpoint of this update, or the best; default: the newest."""
    seed: int = 0
    """Of everything random in training."""
    out: Path | None = None
    """Run directory to write; default: beside the foundation, NAME-adapted; of an export runs/NAME-adapted."""
    data: Path | None = None
    """Folder of the demonstrations; default: where the foundation's were; of an export data."""
    workers: int | None = None
    """Processes that make batches; see `generalist train`."""
    resume: Flag = False
    """Go on from the newest checkpoint of the run directory."""
    overwrite: Flag = False
    """Delete what the run directory holds."""

    def __call__(self) -> None:
        print_notice(f"adapting {self.run}: loading")
        from generalist.agent.compilation import keep_compilations
        from generalist.train.adapt import adapt, is_gone
        from generalist.train.adaptation import AdaptConfig
        from generalist.train.adapted import missing_data, own_data
        from generalist.train.config import TrainableConfig
        from generalist.train.run import read_run

        keep_compilations()
        config = AdaptConfig(
            episodes=self.episodes,
            episodes_seed=self.episodes_seed,
            failures=self.failures,
            trainable=TrainableConfig(how=self.how, rank=self.rank, alpha=self.alpha, parts=self.parts),
            keep=self.keep,
            steps=self.steps,
            learning_rate=self.learning_rate,
            timesteps=self.timesteps,
            batch_size=self.batch_size,
            new_tasks=self.new_tasks,
            layout=layout_of(self.layout_of),
            from_scratch=self.from_scratch,
            seed=self.seed,
        )
        new = with_sets(self.task, self.sets)
        run = adapt(
            self.run,
            new,
            config,
            data=self.data,
            out=self.out or default_out(self.run, "adapted"),
            step=self.step,
            resume=self.resume,
            overwrite=self.overwrite,
            workers=self.workers,
        )
        if self.keep is None and not self.from_scratch and not is_gone(self.run):
            foundation = read_run(self.run)
            if own_data(foundation, new) and not own_data(run, new):
                missing = missing_data(foundation, new, Path(run.data))
                why = f", as not all of the foundation's own are under {run.data} (not {missing[0]})" if missing else ""
                print_notice(
                    f"learnt from the new demonstrations alone{why}: some of what it could may be lost "
                    "(docs/adapting.md)"
                )
        print_notice(f"{run.directory}: a run like any other; `generalist eval {run.directory}` measures it")
