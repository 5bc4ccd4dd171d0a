"""A study of adaptation: what pretraining is worth for new tasks, at several numbers of demonstrations.

    OUT/runs/NAME/      adapted runs, until all is done
    OUT/parts/          what is finished
    OUT/adapt.json, adapt.html

Called again it goes on where it was stopped; a part that was made with other settings is made again.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cattrs
import numpy as np

from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.envs.checksums import file_entry
from generalist.envs.files import write_json
from generalist.envs.lock import locked
from generalist.envs.seeds import evaluation_seed, selection_seed
from generalist.envs.table import find_task
from generalist.envs.task import UnknownTask
from generalist.eval.config import EvaluationConfig, evaluation_of
from generalist.eval.report.record import plain
from generalist.eval.versions import episode_versions, versions_of
from generalist.eval.workers import Pool, local_pool, ray_pool
from generalist.studies.adapt.findings import scaled
from generalist.studies.adapt.measure import Place, Records, in_worker, play_cell, play_ends, play_plain
from generalist.studies.adapt.page import write_page
from generalist.studies.adapt.settings import KEPT, SCRATCH, Cell, Settings
from generalist.studies.adapt.summary import summarise
from generalist.studies.display import StudyDisplay
from generalist.studies.gathering import gather
from generalist.studies.kept import Kept
from generalist.studies.sides import ACTING
from generalist.train.adapted import adapted
from generalist.train.checkpoint import Which
from generalist.train.episodes import select_episodes
from generalist.train.preemption import Stopped, stopping_at_once
from generalist.train.run import Run, read_run


def adapt_study(
    run: str | os.PathLike[str],
    tasks: Sequence[str],
    settings: Settings | None = None,
    *,
    data: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str],
    step: Which = None,
    workers: int = 0,
    ray: str = "",
    keep_runs: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Adapt a run's agent in several ways and from scratch, beside plain policies; writes adapt.json and adapt.html.

    Args:
        run: the foundation.
        tasks: ids of tasks that it does not know.
        data: demonstrations of them, as many as the largest number; the foundation's folder by default.
        out: folder of the study.
        step: the foundation's checkpoint; the newest by default.
        workers: processes that train and play, each on one thread; 0 is one for each core.
        ray: address of a Ray cluster that does it instead; see `generalist.eval.workers.ray_pool`.
        keep_runs: leave the adapted runs in `out`; else they are removed when all is done.
        quiet: show no progress.

    Returns:
        The contents of adapt.json, see `generalist.studies.adapt.summary`.

    Raises:
        ValueError: no task, one that the foundation knows, too few demonstrations (with both numbers).
        FileNotFoundError: no run there, or no demonstrations of a task.
        CheckpointError: the foundation has no such checkpoint.
        PartsFailed: some parts failed; the others are kept, and the same call tries these again.
        Stopped: SIGTERM came; the same call goes on.
    """
    settings, out = settings or Settings(), Path(out)
    foundation = read_run(run)
    place = Place(
        run=foundation.directory.absolute(),
        step=_step(foundation, step),
        tasks=tuple(tasks),
        data=Path(data or foundation.data).absolute(),
        runs=(out / "runs").absolute(),
    )
    there = _check(foundation, place, settings)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with (
            locked(out, "studying adaptation"),
            stopping_at_once("stopped on SIGTERM", "the same command goes on"),
            ray_pool(ray) if ray else local_pool(workers) as pool,
        ):
            display, evaluation = StudyDisplay(quiet=quiet), evaluation_of(foundation.directory)
            study = _Study(foundation, place, settings, evaluation, pool, display, out)
            record = study.run(there)
    except Stopped as stopped:
        raise Stopped(stopped.where, "the same command goes on") from None
    write_json(out / "adapt.json", record)
    write_page(out / "adapt.html", record)
    if not keep_runs:
        shutil.rmtree(place.runs, ignore_errors=True)
    return record


def _step(foundation: Run, step: Which) -> int:
    with foundation.open_weights() as checkpoints:
        return checkpoints.chosen(step)


