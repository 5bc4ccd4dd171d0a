"""A whole evaluation: the agent, and beside it every baseline on the same seeds, task by task, then the report.

Baselines run in worker processes while the agent plays here, or both on a Ray cluster. A finished part is kept in
`RUN/evaluation/`, so that an interrupted evaluation goes on where it stopped.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cattrs

from generalist.agent.compilation import keep_compilations
from generalist.agent.config import DecodeConfig
from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.envs.task import Task
from generalist.envs.trust import trust as trust_modules
from generalist.eval.agreement import action_agreement
from generalist.eval.alone import beside, control_alone, read_report
from generalist.eval.config import EvaluationConfig, evaluation_of, seeds_of, with_changes
from generalist.eval.elsewhere import Waiting, elsewhere, start_fitted
from generalist.eval.failures import EvaluationError, Failures
from generalist.eval.language.corpora import measure_corpora
from generalist.eval.offline import offline_entry
from generalist.eval.parts import Parts, parts_folder
from generalist.eval.playable import split_tasks
from generalist.eval.progress import EvaluationDisplay
from generalist.eval.report.curves import summarize
from generalist.eval.report.page import write_page
from generalist.eval.report.record import PolicyRecord, Report, TaskRecord
from generalist.eval.report.record import write_report as write_json_report
from generalist.eval.report.shown import ShownReport
from generalist.eval.slowness import slowness
from generalist.eval.trained_on import learned, trained_on
from generalist.eval.versions import versions_of
from generalist.eval.workers import Pool, local_pool, ray_pool
from generalist.play.agent import Agent
from generalist.play.films import Film, film
from generalist.play.policy import AgentPolicy
from generalist.play.rollout import EpisodeResult, rollout
from generalist.train.checkpoint import Which
from generalist.train.metrics import read_metrics
from generalist.train.run import read_run

AGREEMENT_EPISODES = 5


def evaluate(
    run: str | os.PathLike[str],
    config: EvaluationConfig | None = None,
    *,
    tasks: str | Task | Iterable[str | Task] = (),
    data: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    step: Which = None,
    ray: str = "",
    alone: Sequence[str | os.PathLike[str]] = (),
    offline: bool = False,
    quiet: bool = False,
    trust: str | Iterable[str] = (),
    **changes: Any,
) -> dict[str, Any]:
    """Play a run's agent on its tasks beside plain baselines, and write `report.json` and `report.html`.

    Tasks that no environment plays are measured on held-out demonstrations, see `generalist.eval.offline`. Called
    again, it goes on where it was stopped, and plays nothing twice.

    Args:
        run: a run directory, or the `Run` that `fit` gives; or an export, by its place as `load` takes it.
        config: how to measure; as the run's own experiment says by default.
        tasks: one or several, by id or as they are; those of the run by default. One that was not trained on is played
            with the mean embedding of its family.
        data: demonstrations, for prompts and the fitted baselines; where the run found them by default.
        out: folder of the report; by default the run directory, of an export runs/NAME-eval.
        step: which checkpoint, see `load`; the newest by default.
        ray: address of a Ray cluster that plays all parts, "local" for one of this machine; see `ray_pool`.
        alone: evaluated runs on parts of the mixture, whose scores stand beside; see `beside`.
        offline: play nothing, measure all tasks on held-out demonstrations.
        quiet: show no progress.
        trust: modules that ids of the run's tasks may have imported, see `generalist.envs.trust`; those of `tasks` are
            trusted.
        **changes: fields of `EvaluationConfig` in place of what `config` says: episodes (of each task and policy),
            slots (environments that the agent plays at once), prompts, specialists, films, workers and others.

    Returns:
        The contents of report.json, which a notebook shows as tables. Scores are normalised: 0 is the random policy, 1
        the expert.

    Raises:
        FileNotFoundError: no run there; or prompts asked for, but no demonstrations of a task are there.
        TypeError: a field that there is not, with the nearest ones.
        UntrustedModule: a ValueError: a task of the run names a module that is not trusted.
        CheckpointError: as `load`.
        EvaluationError: some tasks could not be played: their environment raised, a worker was killed, their
            demonstrations are damaged. The report of the others is written, names them, and is the error's `report`.

    Example:
        >>> import generalist
        >>> report = generalist.evaluate("runs/smoke", episodes=4, films=False, quiet=True)
        >>> report["overall"]["tasks"]
        2
        >>> report["overall"]["mean"] <= 1
        True
        >>> task = report["tasks"][0]
        >>> task["id"], len(task["agent"]["returns"]), len(task["nearest_neighbour"]["returns"])
        ('CartPole-v1', 4, 4)
    """
    started = time.perf_counter()
    keep_compilations()
    trust_modules(trust)
    found = read_run(run)
    config = with_changes(config or evaluation_of(found.directory), changes)
    others = [read_report(each) for each in alone]
    agent = Agent.load(found, step=step, decode=config.decode)
    data, out = Path(data or agent.run.data), Path(out or found.report_folder)
    chosen, unplayed = split_tasks(agent, tasks, data, offline=offline)
    check_prompts(chosen, data, config)
    folder = parts_folder(found, out)
    timings: dict[str, float] = {}
    with (
        _display(chosen, config, offline=len(unplayed), quiet=quiet) as display,
        ray_pool(ray) if ray else local_pool(config.workers) as pool,
    ):
        begun = time.perf_counter()
        failures = Failures(display)
        ids, of = {task.id: task.id for task in chosen}, partial(learned, agent.run.config, data)
        episodes = failures.of_each("baselines", ids, of)
        parts = Parts(folder, config, agent.step, data, episodes)
        by_id = {task.id: task for task in chosen}
        slowest_first = sorted(chosen, key=lambda task: -slowness(task))
        learnable = {task.id: task for task in slowest_first if task.id in episodes}
        waiting = start_fitted(pool, tuple(learnable.values()), data, config, parts, display)
        played = _agents(pool, agent, slowest_first, data, config, parts, display) if ray else {}
        here = partial(_agent_part, agent, data=data, config=config, parts=parts, display=display)
        agents = failures.of_each("agent", by_id, lambda task: played[task.id]() if ray else here(task))
        timings["agent"] = time.perf_counter() - begun
        begun = time.perf_counter()
        films = [_film(agent, by_id[id], data, config) for id in agents if config.films]
        timings |= {"films": time.perf_counter() - begun} if config.films else {}
        measure = partial(offline_entry, agent, data=data, config=config, done=display.offline_done)
        offline_found = failures.of_each(
            "offline", {id: id for id in unplayed}, lambda id: measure(id, why=unplayed[id])
        )
        # Asked for some tasks, it is those that are wanted.
        corpora = [] if tasks else measure_corpora(agent, config, parts.folder, display)
        fitted = [failures.of_each(part, learnable, lambda task, at=at: at[task.id]()) for part, at in waiting.items()]
    finished = _merged(by_id, agents, fitted, data)
    timings["evaluation"] = time.perf_counter() - started
    made = _report(agent, config, finished, timings, beside(corpora, others))
    report = replace(made, alone=control_alone(others), offline=tuple(offline_found.values()), failed=failures.told)
    return _written(out, report, films, failures)


def _display(tasks: Sequence[Task], config: EvaluationConfig, *, offline: int, quiet: bool) -> EvaluationDisplay:
    ids = [task.id for task in tasks]
    return EvaluationDisplay(ids, specialists=len(config.specialists), offline=offline, quiet=quiet)


def _written(folder: Path, report: Report, films: Sequence[Film], failures: Failures) -> dict[str, Any]:
    """`report.json`, whose contents it gives, and `report.html`; raises EvaluationError then where a task failed."""
    folder.mkdir(parents=True, exist_ok=True)
    payload = ShownReport(write_json_report(folder / "report.json", report))
    write_page(folder / "report.html", payload, films)
    if failures.told:
        raise EvaluationError(payload) from failures.first
    return payload


def check_prompts(tasks: Iterable[Task], data: Path, config: EvaluationConfig) -> None:
    """Raises FileNotFoundError where prompts are asked for and there are no demonstrations of a task."""
    for task in tasks if config.prompts else ():
        if not dataset_folder(data, task.id).exists():
            raise FileNotFoundError(
                f"prompts need demonstrations of {task.id} under {data}; collect them or use --prompts 0"
            )


def _agents(
    pool: Pool,
    agent: Agent,
    tasks: Sequence[Task],
    data: Path,
    config: EvaluationConfig,
    parts: Parts,
    display: EvaluationDisplay,
) -> Waiting:
    """Start the agent's missing parts elsewhere, where each worker has its own copy of the agent."""
    where = (agent.run.directory.absolute(), agent.step, data.absolute(), config)
    return elsewhere(
        "agent",
        tasks,
        lambda task: pool.submit(play_there, task, *where),
        lambda task, played: played,
        parts,
        display.agent_done,
    )


