"""One cell of the study: an agent is adapted and played, or a plain policy is fitted and played.

Whatever runs in a worker imports what it needs there: JAX reads how many threads it may use when it is first imported.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cattrs

from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.envs.checksums import file_entry
from generalist.envs.table import find_tasks
from generalist.envs.task import Task
from generalist.eval.baselines.fit import fit_baseline
from generalist.eval.baselines.measure import SLOTS, keep_jax_small, measure_ends
from generalist.eval.config import EvaluationConfig
from generalist.eval.report.record import PolicyRecord, plain
from generalist.play.rollout import rollout
from generalist.studies.adapt.settings import Cell, Settings

if TYPE_CHECKING:
    from generalist.train.adaptation import AdaptConfig

Records = dict[str, Any]
"""By task id, what `recorded` gives of a policy's episodes on it."""


@dataclass(frozen=True)
class Place:
    """Where a study takes things from, and where its runs are.

    Args:
        run: the foundation's directory.
        step: its checkpoint.
        tasks: ids of the new tasks.
        data: folder of the demonstrations.
        runs: folder of the adapted runs.
    """

    run: Path
    step: int
    tasks: tuple[str, ...]
    data: Path
    runs: Path


def in_worker(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function of this module in a worker process: on one thread of the CPU."""
    keep_jax_small()
    return function(*args)


def recorded(record: PolicyRecord) -> dict[str, Any]:
    """Returns, and successes where the task tells them, of every episode; and what else is to be said."""
    return plain({"returns": record.returns, "successes": record.successes, **record.details})


def adapted_run(place: Place, settings: Settings, cell: Cell) -> Path:
    """The directory of the cell's run, which is trained, or gone on with, where that is not done."""
    from generalist.train.adapt import adapt
    from generalist.train.config import MeshConfig
    from generalist.train.run import read_run

    how = replace(settings.of(cell), mesh=MeshConfig())
    directory = place.runs / f"{cell.name}-{_made_of(place, how)}"
    if (directory / "config.json").exists():
        with read_run(directory).open_checkpoints() as checkpoints:
            if checkpoints.latest == cell.steps:
                return directory
    where = {"data": place.data, "out": directory, "step": place.step}
    return adapt(place.run, place.tasks, how, **where, resume=True, quiet=True, workers=0).directory


def _made_of(place: Place, how: "AdaptConfig") -> str:
    """A digest of what a run is made of: one that is there from other settings is not taken for it."""
    files = [place.run / "config.json", *(dataset_folder(place.data, task) / "index.json" for task in place.tasks)]
    said = [place.step, plain(cattrs.unstructure(how)), place.tasks, [file_entry(each) for each in files]]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]


def play_cell(
    place: Place,
    settings: Settings,
    cell: Cell | None,
    tasks: Sequence[str],
    seeds: Sequence[int],
    evaluation: EvaluationConfig,
) -> Records:
    """The adapted agent's episodes on some tasks, on these seeds; those of the foundation itself without a cell."""
    from generalist.eval.evaluate import make_policy
    from generalist.play.agent import Agent

    run = place.run if cell is None else adapted_run(place, settings, cell)
    agent = Agent.load(run, step=place.step if cell is None else None, decode=evaluation.decode)
    evaluation = replace(evaluation, episodes=len(seeds))
    found = {}
    for task in find_tasks(tasks):
        policy = make_policy(agent, task, place.data, evaluation)
        found[task.id] = recorded(PolicyRecord.of(rollout(task, policy, seeds, slots=policy.slots)))
    return found


def play_plain(place: Place, settings: Settings, name: str, number: int, draw: int, seeds: Sequence[int]) -> Records:
    """A policy for each task, fitted on the demonstrations that the agents of this number and draw are given."""
    from generalist.train.adapted import adapted
    from generalist.train.episodes import select_episodes
    from generalist.train.run import read_run

    cell = Cell(way=settings.ways[0], number=number, seed=draw, steps=1)
    config = adapted(read_run(place.run), place.tasks, settings.of(cell), place.data)
    sources = {source.task: source for source in config.sources}
    found = {}
    for task in find_tasks(place.tasks):
        demonstrations = Demonstrations.open(dataset_folder(place.data, task.id))
        episodes = select_episodes(config, sources[task.id], demonstrations).training
        fitted = fit_baseline(name, demonstrations, episodes, seed=draw)
        found[task.id] = recorded(PolicyRecord.of(rollout(task, fitted.policy, seeds, slots=SLOTS), **fitted.details))
    return found


def play_ends(task: str | Task, seeds: Sequence[int]) -> Records:
    """Of one task, the random policy and, where there is one, the expert: 0 and 1 of normalised scores."""
    [task] = find_tasks(task)
    return {name: recorded(record) for name, record in measure_ends(task, seeds).items()}