def _check(foundation: Run, place: Place, settings: Settings) -> dict[str, int]:
    """Of each new task, the demonstrations from which draws are made.

    Raises before anything is done where a task is known, cannot be played or has too few of them.
    """
    if not place.tasks:
        raise ValueError("no task to adapt to; name some (--task, --set)")
    if known := [task for task in place.tasks if task in foundation.layouts]:
        raise ValueError(f"{foundation.directory} was trained on {', '.join(known)}: name tasks that are new to it")
    if "embedding" in settings.ways and not foundation.config.agent.source_embedding:
        raise ValueError(f"{foundation.directory} has no task embeddings (agent.source_embedding): leave out that way")
    cell = Cell(way=settings.ways[0], number=max(settings.numbers), seed=0, steps=1)
    config = adapted(foundation, place.tasks, settings.of(cell), place.data)
    there = {}
    for source in config.sources:
        folder = dataset_folder(place.data, source.task)
        if source.task in place.tasks:
            find_task(source.task)
            demonstrations = Demonstrations.open(folder)
            select_episodes(config, source, demonstrations)
            every = replace(source, episodes=None, episodes_seed=None)
            there[source.task] = select_episodes(config, every, demonstrations).training.size
        elif KEPT in settings.ways and not folder.exists():
            raise FileNotFoundError(
                f"no demonstrations of {source.task} under {place.data}: to keep the foundation's own tasks in mind "
                f"needs theirs too; record them there (generalist collect), or name other ways than {KEPT!r} (--ways)"
            )
    return there


Job = tuple[str, Any, Callable[..., Any], tuple]
"""Name of a part, what it is made with, and the call that makes it."""


