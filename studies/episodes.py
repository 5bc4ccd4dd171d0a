"""Episodes of a comparison: those that finished evaluations have, those of earlier comparisons, and what is missing.

An episode is fixed by its seed, whatever else is played at the same time, so that a longer comparison plays only the
seeds that a shorter one did not. What is stored counts if it was played with the same checkpoint, the same way of
acting, the same prompts and the same versions of the environment's packages as here.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from generalist.envs.files import WritingError
from generalist.envs.task import Task
from generalist.eval.config import SPECIALISTS, EvaluationConfig, settings_from_json
from generalist.eval.evaluate import decode_of, make_policy, seeds_of
from generalist.eval.parts import FOLDER, demonstrations_mark, folder_of_export, stored_part
from generalist.eval.report.record import PolicyRecord, TaskRecord, load_report, task_from_json, task_to_json
from generalist.eval.versions import episode_versions
from generalist.play.agent import Agent
from generalist.play.rollout import EpisodeResult, rollout
from generalist.studies.kept import Kept
from generalist.studies.sides import Chosen

ENDS = ("random", "expert")
"""Policies whose means are 0 and 1 of normalised scores."""
EPISODES = "episodes"


class Store:
    """Stored episodes of one run, and where new ones are kept: in the run; of an export or a read-only run in `out`."""

    def __init__(self, chosen: Chosen, data: Path, out: Path):
        self.chosen, self.data = chosen, data
        run = chosen.run
        # Of an export, what was measured here, which is not in its folder: that may say anything.
        self.folder = folder_of_export(run.exported, run.report_folder) if run.exported else run.directory / FOLDER
        self.notices: list[str] = []
        self._kept = self._keeping(out)

    def _keeping(self, out: Path) -> Kept:
        run = self.chosen.run
        if run.exported is None:
            with suppress(WritingError):
                return Kept(self.folder / EPISODES)
        written = (run.directory / "config.json").read_bytes()
        whose = hashlib.sha256(str(run.directory.resolve()).encode() + written).hexdigest()[:8]
        return Kept(out / EPISODES / f"{run.name}-{whose}")

    def agent(self, task: Task) -> PolicyRecord | None:
        """The longest record of the agent's first episodes, at most as many as wanted; None if there are none."""
        kept = self._kept.load(self._name(task), self._made_with(task))
        found = [task_from_json(kept)] if kept else []
        return self._longest(task, [*found, *self._evaluated(task, "agent")], "agent")

    def save(self, task: Task, record: PolicyRecord) -> None:
        whole = TaskRecord.of(task, self._seeds()[: len(record.returns)], {"agent": record})
        self._kept.save(self._name(task), self._made_with(task), task_to_json(whole))

    def beside(self, task: Task, policy: str) -> PolicyRecord | None:
        """The same of a plain policy, such as random play, as this run's evaluation has it."""
        return self._longest(task, self._evaluated(task, policy if policy in SPECIALISTS else "baselines"), policy)

    def _evaluated(self, task: Task, part: str) -> list[TaskRecord]:
        """What the run's evaluation has: in its report, and in the part, which knows the prompts too."""
        report, found = self._report, []
        entries = [entry for entry in (report or {}).get("tasks", ()) if entry["id"] == task.id]
        if report and entries and (part != "agent" or (self._counts(task, report["configuration"]) and self._bare)):
            found.append((report.get("versions"), entries[0]))
        stored = stored_part(self.folder, task, part)
        if stored and (part != "agent" or self._part_counts(task, stored["fingerprint"])):
            found.append((stored.get("versions") or (report or {}).get("versions"), stored["task"]))
        return [task_from_json(entry) for versions, entry in found if self._same_versions(task, versions)]

    @property
    def _bare(self) -> bool:
        """No demonstrations are shown, of which a report does not say what they were."""
        return not self.chosen.config.prompts

    @cached_property
    def _report(self) -> Mapping[str, Any] | None:
        path = self.chosen.run.directory / "report.json"
        return load_report(path) if path.exists() and not self.chosen.run.exported else None

    def _counts(self, task: Task, made: Mapping[str, Any]) -> bool:
        return made.get("checkpoint") == self.chosen.step and self._acts_alike(task, made["evaluation"])

    def _part_counts(self, task: Task, made: Mapping[str, Any]) -> bool:
        mark = demonstrations_mark(self.data, task)
        shown = self._bare or _absolute(made["demonstrations"]) == _absolute(mark)
        return made["step"] == self.chosen.step and self._acts_alike(task, made["config"]) and shown

    def _acts_alike(self, task: Task, settings: Mapping[str, Any]) -> bool:
        theirs, ours = settings_from_json(settings), self.chosen.config
        return decode_of(theirs, task) == decode_of(ours, task) and theirs.prompts == ours.prompts

    def _same_versions(self, task: Task, versions: Mapping[str, str] | None) -> bool:
        """Whether the environment's packages were those of today; a package that was not noted is not asked for."""
        here = episode_versions(task)
        if versions is None:
            return False
        if other := [
            f"{name} {versions[name]} (here {now})" for name, now in here.items() if versions.get(name, now) != now
        ]:
            said = f"{self.chosen.name} was evaluated with {', '.join(other)}: it is played again"
            self.notices += [said] if said not in self.notices else []
        return not other

    def _longest(self, task: Task, records: Sequence[TaskRecord], policy: str) -> PolicyRecord | None:
        seeds, found = self._seeds(), []
        for each in records:
            count = min(len(each.seeds), len(seeds))
            same = (each.score, each.horizon, list(each.seeds[:count])) == (task.score, task.horizon, seeds[:count])
            if same and policy in each.policies:
                found.append(first_episodes(each.policies[policy], count))
        return max(found, key=lambda record: len(record.returns), default=None)

    def _seeds(self) -> list[int]:
        return seeds_of(self.chosen.config)

    def _name(self, task: Task) -> str:
        return f"{task.id.replace(':', '-')}@{self.chosen.step}"

    def _made_with(self, task: Task) -> dict[str, Any]:
        config = self.chosen.config
        return {
            "step": self.chosen.step,
            "decode": asdict(decode_of(config, task)),
            "prompts": config.prompts,
            "demonstrations": None if self._bare else _absolute(demonstrations_mark(self.data, task)),
            "first_seed": self._seeds()[0],
            "versions": episode_versions(task),
        }


