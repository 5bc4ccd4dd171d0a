"""The commands about tasks: `tasks` lists them, `reference` measures their scores again, `collect` records them."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from generalist.configs.commands.terminal import console, print_notice, table

if TYPE_CHECKING:
    from generalist.demonstrations.collect import CollectionSummary
    from generalist.envs.reference import Measurement

TaskIds = tyro.conf.UseAppendAction[tuple[str, ...]]
Sets = Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="set")]
Flag = tyro.conf.FlagCreatePairsOff[bool]
Words = tyro.conf.Positional[tuple[str, ...]]
Kind = Literal["image", "continuous", "discrete", "text"]


LONGEST_ROW = 400
"""Columns of a table of tasks that is piped: one line for each task, for `grep`."""


def with_sets(ids: tuple[str, ...], sets: tuple[str, ...]) -> tuple[str, ...]:
    """These ids and those of the named sets, each once."""
    if not sets:
        return tuple(dict.fromkeys(ids))
    from generalist.envs.sets import task_set  # here, so that help is quick

    return tuple(dict.fromkeys((*ids, *(task.id for name in sets for task in task_set(name)))))


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """List tasks: families and sets without arguments, else every task that fits all of them."""

    words: Words = ()
    """Only tasks that have all these words in their id, family, provenance or note."""
    family: TaskIds = ()
    """Only this family; give it again for more."""
    sets: Sets = ()
    """Only this named set; give it again for more."""
    observation: Kind | None = None
    """Only tasks that show this kind of observation."""
    action: Kind | None = None
    """Only tasks with this kind of action."""
    expert: Flag = False
    """Only tasks with an expert whose measured score is good: success of at least 0.9 where success is defined."""
    gato: Flag = False
    """The paper's 16 control data sets and what stands for each here, instead of tasks."""
    data: Path | None = None
    """What this folder of demonstrations holds, recorded and imported, instead of the table's tasks."""
    json: Flag = False
    """Print JSON instead of a table; without other arguments, of every task."""

    def __call__(self) -> None:
        from generalist.configs.commands import task_list

        if self.data is not None:
            _list_data(self.data, as_json=self.json)
            return
        filters = (self.words, self.family, self.sets, self.observation, self.action, self.expert)
        out = console(piped_width=LONGEST_ROW)
        if self.gato:
            rows = task_list.gato_rows()
            print(json.dumps(rows, indent=2)) if self.json else out.print(table(rows))
            return
        tasks = task_list.chosen(
            words=self.words,
            families=self.family,
            sets=self.sets,
            observation=self.observation,
            action=self.action,
            good_expert=self.expert,
        )
        if self.json:
            print(json.dumps([task_list.record(task) for task in tasks], indent=2))
        elif any(filters):
            out.print(table([task_list.row(task) for task in tasks]))
            out.print(f"\n{len(tasks)} tasks. Scores are mean returns; --json has every field.", markup=False)
        else:
            out.print(table(task_list.family_rows()))
            out.print()
            out.print(table(task_list.set_rows()))
            out.print(
                "\n`generalist tasks WORDS`, --family, --set and others list tasks. Any Gymnasium id is a task as "
                "gym:<id> or gym:<module>:<id>.",
                markup=False,
            )


def _list_data(data: Path, *, as_json: bool) -> None:
    from generalist.configs.commands import data_list

    found = data_list.records(data)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    out = console(piped_width=LONGEST_ROW)
    out.print(table(data_list.rows(found)))
    for problem in data_list.problems(found):
        print_notice(problem)
    out.print(f"\n{len(found)} data sets in {data}; `generalist train CONFIG --task ID --data {data}`", markup=False)


