"""The commands `generalist study ...`: what many runs say together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro

from generalist.configs.commands.adapt_command import default_out, layout_of
from generalist.configs.commands.layout_option import Choices, with_choices
from generalist.configs.commands.task_commands import Flag, Sets, TaskIds, with_sets
from generalist.configs.commands.terminal import print_notice

Config = TypeVar("Config")
Way = Literal["full", "kept", "lora", "head", "embedding"]
Plain = Literal["linear", "nearest_neighbour", "mlp", "gru"]


@dataclass(frozen=True, kw_only=True)
class StudyScale(Generic[Config]):
    """Scaling laws: train and play a grid of sizes x tokens, fit how loss and success scale, foretell one run beyond.

    The same command goes on where it was stopped. Writes scale.json and scale.html.
    """

    config: Annotated[Config, tyro.conf.arg(name="")]
    sizes: tuple[str, ...] = ("0.25", "0.5", "1", "2")
    """Multiples of the config's agent (width, heads, feed-forward and vector embedder in proportion), or WIDTHxLAYERS:
    --sizes 0.5 1 96x3."""
    tokens: tuple[str, ...] = ()
    """Tokens that runs read, as 500k or 2M, each trained with a schedule of its own length; default: 1/16, 1/8, 1/4 and
    1/2 of what the config itself reads."""
    seeds: int = 1
    """Training seeds of every size and token count: the config's and those after it."""
    episodes: int = 20
    """Episodes of each task on which each run is played."""
    rate_power: float = 1.0
    """The learning rate is the config's divided by (width / the config's width) to this power; 0: the same for all."""
    beyond: tuple[str, ...] = ()
    """Size and tokens of the run outside the grid, whose loss is foretold and then measured: --beyond 3 8M; default:
    the largest half as wide again, and twice the tokens."""
    grid_only: Flag = False
    """Leave out the run outside the grid."""
    out: Path | None = None
    """Folder of the study; default: runs/scale-CONFIG."""
    data: Path = Path("data")
    """Folder of the demonstrations."""
    task: TaskIds = ()
    """Study these tasks instead of the config's; give it again for more."""
    sets: Sets = ()
    """All tasks of this named set; give it again for more."""
    layout: Choices = ()
    """One choice in the layout of every task, as NAME=VALUE (context=4); give it again for more."""
    estimate: Flag = False
    """Print the runs and what they cost, and stop."""
    ray: str = ""
    """Play on a Ray cluster: its HOST:PORT, `auto` for the one of this machine, `local` to start one here. Training
    stays here."""

    def __call__(self, preset: str) -> None:
        print_notice(f"scaling study of {preset} on {self.data}: loading")
        from generalist.configs.commands import study
        from generalist.studies.scale.grid import Grid, parse_tokens

        grid = Grid(
            sizes=self.sizes,
            tokens=tuple(parse_tokens(text) for text in self.tokens),
            seeds=self.seeds,
            rate_power=self.rate_power,
            beyond=self.beyond,
        )
        study.scale(
            with_choices(self.config, self.layout, "generalist study scale"),  # pyright: ignore[reportArgumentType]
            grid,
            data=self.data,
            out=self.out or Path("runs") / f"scale-{preset.replace('/', '-')}",
            tasks=with_sets(self.task, self.sets),
            estimate=self.estimate,
            episodes=self.episodes,
            grid_only=self.grid_only,
            ray=self.ray,
        )


@dataclass(frozen=True, kw_only=True)
class StudyAdapt:
    """What is a foundation worth for new tasks? Adapted beside the same network from scratch, and plain policies.

    At each number of demonstrations, with several draws of them: success and normalised return with intervals, budgets
    of updates chosen by play, demonstrations needed, and what was lost of the foundation's own tasks. The same command
    goes on where it was stopped. Writes adapt.json and adapt.html; docs/adapting.md says how to read them.
    """

    run: tyro.conf.Positional[Path]
    """The foundation: a run directory, or an export: its folder, pretrained:NAME or hf:USER/NAME[@REVISION]; it is only
    read."""
    task: TaskIds = ()
    """A new task; give it again for more. All are learnt together by one network."""
    sets: Sets = ()
    """All tasks of this named set, such as metaworld/ml45-test; give it again for more."""
    numbers: tuple[int, ...] = (1, 5, 10, 25, 50, 100)
    """Of demonstrations of each task."""
    draws: int = 3
    """Draws of demonstrations at each number, each with a training seed of its own."""
    ways: tuple[Way, ...] = ("kept", "full", "lora")
    """Of adapting, as for `generalist adapt --how`; `kept` is `full` with the foundation's own data mixed in."""
    plain: tuple[Plain, ...] = ("linear", "nearest_neighbour", "mlp", "gru")
    """Policies of each task alone, fitted on the same demonstrations."""
    steps: tuple[int, ...] = (600, 2400, 4800)
    """Budgets of updates, of which play on the selection seeds chooses for every way and number, and from scratch."""
    episodes: int = 50
    """Of each task, number and draw, on the evaluation seeds."""
    selection_episodes: int = 10
    """Of each task, to choose a budget."""
    keep: float = 0.5
    """Share of the foundation's own data in the way `kept`."""
    old_number: int = 10
    """The nearest of --numbers to this: with so many is measured what is lost of the foundation's own tasks."""
    old_episodes: int = 5
    """Of each of these."""
    rank: int = 8
    """Of LoRA."""
    timesteps: int = 128
    """Of one update, about."""
    new_tasks: Literal["mean", "nearest", "random"] = "mean"
    """How the embedding of a new task begins, as for `generalist adapt`."""
    layout_of: str | None = None
    """A config whose first task says how new ones are shown; default: as the foundation's nearest task is."""
    step: int | Literal["best"] | None = None
    """The foundation's checkpoint of this update, or the best; default: the newest."""
    data: Path | None = None
    """Folder of the demonstrations; default: where the foundation's were."""
    out: Path | None = None
    """Folder of the study; default: beside the foundation, NAME-adapt; of an export runs/NAME-adapt."""
    workers: int = 0
    """Processes that train and play, each on one thread; default: one for each core."""
    keep_runs: Flag = False
    """Leave the adapted runs in the folder; else they are removed when all is done."""
    ray: str = ""
    """A Ray cluster that does it instead: its HOST:PORT, `auto` for the one of this machine, `local` to start one."""

    def __call__(self) -> None:
        print_notice(f"adaptation study of {self.run}: loading")
        from generalist.configs.commands import study
        from generalist.studies.adapt.settings import Settings
        from generalist.train.adaptation import AdaptConfig

        settings = Settings(
            numbers=self.numbers,
            demonstration_seeds=self.draws,
            ways=self.ways,
            plain=self.plain,
            steps=self.steps,
            episodes=self.episodes,
            selection_episodes=self.selection_episodes,
            keep=self.keep,
            old_number=self.old_number,
            old_episodes=self.old_episodes,
            adaptation=AdaptConfig.of(
                rank=self.rank,
                timesteps=self.timesteps,
                new_tasks=self.new_tasks,
                layout=layout_of(self.layout_of),
            ),
        )
        study.adapt(
            self.run,
            with_sets(self.task, self.sets),
            settings,
            data=self.data,
            out=self.out or default_out(self.run, "adapt"),
            step=self.step,
            workers=self.workers,
            ray=self.ray,
            keep_runs=self.keep_runs,
        )


STUDIES: dict[str, Any] = {"study scale": StudyScale, "study adapt": StudyAdapt}
"""By the two words that call them."""
