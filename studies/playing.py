"""Plays what a comparison is missing: agents here, random play and experts in worker processes, or all on a cluster."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from generalist.envs.task import Task
from generalist.eval.baselines.measure import measure_ends
from generalist.eval.config import SPECIALISTS, seeds_of
from generalist.eval.evaluate import check_prompts
from generalist.eval.failures import Failures
from generalist.eval.playable import split_tasks
from generalist.eval.report.record import PolicyRecord, TaskRecord, task_from_json, task_to_json
from generalist.eval.versions import episode_versions
from generalist.eval.workers import Pool, local_pool, ray_pool
from generalist.play.agent import Agent
from generalist.studies.episodes import ENDS, EPISODES, Store, first_episodes, joined, play, play_there
from generalist.studies.kept import Kept
from generalist.studies.sides import AGENT, Chosen, Identity
from generalist.tokenizers.printable import SafeConsole
from generalist.train.display import progress_bars

Ends = dict[str, PolicyRecord]


@dataclass
class Played:
    """Everything that was played and found.

    Args:
        agents: by agent and task id.
        ends: random play, and the expert where the task has one, by task id.
        unplayed: tasks that no agent of these can play, with why.
        failed: task, part and error of what was begun and could not be played.
        episodes: how many were played now, of agents.
        notices: what a reader of the comparison should know of the stored episodes.
    """

    agents: dict[Identity, dict[str, PolicyRecord]] = field(default_factory=dict)
    ends: dict[str, Ends] = field(default_factory=dict)
    unplayed: dict[str, str] = field(default_factory=dict)
    failed: tuple[dict[str, str], ...] = ()
    error: BaseException | None = None
    episodes: int = 0
    notices: list[str] = field(default_factory=list)


class Display:
    """What is shown meanwhile: a bar over the agents' episodes; without a terminal, a line for each finished part."""

    def __init__(self, *, quiet: bool):
        self.quiet, self.console = quiet, SafeConsole(stderr=True)
        self.progress = progress_bars(self.console, visible=not quiet and self.console.is_terminal)
        self.bar = self.progress.add_task("episodes", total=0, text="", visible=False)

    def __enter__(self) -> "Display":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def begin(self, episodes: int) -> None:
        self.progress.update(self.bar, total=episodes, visible=True, text="loading")
        self._say(f"playing {episodes} episodes; the first step of each kind compiles")

    def episode(self, text: str, count: int = 1) -> None:
        self.progress.update(self.bar, advance=count, text=text)

    def done(self, text: str) -> None:
        self.progress.update(self.bar, text=text)
        self._say(text)

    def failed(self, task: str, part: str, error: str) -> None:
        if not self.quiet:
            self.console.print(f"failed ({part}): {task}: {error}", markup=False, soft_wrap=True)

    def _say(self, text: str) -> None:
        if not self.quiet and not self.console.is_terminal:
            self.console.print(text, markup=False, soft_wrap=True)


def gather(
    wanted: Sequence[tuple[Chosen, Sequence[Task]]], *, data: Path | None, out: Path, ray: str = "", quiet: bool = False
) -> Played:
    """The episodes of each agent on each of its tasks, and the two ends of their scores; plays what is not stored.

    Args:
        wanted: agents and what each is to play, at least one; the same agent may stand there twice.
        data: demonstrations; where each run found them by default.
        out: folder of the comparison.

    Raises:
        FileNotFoundError: an agent is to play with prompts, and there are no demonstrations.
        CheckpointError: the checkpoint of one that is to play is not there.
    """
    played = Played()
    folders = {each.identity: Path(data or each.run.data) for each, _ in wanted}
    stores = {each.identity: Store(each, folders[each.identity], out) for each, _ in wanted}
    missing: dict[Identity, tuple[Chosen, dict[str, Task]]] = {}
    tasks: dict[str, Task] = {}
    for chosen, theirs in wanted:
        store = stores[chosen.identity]
        found = played.agents.setdefault(chosen.identity, {})
        for task in theirs:
            tasks[task.id] = task
            if chosen.policy != AGENT:
                found[task.id] = _beside(store, task)
                continue
            if (known := store.agent(task)) is not None:
                found[task.id] = known
            if known is None or len(known.returns) < chosen.config.episodes:
                missing.setdefault(chosen.identity, (chosen, {}))[1][task.id] = task
    agents = _load(missing, folders, played)
    ends = _Ends(out, [*stores.values()], seeds_of(wanted[0][0].config))
    for task in tasks.values():
        if said := ends.disagreement(task):
            played.unplayed[task.id] = said
    unknown = [task for task in tasks.values() if task.id not in played.unplayed and not ends.find(task)]
    with Display(quiet=quiet) as display:
        failures = Failures(display)
        if agents or unknown:
            with ray_pool(ray) if ray else local_pool(wanted[0][0].config.workers) as pool:
                waiting = {task.id: ends.submit(pool, task) for task in unknown}
                _play_all(missing, agents, stores, folders, played, failures, display, pool if ray else None)
                failures.of_each("random play and expert", {id: id for id in waiting}, lambda id: waiting[id]())
    played.ends = {id: ends.found[id] for id in tasks if id in ends.found}
    played.failed, played.error = failures.told, failures.first
    played.notices = [notice for store in stores.values() for notice in store.notices]
    return played


def _beside(store: Store, task: Task) -> PolicyRecord:
    """The plain policy of a side; raises ValueError where its run's evaluation has too few episodes of it."""
    chosen, wanted = store.chosen, store.chosen.config.episodes
    known = store.beside(task, chosen.policy)
    if known is None or len(known.returns) < wanted:
        there = f"{len(known.returns) if known else 0} of {wanted} episodes of {task.id}"
        special = f" --specialists {chosen.policy}" if chosen.policy in SPECIALISTS else ""
        raise ValueError(
            f"{chosen.name}: the run's evaluation has {there} by this policy; measure it with "
            f"`generalist eval {chosen.run.directory} --episodes {wanted}{special}`"
        )
    return known