@dataclass(frozen=True, kw_only=True)
class MeasureReference:
    """Measure the scores of random play and of the expert again, and say whether the stored ones agree.

    The same seeds are played; a difference is judged by its 95% interval (Welch). Exit code 1 if any differs.
    """

    task: Words = ()
    """Ids of tasks."""
    sets: Sets = ()
    """All tasks of this named set; give it again for more."""
    policy: Literal["random", "expert", "both"] = "both"
    """Whose score."""
    episodes: int | None = None
    """Episodes; default: as many as the stored score has, 100 where there is none."""
    workers: int | None = None
    """Processes; default: one for each CPU core."""
    update: Flag = False
    """Store what was measured, and the spaces, in this installation's task table."""
    note: str = ""
    """With --update: why there are fewer than 100 episodes."""
    json: Flag = False
    """Print JSON instead of a table."""

    def __call__(self) -> None:
        from generalist.configs.commands import task_list
        from generalist.envs.reference import orders_for

        if not self.task and not self.sets:
            raise ValueError("name a task, or a set with --set; `generalist tasks` lists both")
        tasks = task_list.named(self.task, self.sets)
        policies = ("random", "expert") if self.policy == "both" else (self.policy,)
        orders = orders_for(tasks, policies, self.episodes)
        measured: list[Measurement] = []

        def keep(measurement: "Measurement") -> None:
            noted = replace(measurement, measured=replace(measurement.measured, note=self.note))
            measured.append(noted)
            if self.update:
                task_list.store(noted)

        workers = len(os.sched_getaffinity(0)) if self.workers is None else self.workers
        task_list.measure_with_bar(orders, workers, keep)
        if self.json:
            print(json.dumps([task_list.measurement_record(one) for one in measured], indent=2))
        else:
            console().print(table([task_list.measurement_row(one) for one in measured]))
        if not self.update and any(one.agrees is False for one in measured):
            raise SystemExit(1)


@dataclass(frozen=True, kw_only=True)
class Collect:
    """Record demonstrations as RLDS episodes. The same command again goes on where an earlier one was stopped."""

    task: TaskIds = ()
    """A task's id, or gym:<id> for any Gymnasium id, or gym:<module>:<id> where importing the module registers it, such
    as gym:ale_py:ALE/Pong-v5; give it again for more."""
    sets: Sets = ()
    """All tasks of this named set; give it again for more. Default, without --task: quickstart."""
    out: Path = Path("data")
    """Folder of the data sets, one for each task."""
    episodes: int | None = None
    """Episodes per task; default: the task's own number."""
    seed: int = 0
    """Picks the block of seeds, which is disjoint from those of evaluations."""
    noise: float | None = None
    """Noise on the executed action; the recorded one stays clean. Default: the task's own."""
    policy: str | None = None
    """Who acts instead of the expert: random; NAME.npz, which `generalist expert` trained; or module:function, where
    function(env) gives an episode's acting function."""
    workers: int | None = None
    """Processes; default: one for each CPU core."""
    ray: str = ""
    """Record on a Ray cluster: its HOST:PORT, `auto` for the one of this machine, `local` to start one here. All its
    machines must see the folder under the same path."""
    overwrite: Flag = False
    """Delete data sets that were collected with other settings."""
    json: Flag = False
    """Print JSON instead of a table."""

    def __call__(self) -> None:
        from generalist.configs.commands import task_list

        tasks = task_list.named(self.task, self.sets or (() if self.task else ("quickstart",)))
        # After the ids are known to be right, because it takes a second.
        from generalist.demonstrations.collect import CollectionError, collect

        try:
            summaries = collect(
                tasks,
                self.out,
                seed=self.seed,
                episodes=self.episodes,
                noise=self.noise,
                policy=self.policy,
                workers=self.workers,
                ray=self.ray,
                overwrite=self.overwrite,
            )
        except CollectionError as error:
            if error.complete:
                self._print(error.complete)
            raise
        self._print(summaries)

    def _print(self, summaries: "Sequence[CollectionSummary]") -> None:
        rows = [_summary_row(summary) for summary in summaries]
        total = _total(summaries)
        if self.json:
            print(json.dumps({"tasks": rows, "total": total}, indent=2))
        else:
            console().print(table(rows))
            console().print()
            console().print(table([total]))


def _summary_row(summary: "CollectionSummary") -> dict[str, Any]:
    return {
        "task": summary.task_id,
        "episodes": summary.episodes,
        "kept": summary.kept,
        "steps": summary.steps,
        "bytes": summary.bytes,
        "return": summary.mean_return,
        "std": summary.std_return,
        "success": summary.success,
        "seconds": summary.seconds,
    }


def _total(summaries: Sequence["CollectionSummary"]) -> dict[str, Any]:
    """Of a whole call; the rate is that of the whole, so only where nothing was there before."""
    seconds = max(summary.seconds for summary in summaries)
    steps = sum(summary.steps for summary in summaries)
    return {
        "tasks": len(summaries),
        "episodes": sum(summary.episodes for summary in summaries),
        "kept": sum(summary.kept for summary in summaries),
        "steps": steps,
        "bytes": sum(summary.bytes for summary in summaries),
        "steps/s": None if any(summary.kept for summary in summaries) else steps / max(seconds, 1e-9),
        "seconds": seconds,
    }
