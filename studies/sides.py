"""What is compared: the sides of a comparison, each one run at one checkpoint, or several runs of other training seeds.

A side is written RUN, RUN@UPDATE or RUN@best, or as the place of an export (see `generalist.train.places`), and runs
that differ in their training seed alone RUN,RUN,RUN. RUN:POLICY is a plain policy that the run's evaluation measured.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cattrs

from generalist.envs.names import nearest
from generalist.eval.config import EvaluationConfig, evaluation_of
from generalist.eval.report.record import POLICIES
from generalist.train.places import directory_of, named
from generalist.train.run import Run, read_run

Given = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One side, as the user names it; a sequence is several runs."""

AGENT = "agent"
PLAIN = tuple(name for name in POLICIES if name != AGENT)
Identity = tuple[Path, int, str, str]
ACTING = ("decode", "sampled", "likeliest", "prompts")
"""Settings of an evaluation by which an agent acts; the others say how it is measured."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A run at one checkpoint: `name` as it was given, `config` how it is played (its own, but for the episodes).

    `policy` is "agent", or one of `PLAIN` that was measured beside it.
    """

    name: str
    run: Run
    step: int
    config: EvaluationConfig
    policy: str = AGENT

    @property
    def identity(self) -> Identity:
        """Equal for the same weights that act the same way."""
        acting = {each: getattr(self.config, each) for each in ACTING}
        return self.run.directory.resolve(), self.step, repr(acting), self.policy


@dataclass(frozen=True, kw_only=True)
class Side:
    """What stands on one side: one run, or several that differ in their training seed alone."""

    chosen: tuple[Chosen, ...]

    @property
    def name(self) -> str:
        return ",".join(each.name for each in self.chosen)

    def knows(self, task: str) -> bool:
        return all(task in each.run.layouts for each in self.chosen)

    def same_as(self, other: "Side") -> bool:
        return {each.identity for each in self.chosen} == {each.identity for each in other.chosen}


def sides_of(given: Sequence[Given], episodes: int | None = None) -> tuple[Side, ...]:
    """The sides, in the order given.

    Args:
        episodes: of each task; those of the first run's own settings by default.

    Raises:
        ValueError: fewer than two sides; runs of one side that are no training seeds of one configuration; a run that
            stands on both sides among others.
        FileNotFoundError: no run there, with the nearest that is.
        CheckpointError: it has no checkpoint.
    """
    if len(given) < 2:
        raise ValueError(f"a comparison needs at least two runs, got {len(given)}; RUN@UPDATE is an earlier checkpoint")
    sides = [tuple(_chosen(name) for name in _names(each)) for each in given]
    first = sides[0][0].config
    shared = {"episodes": first.episodes if episodes is None else episodes, "seeds": first.seeds}
    shared["selection_episodes"] = first.selection_episodes
    if shared["episodes"] < 2:
        raise ValueError(f"a comparison needs at least 2 episodes of a task, got {shared['episodes']}; use --episodes")
    made = tuple(
        Side(chosen=tuple(replace(each, config=replace(each.config, **shared)) for each in side)) for side in sides
    )
    for side in made:
        _check_pooled(side)
        _check_apart(made[0], side)
    return made


def _names(given: Given) -> list[str]:
    """Of the runs of a side; a folder that is there is meant, whatever its name has in it."""
    if not isinstance(given, str | os.PathLike):
        several = [os.fspath(each) for each in given]
    elif Path(given).is_dir() or Path(os.fspath(given).rpartition("@")[0] or "?").is_dir():
        several = [os.fspath(given)]
    else:
        several = [each.strip() for each in os.fspath(given).split(",")]
    if not several or "" in several:
        raise ValueError(f"a side is RUN, RUN@UPDATE or RUN,RUN,... of several training seeds; got {given!r}")
    return several


def _chosen(given: str) -> Chosen:
    name, policy = _policy(given)
    folder, at, update = name.rpartition("@")
    if not at or named(name)[0] or Path(name).is_dir():  # of a place on the Hub, after @ stands a revision
        folder, update = name, ""
    path = directory_of(folder)
    if not (path / "config.json").exists():
        raise FileNotFoundError(_no_run(path))
    run = read_run(path)
    return Chosen(name=given, run=run, step=_step(run, update), config=evaluation_of(path), policy=policy)