def _load(
    missing: Mapping[Identity, tuple[Chosen, dict[str, Task]]], folders: Mapping[Identity, Path], played: Played
) -> dict[Identity, Agent]:
    """The agents that have to play; of their tasks, those that they cannot play are noted."""
    agents = {}
    for identity, (chosen, tasks) in missing.items():
        check_prompts(tasks.values(), folders[identity], chosen.config)
        agent = Agent.load(chosen.run, step=chosen.step)
        _, unplayed = split_tasks(agent, [*tasks.values()], folders[identity])
        played.unplayed |= unplayed
        agents[identity] = agent
    return agents


def _play_all(
    missing: Mapping[Identity, tuple[Chosen, dict[str, Task]]],
    agents: Mapping[Identity, Agent],
    stores: Mapping[Identity, Store],
    folders: Mapping[Identity, Path],
    played: Played,
    failures: Failures,
    display: Display,
    pool: Pool | None,
) -> None:
    """The agents' missing episodes, each task's saved as it ends; in `pool` or, without one, here."""
    orders: dict[Identity, dict[str, Callable[[], PolicyRecord]]] = {}
    total = 0
    for identity, (chosen, tasks) in missing.items():
        for id, task in tasks.items():
            if id in played.unplayed:
                continue
            known = played.agents[identity].get(id)
            left = seeds_of(chosen.config)[len(known.returns) if known else 0 :]
            total += len(left)
            order = (task, folders[identity].absolute(), chosen.config, left)
            label = f"{chosen.name}: {id}"
            if pool is None:
                one_more = partial(_one_more, display, label)
                make = partial(play, agents[identity], *order, one_more)
            else:
                where = (task, chosen.run.directory.absolute(), chosen.step, *order[1:])
                future = pool.submit(play_there, *where)
                make = partial(_awaited, future, display, label, len(left))
            orders.setdefault(identity, {})[id] = make
    if total:
        display.begin(total)
    played.episodes = total
    for identity, makes in orders.items():
        chosen, tasks = missing[identity]

        def finish(id: str, identity: Identity = identity, makes: Mapping = makes, tasks: Mapping = tasks) -> None:
            record = joined(played.agents[identity].get(id), makes[id]())
            stores[identity].save(tasks[id], record)
            played.agents[identity][id] = record

        for id in makes:
            failures.of_each(chosen.name, {id: id}, finish)
            display.done(f"{chosen.name}: {id}")


def _one_more(display: Display, label: str, _: object) -> None:
    display.episode(label)


def _awaited(future: Future, display: Display, label: str, count: int) -> PolicyRecord:
    record = future.result()
    display.episode(label, count)
    return record


class _Ends:
    """Random play and experts on the wanted seeds: from the runs' evaluations, from earlier comparisons, or played."""

    def __init__(self, out: Path, stores: Sequence[Store], seeds: Sequence[int]):
        self.kept, self.stores, self.seeds = Kept(out / EPISODES), stores, list(seeds)
        self.found: dict[str, Ends] = {}

    def find(self, task: Task) -> bool:
        """Whether all of them are known; what is known stands in `found`."""
        kept = self.kept.load(*self._key(task))
        sources = [task_from_json(kept).policies] if kept else []
        names = ENDS if task.expert is not None else ENDS[:1]
        found: Ends = {}
        for name in names:
            records = [source[name] for source in sources if name in source]
            records += [end for store in self.stores if (end := store.beside(task, name)) is not None]
            if records:
                longest = max(records, key=lambda record: len(record.returns))
                found[name] = first_episodes(longest, min(len(longest.returns), len(self.seeds)))
        shortest = min((len(found[name].returns) if name in found else 0) for name in names)
        # Both are played on together, so both go on where the shorter one ends.
        if shortest:
            self.found[task.id] = {name: first_episodes(record, shortest) for name, record in found.items()}
        return shortest == len(self.seeds)

    def disagreement(self, task: Task) -> str:
        """Why the runs' evaluations were not of the same episodes: random play, which the seed alone decides, came out
        otherwise in more than a tenth of them. Versions do not tell of a module of one's own. "" where all agrees.
        """
        known = [(store, end) for store in self.stores if (end := store.beside(task, "random")) is not None]
        for other, theirs in known[1:]:
            first, ours = known[0]
            count = min(len(ours.returns), len(theirs.returns))
            one, two = (np.array(end.returns[:count]) for end in (ours, theirs))
            alike = np.isclose(one, two, rtol=0.01, atol=0.01 * float(one.std()) + 1e-9)
            if np.mean(alike) < 0.9:
                return (
                    f"random play of the same seeds came out otherwise in the evaluations of {first.chosen.name} and "
                    f"{other.chosen.name}: their environments differ; evaluate them again"
                )
        return ""

    def submit(self, pool: Pool, task: Task) -> Callable[[], None]:
        known = self.found.pop(task.id, {})
        left = self.seeds[len(known["random"].returns) if known else 0 :]
        future = pool.submit(measure_ends, task, left)

        def wait() -> None:
            played = future.result()
            ends = {name: joined(known.get(name), record) for name, record in played.items()}
            self.found[task.id] = ends
            self.kept.save(*self._key(task), task_to_json(TaskRecord.of(task, self.seeds, ends)))

        return wait

    def _key(self, task: Task) -> tuple[str, dict]:
        return f"{task.id.replace(':', '-')}.ends", {"first_seed": self.seeds[0], "versions": episode_versions(task)}
