"""What a scaling study costs: model FLOPs of each run before it starts, and the time left by the runs that are done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from generalist.agent.config import AgentConfig
from generalist.studies.scale.grid import Grid, Point, points_of
from generalist.train.config import TrainConfig
from generalist.train.describe import count_parameters
from generalist.train.flops import update_flops
from generalist.train.padding import padding_share
from generalist.train.sources import Mixture, input_sizes, open_mixture

ASSUMED_UTILISATION = 0.3
"""Of this machine's measured peak, until a run is done; small networks reach a tenth to a half."""
TABLES = ("token table", "local positions", "source embedding")
"""Parameters that are looked up; the token table is the output matrix too."""


@dataclass(frozen=True)
class Plan:
    """All runs of a study and what each costs.

    Args:
        points: of the grid, cheapest first, and last the one outside it, where there is one.
        parameters, tables: of each size's agent: all, and those of `TABLES` among them.
        flops: model FLOPs of each run by its name, see `generalist.train.flops`.
    """

    points: tuple[Point, ...]
    beyond: Point | None
    mixture: Mixture
    tokens_per_update: float
    parameters: Mapping[AgentConfig, int]
    tables: Mapping[AgentConfig, int]
    flops: Mapping[str, float]

    @property
    def all(self) -> tuple[Point, ...]:
        return (*self.points, *([self.beyond] if self.beyond else []))

    @property
    def total_flops(self) -> float:
        return sum(self.flops.values())


def make_plan(config: TrainConfig, grid: Grid, data: Path, *, grid_only: bool = False) -> Plan:
    """Opens the demonstrations, and allocates nothing.

    Raises:
        FileNotFoundError: no demonstrations of a task, with the command that collects them.
        ValueError: a grid that cannot be fitted, or sizes that do not divide.
    """
    mixture = open_mixture(config, data)
    rows = config.batch_size // config.streams
    filled = 1 - padding_share(mixture.sources, mixture.weights, mixture.capacity, rows=rows)
    per_update = config.batch_size * config.sequence_length * filled
    points, outside = points_of(grid, config, per_update)
    beyond = None if grid_only else outside
    sizes = input_sizes(config, list(mixture.layouts.values()))
    several = [*points, *([beyond] if beyond else [])]
    counted = {point.config.agent: count_parameters(point.config, sizes) for point in several}
    flops = {
        point.name: update_flops(point.config.agent, sizes, mixture.capacity, config.batch_size) * point.config.steps
        for point in several
    }
    return Plan(
        points=tuple(points),
        beyond=beyond,
        mixture=mixture,
        tokens_per_update=per_update,
        parameters={agent: sum(parts.values()) for agent, parts in counted.items()},
        tables={agent: sum(parts.get(name, 0) for name in TABLES) for agent, parts in counted.items()},
        flops=flops,
    )


@dataclass
class Pace:
    """Seconds that runs take, from FLOPs and from the runs that are done.

    Args:
        peak: FLOP/s of this machine, see `generalist.train.flops.measured_peak`.
    """

    plan: Plan
    peak: float
    _per_flop: dict[AgentConfig, float] = field(default_factory=dict)
    _besides: list[float] = field(default_factory=list)
    _played: list[float] = field(default_factory=list)

    def trained(self, point: Point, figures: Mapping[str, float]) -> None:
        """A run is trained: its `tokens`, its `tokens_per_second` at the end, and its `seconds` with compiling."""
        updating = figures["tokens"] / figures["tokens_per_second"]
        self._per_flop[point.config.agent] = updating / self.plan.flops[point.name]
        self._besides.append(max(figures["seconds"] - updating, 0.0))

    def played(self, seconds: float) -> None:
        """A run took so long to be played."""
        self._played.append(seconds)

    def left(self, points: Sequence[Point]) -> float:
        """Seconds that these runs will take, by those of the same size, else by all, else by the assumed share."""
        besides = sum(median(known) for known in (self._besides, self._played) if known)
        usual = median(self._per_flop.values()) if self._per_flop else 1 / (ASSUMED_UTILISATION * self.peak)
        rates = [self._per_flop.get(point.config.agent, usual) for point in points]
        return sum(self.plan.flops[each.name] * rate + besides for each, rate in zip(points, rates, strict=True))