def _policy(given: str) -> tuple[str, str]:
    """What was given without the policy at its end, and the policy; raises ValueError for one that there is not."""
    name, colon, policy = given.rpartition(":")
    if not colon or named(given)[0] or Path(given).is_dir():
        return given, AGENT
    if policy not in PLAIN:
        raise ValueError(f"{given}: after : stands a policy measured beside the agent; {nearest(policy, PLAIN)}")
    return name, policy


def _no_run(path: Path) -> str:
    said = f"{path} is not a run directory: it has no config.json"
    try:
        beside = [str(each.parent) for each in path.parent.glob("*/config.json")]
    except OSError:
        beside = []
    return f"{said}; {nearest(str(path), beside)}" if beside else f"{said}; train one with generalist train"


def _step(run: Run, update: str) -> int:
    if update.isdecimal():
        return int(update)
    if update not in ("", "best"):
        raise ValueError(f"{run.directory}@{update}: after @ stands the number of an update, or best")
    with run.open_weights() as checkpoints:
        return checkpoints.chosen("best" if update else None)


def _check_pooled(side: Side) -> None:
    """Runs of a side must be draws of one thing: training with another seed."""
    first, *others = side.chosen
    for other in others:
        pair = f"{first.name} and {other.name} cannot stand together"
        if differing := _differences(_training(first.run), _training(other.run)):
            raise ValueError(f"{pair}: they differ in more than the seed: {'; '.join(differing)}")
        if differing := _foundations(first.run, other.run):
            raise ValueError(f"{pair}: they began from other foundations: {'; '.join(differing)}")
        if first.policy != other.policy:
            raise ValueError(f"{pair}: one is {first.policy}, the other {other.policy}")
        if first.step != other.step:
            raise ValueError(f"{pair}: one is at update {first.step}, the other at {other.step}")
        if differing := acting_differences(first, other):
            raise ValueError(f"{pair}: they are evaluated with other settings: {'; '.join(differing)}")
    seeds = [each.run.config.seed for each in side.chosen]
    if len(set(seeds)) < len(seeds):
        raise ValueError(
            f"{side.name}: runs that stand together need training seeds of their own, got {', '.join(map(str, seeds))}"
        )


def _check_apart(first: Side, other: Side) -> None:
    """Two sides' luck of training is independent only where they share no run; one agent beside itself is seen."""
    shared = {each.identity for each in first.chosen} & {each.identity for each in other.chosen}
    if shared and not first.same_as(other):
        names = ", ".join(each.name for each in other.chosen if each.identity in shared)
        raise ValueError(f"{names} stands on both sides ({first.name} and {other.name}); leave it out of one")


def _training(run: Run) -> dict[str, Any]:
    """What must be equal: all but the seed, and the mesh, on which results depend by rounding alone."""
    config = cattrs.unstructure(run.config)
    return {name: value for name, value in config.items() if name not in ("seed", "mesh")}


def _foundations(one: Run, other: Run) -> list[str]:
    """How the runs that two began from differ in more than a training seed of their own."""
    first, second = (dict(run.foundation or {}) for run in (one, other))
    if first.get("run") != second.get("run"):
        where = [first.pop("run", None), second.pop("run", None)]
        if not all(path and (Path(path) / "config.json").exists() for path in where):
            return [f"run: {where[0]} and {where[1]}"]
        own, theirs = (_training(read_run(Path(path))) for path in where)
        if differing := _differences(own, theirs):
            return differing
    return _differences(first, second)


def acting_differences(one: Chosen, other: Chosen) -> list[str]:
    """How the settings by which two agents act differ, in words."""
    ours, theirs = ({name: cattrs.unstructure(getattr(each.config, name)) for name in ACTING} for each in (one, other))
    return _differences(ours, theirs)


def _differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two values of plain JSON differ: "agent.width: 64 and 32"."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = dict.fromkeys((*one, *other))
        return [said for key in keys for said in _differences(one.get(key), other.get(key), f"{path}.{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [said for index, pair in pairs for said in _differences(pair[0], pair[1], f"{path}.{index}")]
    return [] if one == other else [f"{path.lstrip('.')}: {_short(one)} and {_short(other)}"]


def _short(value: Any) -> str:
    said = str(value)
    return said if len(said) <= 60 else f"{said[:57]}..."