class _Study:
    """The work, part by part; what is kept of an earlier call is not done again."""

    def __init__(
        self,
        foundation: Run,
        place: Place,
        settings: Settings,
        evaluation: EvaluationConfig,
        pool: Pool,
        display: StudyDisplay,
        out: Path,
    ):
        self.foundation, self.place, self.settings = foundation, place, settings
        self.evaluation, self.pool, self.display = evaluation, pool, display
        self.kept = Kept(out / "parts")
        self.old = _playable(foundation)
        self.kinds = {task: find_task(task).score for task in (*place.tasks, *self.old)}
        self.selection = tuple(selection_seed(each) for each in range(settings.selection_episodes))
        self.seeds = tuple(evaluation_seed(each) for each in range(settings.episodes))
        self.old_seeds = tuple(evaluation_seed(each) for each in range(settings.old_episodes))
        self.made_with = {
            "foundation": {"config": file_entry(place.run / "config.json"), "step": place.step},
            "demonstrations": {task: _digest(place.data, task) for task in place.tasks},
            "adaptation": plain(cattrs.unstructure(settings.adaptation)),
            "acting": plain({each: cattrs.unstructure(getattr(evaluation, each)) for each in ACTING}),
            "versions": _versions_of(place.tasks),
        }

    def run(self, there: Mapping[str, int]) -> dict[str, Any]:
        settings = self.settings
        ends = self._each("random policy and expert", [self._ends(task) for task in self.place.tasks])
        self.ends = dict(zip(self.place.tasks, ends, strict=True))
        sweep = list(settings.sweep()) if len(settings.steps) > 1 else []
        tried = self._each("choosing updates", [self._play(cell, "selection") for cell in sweep])
        chosen, table = self._budgets(sweep, tried)
        first = {(way, number): min(settings.steps) for way in settings.trained for number in settings.numbers}
        budgets = first | chosen
        cells = [
            Cell(way=way, number=number, seed=draw, steps=budgets[way, number])
            for number in settings.numbers
            for way in settings.trained
            for draw in range(settings.demonstration_seeds)
        ]
        played = self._each("adapted and from scratch", [self._play(cell, "evaluation") for cell in cells])
        plain_cells = [
            (name, number, draw)
            for number in settings.numbers
            for name in settings.plain
            for draw in range(settings.demonstration_seeds)
        ]
        fitted = self._each("plain policies and specialists", [self._plain(*each) for each in plain_cells])
        rows = [
            _row(cell.way, cell.number, cell.seed, cell.steps, found) for cell, found in zip(cells, played, strict=True)
        ]
        rows += [_row(*each, None, found) for each, found in zip(plain_cells, fitted, strict=True)]
        lost = self._lost(budgets)
        return summarise(self._described() | {"there": dict(there)}, settings, self.kinds, self.ends, rows, table, lost)

    def _each(self, what: str, jobs: Sequence[Job]) -> list[Any]:
        """What every part gives, in order; those that are missing are made by the pool and kept as they end."""
        found = [self.kept.load(name, made_with) for name, made_with, _, _ in jobs]
        with self.display.working(what, len(jobs), sum(each is not None for each in found)) as done:
            waiting = {
                self.pool.submit(in_worker, function, *args): at
                for at, (_, _, function, args) in enumerate(jobs)
                if found[at] is None
            }

            def keep(at: int, made: Any) -> None:
                name, made_with, _, _ = jobs[at]
                found[at] = self.kept.save(name, made_with, made)

            gather(waiting, keep, lambda at: jobs[at][0], done)
        return found

    def _ends(self, task: str) -> Job:
        made_with = {"seeds": len(self.seeds), "task": task, "versions": _versions_of([task])}
        return f"ends-{task}", made_with, play_ends, (task, self.seeds)

    def _play(self, cell: Cell, block: str) -> Job:
        seeds = self.selection if block == "selection" else self.seeds
        made_with = self.made_with | self._cell(cell) | {"seeds": len(seeds)}
        arguments = (self.place, self.settings, cell, self.place.tasks, seeds, self.evaluation)
        return f"{cell.name}-{block}", made_with, play_cell, arguments

    def _cell(self, cell: Cell | None) -> dict[str, Any]:
        """What a cell is made with besides what all are: of the foundation's own data where it is mixed in, too."""
        kept = {}
        if cell and cell.way == KEPT:
            own = (source.task for source in self.foundation.config.sources)
            kept = {"share": self.settings.keep, "of": {task: _digest(self.place.data, task) for task in own}}
        return {"cell": asdict(cell) if cell else None, "keep": kept}

    def _plain(self, name: str, number: int, draw: int) -> Job:
        made_with = {name: self.made_with[name] for name in ("demonstrations", "adaptation", "versions")}
        made_with |= {"seeds": len(self.seeds)}
        arguments = (self.place, self.settings, name, number, draw, self.seeds)
        return f"{name}-{number}-draw{draw}", made_with, play_plain, arguments

    def _old(self, cell: Cell | None) -> Job:
        made_with = self.made_with | {"seeds": len(self.old_seeds), "tasks": list(self.old)}
        made_with |= self._cell(cell) | {"old_versions": _versions_of(self.old)}
        arguments = (self.place, self.settings, cell, self.old, self.old_seeds, self.evaluation)
        return f"{cell.name if cell else 'foundation'}-old", made_with, play_cell, arguments

    def _budgets(self, cells: Sequence[Cell], tried: Sequence[Records]) -> tuple[dict, list[dict[str, Any]]]:
        """The best number of updates by way and number (fewer of equals), and what every one came to."""
        table = []
        for cell, records in zip(cells, tried, strict=True):
            values = scaled(records, self.ends, self.kinds)
            table.append(asdict(cell) | {"score": float(np.mean([each.mean() for each in values.values()]))})
        best: dict[tuple[str, int], dict[str, Any]] = {}
        for row in table:
            key = row["way"], row["number"]
            if key not in best or row["score"] > best[key]["score"]:
                best[key] = row
        chosen = {key: row["steps"] for key, row in best.items()}
        return chosen, [row | {"chosen": row["steps"] == chosen[row["way"], row["number"]]} for row in table]

    def _lost(self, budgets: Mapping[tuple[str, int], int]) -> dict[str, Any]:
        """The foundation's own tasks before and after adaptation with the first draw."""
        settings = self.settings
        if not self.old:
            return {}
        number = min(settings.numbers, key=lambda each: abs(each - settings.old_number))
        cells = [Cell(way=way, number=number, seed=0, steps=budgets[way, number]) for way in settings.ways]
        jobs = [self._old(None), *(self._old(cell) for cell in cells)]
        before, *after = self._each("the foundation's own tasks", jobs)
        return {
            "number": number,
            "before": before,
            "after": [
                _row(cell.way, cell.number, 0, cell.steps, found) for cell, found in zip(cells, after, strict=True)
            ],
        }

    def _described(self) -> dict[str, Any]:
        config = self.foundation.config
        return {
            "name": self.place.run.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "foundation": {
                "run": str(self.place.run),
                "step": self.place.step,
                "tasks": list(self.foundation.layouts),
                "corpora": [each.corpus for each in config.documents],
                "width": config.agent.width,
                "layers": config.agent.layers,
            },
            "settings": plain(cattrs.unstructure(self.settings)),
            "scratch": SCRATCH,
            "versions": versions_of(map(find_task, self.place.tasks)),
        }


def _row(way: str, number: int, draw: int, steps: int | None, records: Records) -> dict[str, Any]:
    return {"way": way, "number": number, "draw": draw, "steps": steps, "tasks": records}


def _playable(foundation: Run) -> tuple[str, ...]:
    """The foundation's own tasks that an environment plays."""
    found = []
    for task in foundation.layouts:
        try:
            find_task(task)
        except UnknownTask:
            continue
        found.append(task)
    return tuple(found)


def _digest(data: Path, task: str) -> list[Any]:
    return file_entry(dataset_folder(data, task) / "index.json")


def _versions_of(tasks: Iterable[str]) -> dict[str, str]:
    """Of the packages of these tasks' environments."""
    return {name: found for task in tasks for name, found in episode_versions(find_task(task)).items()}
