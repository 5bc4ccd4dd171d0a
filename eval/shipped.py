"""Does an export play here as its scores say? The same seeds give the same returns, to the bit on one processor."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generalist.eval.report.record import load_report
from generalist.train.exported_files import SCORES, is_exported


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """An evaluation of an export beside the scores that came with it, over the tasks that both have.

    Args:
        tasks: how many; `outside`: ids of those whose mean score here lies outside the 95% interval there.
        episodes: with seeds that both have; `equal`: of them with the same return, to the bit.
        said, here: mean normalised score of these tasks, there and here; None where no scale is known.
    """

    tasks: int
    outside: tuple[str, ...]
    episodes: int
    equal: int
    said: float | None
    here: float | None

    def words(self) -> str:
        """For a terminal, in a line or two."""
        scores = "" if self.here is None else f"mean score {self.here:.3f} here, {self.said:.3f} in its scores; "
        luck = "" if not self.outside else f" (of other episodes, about {0.05 * self.tasks:.0f} by luck alone)"
        return (
            f"{SCORES} of this export, {self.tasks} tasks: {scores}the same return in {self.equal:,} of "
            f"{self.episodes:,} episodes of the same seeds; {len(self.outside)} tasks outside their 95% interval{luck}"
        )


def reproduction(report: Mapping[str, Any], run: Path) -> Reproduction | None:
    """How a report of an export agrees with what it brought along; None where it brought nothing, or is none.

    Raises:
        ValueError: its scores are damaged or of another schema.
    """
    if not is_exported(run) or not (run / SCORES).exists():
        return None
    said = {task["id"]: task for task in load_report(run / SCORES)["tasks"] if task["agent"]}
    both = [(said[task["id"]], task) for task in report["tasks"] if task["id"] in said and task["agent"]]
    if not both:
        return None
    outside, equal, episodes = [], 0, 0
    for there, here in both:
        low, high = there["agent"]["ci95"]
        if not low <= here["agent"]["mean"] <= high:
            outside.append(here["id"])
        returns = dict(zip(there["seeds"], there["agent"]["returns"], strict=True))
        mine = dict(zip(here["seeds"], here["agent"]["returns"], strict=True))
        shared = returns.keys() & mine.keys()
        episodes += len(shared)
        equal += sum(returns[seed] == mine[seed] for seed in shared)
    scaled = [pair for pair in both if None not in (pair[0]["normalized"], pair[1]["normalized"])]
    means = [sum(pair[side]["normalized"] for pair in scaled) / len(scaled) if scaled else None for side in (0, 1)]
    return Reproduction(
        tasks=len(both), outside=tuple(outside), episodes=episodes, equal=equal, said=means[0], here=means[1]
    )
