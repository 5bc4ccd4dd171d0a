"""The commands `generalist study ...`: what many runs say together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from generalist.configs.commands.task_commands import Flag, Sets, TaskIds, with_sets
from generalist.configs.commands.terminal import print_notice

Config = TypeVar("Config")


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
            self.config,  # pyright: ignore[reportArgumentType]
            grid,
            data=self.data,
            out=self.out or Path("runs") / f"scale-{preset.replace('/', '-')}",
            tasks=with_sets(self.task, self.sets),
            estimate=self.estimate,
            episodes=self.episodes,
            grid_only=self.grid_only,
            ray=self.ray,
        )


STUDIES: dict[str, Any] = {"study scale": StudyScale}
"""By the two words that call them."""
