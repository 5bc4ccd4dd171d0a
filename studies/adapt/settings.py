"""What a study of adaptation compares: ways of learning new tasks, numbers of demonstrations, budgets of updates."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from generalist.envs.names import nearest
from generalist.train.adaptation import KEEP, AdaptConfig
from generalist.train.config import TrainableConfig

KEPT = "kept"
"""Everything is trained, with a share of the foundation's own data in every batch."""
WAYS = ("full", KEPT, "lora", "head", "embedding")
"""Of adapting the foundation: what of it is trained, and with what data."""
SCRATCH = "scratch"
"""The same network with new parameters, on the same demonstrations and with the foundation's statistics."""
PLAIN = ("linear", "nearest_neighbour", "mlp", "gru")
"""One small policy for each task, fitted on the same demonstrations."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A study's choices.

    Args:
        numbers: of demonstrations of each task.
        demonstration_seeds: so many draws of demonstrations at each number.
        ways: of adapting, see `WAYS`.
        plain: policies that stand beside, see `PLAIN`.
        steps: budgets of updates that are tried for every way and from scratch, at every number. The best is chosen by
            play on the selection seeds, with the first draw of demonstrations.
        episodes: of each task, number and draw, on the evaluation seeds.
        selection_episodes: of each task, on the selection seeds, with which budgets are chosen.
        keep: share of the foundation's own data in the way `kept`.
        old_number: of demonstrations: the nearest of `numbers` is that with which is measured what was lost of the
            foundation's own tasks.
        old_episodes: of each of these.
        adaptation: what all have in common; its episodes, steps and so on do not count.
    """

    numbers: tuple[int, ...] = (1, 5, 10, 25, 50, 100)
    demonstration_seeds: int = 3
    ways: tuple[str, ...] = (KEPT, "full", "lora")
    plain: tuple[str, ...] = PLAIN
    steps: tuple[int, ...] = (600, 2400, 4800)
    episodes: int = 50
    selection_episodes: int = 10
    keep: float = KEEP
    old_number: int = 10
    old_episodes: int = 5
    adaptation: AdaptConfig = field(default_factory=AdaptConfig)

    def __post_init__(self):
        for name, known in (("ways", WAYS), ("plain", PLAIN)):
            given = getattr(self, name)
            for each in given:
                if each not in known:
                    raise ValueError(f"{name}: there is no {each!r}: {nearest(each, known)}")
            if len(set(given)) < len(given):
                raise ValueError(f"{name}: name each once, got {' '.join(given)}")
        if not self.ways:
            raise ValueError("ways: name at least one way of adapting")
        for name in ("numbers", "steps"):
            values = getattr(self, name)
            if not values or min(values) < 1 or len(set(values)) != len(values):
                raise ValueError(f"{name} must be different positive numbers, got {values}")
            object.__setattr__(self, name, tuple(sorted(values)))
        for name in ("demonstration_seeds", "episodes", "selection_episodes", "old_number", "old_episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.keep < 1:
            raise ValueError(f"keep is a share of the examples in (0, 1), got {self.keep}; name other ways without it")

    @property
    def trained(self) -> tuple[str, ...]:
        """Ways whose budget of updates is chosen."""
        return (*self.ways, SCRATCH)

    def sweep(self) -> Iterator["Cell"]:
        """What is trained to choose budgets."""
        for number in self.numbers:
            for way in self.trained:
                for steps in self.steps:
                    yield Cell(way=way, number=number, seed=0, steps=steps)

    def of(self, cell: "Cell") -> AdaptConfig:
        """How a cell is adapted."""
        whole = cell.way in (SCRATCH, KEPT)
        trainable = TrainableConfig() if whole else replace(self.adaptation.trainable, how=cell.way)  # pyright: ignore[reportArgumentType]
        return replace(
            self.adaptation,
            episodes=cell.number,
            episodes_seed=cell.seed,
            steps=cell.steps,
            trainable=trainable,
            from_scratch=cell.way == SCRATCH,
            keep=self.keep if cell.way == KEPT else 0.0,
            seed=cell.seed,
        )


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One adapted run: a way, a number of demonstrations, which draw of them, and updates."""

    way: str
    number: int
    seed: int
    steps: int

    @property
    def name(self) -> str:
        return f"{self.way}-{self.number}-draw{self.seed}-{self.steps}"
