"""The runs of a scaling study: sizes of the agent by a rule, tokens of training, seeds, each with its own schedule.

N is the number of *all* parameters, as Hoffmann et al. count. Leaving out tables of embeddings bends the law at small
sizes (Pearce & Song 2024), and here the embedders of vectors and images are networks that grow with the width. D is the
number of positions read that hold a token: observations cost as much as actions, so it is what is paid for. Targets,
which carry the loss, are a fixed share of it within one mixture, so that they would change B alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isfinite
from typing import Any

from generalist.agent.config import AgentConfig
from generalist.studies.scale.law import check_enough
from generalist.train.config import TrainConfig

SCALED = ("width", "heads", "feedforward", "vector_hidden")
"""Fields of the agent that are multiplied; the size of a head and everything else stays."""
DEFAULT_SIZES = ("0.25", "0.5", "1", "2")
DEFAULT_SHARES = (Fraction(1, 16), Fraction(1, 8), Fraction(1, 4), Fraction(1, 2))
"""Of the tokens that the config's own training reads."""
BEYOND_SIZE, BEYOND_TOKENS = Fraction(3, 2), 2
"""How much wider than the largest run the one outside the grid is, and how many times its tokens it reads."""
HELD_OUT_BATCHES = 64
"""At least so many are measured, once, at the end of a run."""
WARMUP_SHARE = 10
"""The warm-up is the config's, but at most one update in so many: a short run would end before it."""
UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What is asked for.

    Args:
        sizes: multipliers of the config's agent ("0.5"), or WIDTHxLAYERS ("96x3").
        tokens: that a run reads; none are `DEFAULT_SHARES` of what the config itself reads.
        seeds: training seeds of every point: the config's and those after it.
        rate_power: the learning rate is the config's, divided by (width / the config's width) to this power.
        beyond: size and tokens of the run outside the grid; empty takes `BEYOND_SIZE` and `BEYOND_TOKENS`.
    """

    sizes: tuple[str, ...] = DEFAULT_SIZES
    tokens: tuple[int, ...] = ()
    seeds: int = 1
    rate_power: float = 1.0
    beyond: tuple[str, ...] = ()

    def __post_init__(self):
        if self.seeds < 1:
            raise ValueError(f"--seeds must be positive, got {self.seeds}")
        if not isfinite(self.rate_power):
            raise ValueError(f"--rate-power must be a finite number, got {self.rate_power}")
        if self.beyond and len(self.beyond) != 2:
            raise ValueError(f"--beyond takes a size and tokens, as in 3 16M; got {' '.join(self.beyond)}")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One run of the study.

    Args:
        name: of its folder.
        size: as it was asked for.
        tokens: that it should read; what it read differs by a part of an update and the luck of packing.
        config: its whole training job.
    """

    name: str
    size: str
    tokens: int
    config: TrainConfig


def points_of(grid: Grid, config: TrainConfig, tokens_per_update: float) -> tuple[list[Point], Point]:
    """The runs of the grid, the cheapest first, and the one outside it.

    Raises:
        ValueError: sizes that do not divide, or too few runs for the law.
    """
    if not config.held_out:
        raise ValueError("the law is of the loss on held-out episodes, and held_out is 0; give --train.held-out 0.05")
    tokens = grid.tokens or tuple(round(share * config.steps * tokens_per_update) for share in DEFAULT_SHARES)
    _check_once("--sizes", grid.sizes, [sized(config.agent, size) for size in grid.sizes])
    _check_once("--tokens", [tokens_text(count) for count in tokens], [round(c / tokens_per_update) for c in tokens])
    texts = [tokens_text(count) for count in tokens]
    _check_once("--tokens", texts, texts)  # runs are named by them
    runs = [(size, count, seed) for count in tokens for size in grid.sizes for seed in range(grid.seeds)]
    check_enough([grid.sizes.index(size) for size, _, _ in runs], [count for _, count, _ in runs])
    made = [_point(grid, config, tokens_per_update, *run) for run in runs]
    made.sort(key=lambda point: (point.tokens, point.config.agent.width, point.config.agent.layers))
    widest = max((sized(config.agent, size) for size in grid.sizes), key=lambda agent: (agent.width, agent.layers))
    beyond = _point(grid, config, tokens_per_update, *_beyond(grid, config.agent, widest, max(tokens)), 0)
    largest = beyond.config.agent.width <= widest.width and beyond.config.agent.layers <= widest.layers
    if largest and beyond.tokens <= max(tokens):
        raise ValueError(
            f"--beyond {beyond.size} {tokens_text(beyond.tokens)} lies within the grid, of which the largest run has "
            f"{widest.width}x{widest.layers} and {tokens_text(max(tokens))}; what is foretold must be larger"
        )
    return made, beyond