def play_there(task: Task, run: Path, step: int, data: Path, config: EvaluationConfig) -> TaskRecord:
    """The agent's part of one task, in a worker: the run directory and the data must be there too."""
    return _play(_loaded(run, step), task, data, config, lambda _: None)


@lru_cache(maxsize=1)  # of a study's runs, one after the other
def _loaded(run: Path, step: int) -> Agent:
    return Agent.load(run, step=step)


def _agent_part(
    agent: Agent, task: Task, data: Path, config: EvaluationConfig, parts: Parts, display: EvaluationDisplay
) -> TaskRecord:
    """The agent's part of one task, played here."""
    known = parts.load(task, "agent")
    if known is None:
        count = config.episodes
        record = _play(agent, task, data, config, lambda _: display.agent_episode(task.id, count))
        known = parts.save(task, "agent", record)
    display.agent_done(task.id)
    return known


def _play(
    agent: Agent, task: Task, data: Path, config: EvaluationConfig, progress: Callable[[EpisodeResult], None]
) -> TaskRecord:
    """The agent's episodes on one task and how often it agrees with the expert."""
    seeds = seeds_of(config)
    policy = make_policy(agent, task, data, config)
    begun = time.perf_counter()
    results = rollout(task, policy, seeds, slots=policy.slots, progress=progress)
    seconds = time.perf_counter() - begun
    steps = sum(result.length for result in results)
    record = PolicyRecord.of(
        results, decode=asdict(decode_of(config, task)), steps_per_second=steps / seconds, wall_seconds=seconds
    )
    agreement = None
    if task.expert is not None:
        agreement = action_agreement(task, make_policy(agent, task, data, config), seeds[:AGREEMENT_EPISODES])
    return TaskRecord.of(task, seeds, {"agent": record}, agreement=agreement)