def _absolute(mark: Sequence[Any] | None) -> list[Any] | None:
    return None if mark is None else [str(Path(mark[0]).absolute()), mark[1]]


def first_episodes(record: PolicyRecord, count: int) -> PolicyRecord:
    """The record of the first `count` episodes alone; it keeps no details of its own."""
    share = min(1.0, count / len(record.returns))
    return PolicyRecord(
        returns=record.returns[:count],
        successes=None if record.successes is None else record.successes[:count],
        lengths=record.lengths[:count],
        seconds=record.seconds * share,
    )


def joined(known: PolicyRecord | None, played: PolicyRecord) -> PolicyRecord:
    """The record of the episodes that were known and of those played after them."""
    if known is None:
        return played
    successes = None
    if known.successes is not None and played.successes is not None:
        successes = known.successes + played.successes
    return replace(
        known,
        returns=known.returns + played.returns,
        successes=successes,
        lengths=known.lengths + played.lengths,
        seconds=known.seconds + played.seconds,
    )


def play(
    agent: Agent,
    task: Task,
    data: Path,
    config: EvaluationConfig,
    seeds: Sequence[int],
    progress: Callable[[EpisodeResult], None] | None = None,
) -> PolicyRecord:
    """The agent's episodes of these seeds."""
    policy = make_policy(agent, task, data, config)
    return PolicyRecord.of(rollout(task, policy, seeds, slots=policy.slots, progress=progress))


def play_there(
    task: Task, run: Path, step: int, data: Path, config: EvaluationConfig, seeds: Sequence[int]
) -> PolicyRecord:
    """The same in a worker on another machine, which must see the run and the demonstrations under the same paths."""
    return play(_loaded(run, step), task, data, config, seeds)


@cache
def _loaded(run: Path, step: int) -> Agent:
    return Agent.load(run, step=step)