def _check_once(option: str, given: Sequence[str], made: Sequence[Any]) -> None:
    """Raises ValueError where two that were given make the same."""
    same = [text for text, each in zip(given, made, strict=True) if made.count(each) > 1]
    if same:
        raise ValueError(f"{option}: {' and '.join(same)} are the same; give each once")


def _beyond(grid: Grid, base: AgentConfig, widest: AgentConfig, tokens: int) -> tuple[str, int]:
    if grid.beyond:
        return grid.beyond[0], parse_tokens(grid.beyond[1])
    heads = max(widest.heads + 1, int(widest.heads * BEYOND_SIZE))  # whole heads, whatever the factor makes of them
    width = Fraction(base.width, base.heads) * heads
    return f"{width}x{widest.layers}", BEYOND_TOKENS * tokens


def _point(grid: Grid, config: TrainConfig, tokens_per_update: float, size: str, tokens: int, seed: int) -> Point:
    agent = sized(config.agent, size)
    updates = max(1, round(tokens / tokens_per_update))
    base = config.optimizer
    optimizer = replace(
        base,
        learning_rate=base.learning_rate / (agent.width / config.agent.width) ** grid.rate_power,
        warmup_steps=min(base.warmup_steps, updates // WARMUP_SHARE),
        decay_steps=0,
    )
    job = replace(
        config,
        agent=agent,
        optimizer=optimizer,
        steps=updates,
        seed=config.seed + seed,
        evaluate_every=updates,
        held_out_batches=max(config.held_out_batches, HELD_OUT_BATCHES),
        keep=1,
        keep_best=0,
    )
    name = f"w{agent.width}l{agent.layers}-{tokens_text(tokens)}-s{job.seed}"
    return Point(name=name, size=size, tokens=tokens, config=job)


def sized(base: AgentConfig, size: str) -> AgentConfig:
    """The agent of a size: `SCALED` in proportion to the width, heads of equal size; layers as given, or the base's.

    Args:
        size: a multiplier, or WIDTHxLAYERS.

    Raises:
        ValueError: it cannot be read, or does not divide into whole heads or an even feed-forward.
    """
    width, cross, layers = size.lower().partition("x")
    try:
        factor = Fraction(width) / (base.width if cross else 1)
        count = int(layers) if cross else base.layers
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"a size is a multiplier, as 0.5, or WIDTHxLAYERS, as 96x3; got {size!r}") from None
    if factor <= 0 or count < 1:
        raise ValueError(f"size {size} must be positive")
    made = {name: getattr(base, name) * factor for name in SCALED}
    if made["heads"].denominator != 1:
        step = Fraction(1, base.heads)
        raise ValueError(
            f"size {size} makes {float(made['heads']):g} heads of this config's {base.heads}; whole heads need a "
            f"multiple of {float(step):g} (widths that are multiples of {float(base.width * step):g})"
        )
    for name, value in made.items():
        if value.denominator != 1 or (name == "feedforward" and value % 2):
            what = "an even number" if name == "feedforward" else "a whole number"
            raise ValueError(f"size {size} makes {name} {float(value):g} of {getattr(base, name)}; it must be {what}")
    return replace(base, layers=count, **{name: int(value) for name, value in made.items()})


def parse_tokens(text: str) -> int:
    """A number of tokens: 500000, 5e5, 500k, 0.5M, 2G.

    Raises:
        ValueError: it is none.
    """
    unit = UNITS.get(text[-1:].lower(), 1)
    try:
        value = Fraction(text[:-1] if unit > 1 else text) * unit
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"a number of tokens is as 500000, 500k, 0.5M or 2G; got {text!r}") from None
    if value < 1:
        raise ValueError(f"a run reads at least one token, got {text}")
    return round(value)


def tokens_text(count: float) -> str:
    """Three digits and a unit: 453k, 3.62M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= 0.9995 * size:
            return f"{float(f'{count / size:.3g}'):g}{unit}"
    return f"{count:.0f}"