def decode_of(config: EvaluationConfig, task: Task) -> DecodeConfig:
    """How the agent chooses actions on this task."""
    return decode_of_named(config, task.id, task.family)


def decode_of_named(config: EvaluationConfig, task: str, family: str) -> DecodeConfig:
    """The same by the task's id and family, also where no environment plays it."""
    decode, names = config.decode, {task, family}
    if names & set(config.sampled):
        decode = replace(decode, discrete="sample", continuous="sample")
    if names & set(config.likeliest):
        decode = replace(decode, continuous="mode")
    return decode


def make_policy(agent: Agent, task: Task, data: Path, config: EvaluationConfig) -> AgentPolicy:
    """The agent on one task, prompted, if the configuration asks for it, by demonstrations that it was trained on."""
    prompts = []
    if config.prompts:
        demonstrations = Demonstrations.open(dataset_folder(data, task.id))
        training, _ = trained_on(agent.run.config, task.id, demonstrations)
        prompts = [demonstrations.episode(int(number)) for number in training[: config.prompts]]
    playing = agent.with_decode(decode_of(config, task))
    return playing.policy(task, slots=min(config.slots, config.episodes), prompts=prompts).policy


def _film(agent: Agent, task: Task, data: Path, config: EvaluationConfig) -> Film:
    # With all its slots, of which it plays one: another number would compile the step again.
    return film(task, make_policy(agent, task, data, config), seeds_of(config)[0])


def demonstrated_mean(task: Task, data: Path) -> float | None:
    """Mean return of a given policy's demonstrations of a task without an expert; None of random play, or of none."""
    folder = dataset_folder(data, task.id)
    if task.expert is not None or not folder.exists():
        return None
    found = Demonstrations.open(folder)
    return None if found.settings.get("policy", "random") == "random" else float(found.returns.mean())


def _merged(
    tasks: Mapping[str, Task], agents: Mapping[str, TaskRecord], others: Sequence[Mapping[str, TaskRecord]], data: Path
) -> list[TaskRecord]:
    """The records of the tasks of which every part is there, with the policies of all parts."""
    whole = [id for id in agents if all(id in found for found in others)]
    return [_merge(tasks[id], agents[id], [found[id] for found in others], data) for id in whole]


def _merge(task: Task, agent: TaskRecord, others: Sequence[TaskRecord], data: Path) -> TaskRecord:
    policies = {name: record for each in (*others, agent) for name, record in each.policies.items()}
    record = TaskRecord.of(task, agent.seeds, policies, agreement=agent.agreement)
    return replace(record, demonstrated=demonstrated_mean(task, data))


def _report(
    agent: Agent,
    config: EvaluationConfig,
    tasks: Sequence[TaskRecord],
    timings: dict[str, float],
    corpora: Sequence[dict[str, Any]],
) -> Report:
    lines = [] if agent.run.exported else read_metrics(agent.run.directory / "metrics.jsonl")
    trained = sum(line["seconds"] for line in lines)
    return Report(
        name=agent.run.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        tasks=tuple(tasks),
        configuration={
            "training": cattrs.unstructure(agent.run.config),
            "evaluation": cattrs.unstructure(config),
            "checkpoint": agent.step,
        },
        versions=versions_of(tasks),
        timings={"training": trained, **timings},
        training=summarize(lines),
        corpora=tuple(corpora),
    )
