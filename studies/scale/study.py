"""A scaling study: a grid of runs trained and played, the law fitted to them, and one run beyond it foretold.

    OUT/study.json      what it is a study of; another configuration is refused
    OUT/runs/NAME/      run directories
    OUT/parts/          what is finished, and the prediction
    OUT/scale.json, scale.html

Called again with the same settings it goes on where it was stopped; sizes, tokens and seeds may be added.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cattrs

from generalist.agent.compilation import keep_compilations
from generalist.agent.sharding import split_cpu
from generalist.demonstrations.data_folder import is_recorded
from generalist.demonstrations.storage import dataset_folder
from generalist.envs.checksums import file_entry
from generalist.envs.files import read_json, write_json
from generalist.envs.lock import locked
from generalist.envs.table import task_in_file
from generalist.envs.task import Task, UnknownTask
from generalist.eval.config import EvaluationConfig
from generalist.eval.report.record import TaskRecord, plain
from generalist.eval.versions import versions_of
from generalist.eval.workers import Pool, local_pool, ray_pool
from generalist.studies.display import StudyDisplay
from generalist.studies.kept import Kept
from generalist.studies.scale.cost import ASSUMED_UTILISATION, Pace, Plan, make_plan
from generalist.studies.scale.findings import RESAMPLES, Findings
from generalist.studies.scale.grid import Grid, Point
from generalist.studies.scale.measure import baselines, passes, played, score, trained
from generalist.studies.scale.page import write_page
from generalist.train.config import TrainConfig
from generalist.train.flops import measured_peak
from generalist.train.preemption import Stopped, stopping_at_once

SCHEMA = 1
EPISODES = 20
"""Of each task and run. Scores are means over tasks, so that few episodes of each say enough."""


def scale(
    config: TrainConfig,
    evaluation: EvaluationConfig,
    *,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    grid: Grid | None = None,
    episodes: int = EPISODES,
    grid_only: bool = False,
    ray: str = "",
    quiet: bool = False,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Train and play every run of a grid, fit the law, foretell and train one run beyond; writes scale.json and .html.

    Args:
        config: the training job whose agent, batch and mixture the runs share.
        evaluation: how runs are played; its `episodes` and `films` do not count.
        data: demonstrations.
        out: folder of the study.
        grid: sizes, tokens and seeds; see `Grid`.
        episodes: of each task and run, on the evaluation seeds.
        grid_only: leave out the run beyond the grid.
        ray: address of a Ray cluster that plays; training stays here.
        quiet: show no progress.
        resamples: of the bootstrap over runs.

    Returns:
        The contents of scale.json.

    Raises:
        FileNotFoundError: no demonstrations of a task, with the command that collects them.
        ValueError: a grid that cannot be fitted, or another study in `out`.
        PartsFailed: a task could not be played; the same call tries it again.
        Stopped: SIGTERM came; the same call goes on.
    """
    out, data, grid = Path(out), Path(data), grid or Grid()
    evaluation = replace(evaluation, episodes=episodes, slots=min(evaluation.slots, episodes), films=False)
    keep_compilations()
    split_cpu(config.mesh.cpu_devices)
    plan = make_plan(config, grid, data, grid_only=grid_only)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with (
            locked(out, "studying scale"),
            stopping_at_once("stopped on SIGTERM", "the same command goes on"),
            ray_pool(ray) if ray else local_pool(evaluation.workers) as pool,
        ):
            check_same(out / "study.json", config, evaluation, grid, data)
            study = _Study(plan, evaluation, data, out, pool, StudyDisplay(quiet=quiet))
            record = study.run(resamples)
    except Stopped as stopped:
        raise Stopped(stopped.where, "the same command goes on") from None
    record = _described(out, config, evaluation, grid, plan, study.tasks) | record
    write_json(out / "scale.json", record)
    write_page(out / "scale.html", record)
    return record


class _Study:
    """The work, run by run; what is kept of an earlier call is not done again."""

    def __init__(
        self, plan: Plan, evaluation: EvaluationConfig, data: Path, out: Path, pool: Pool, display: StudyDisplay
    ):
        self.plan, self.evaluation, self.data, self.out = plan, evaluation, data, out
        self.pool, self.display = pool, display
        self.kept = Kept(out / "parts")
        self.pace = Pace(plan, measured_peak(plan.points[0].config.agent.dtype))
        self.tasks, self.unplayed = _playable(plan, data)
        self.beside: dict[str, TaskRecord] = {}

    def run(self, resamples: int) -> dict[str, Any]:
        points = self.plan.points
        self.display.say(self._cost())
        with self.display.working("baselines, tasks", len(self.tasks)) as done:
            job, folder = points[0].config, self.out / "baselines"
            self.beside = baselines(self.pool, self.tasks, job, self.data, self.evaluation, folder, done)
        runs = [self._measure(index, point) for index, point in enumerate(points)]
        self.display.say(f"fitting the law to {len(runs)} runs and to {resamples} draws of them")
        with self.display.working("fits", resamples) as done:
            findings = Findings(runs, resamples=resamples, done=done)
        record = {"runs": [self._with_fit(findings, run) for run in runs], **findings.to_json(), "beyond": None}
        if self.plan.beyond:
            record["beyond"] = self._beyond(findings, runs, self.plan.beyond)
        record["unplayed"] = self.unplayed
        return record

    def _cost(self) -> str:
        several, peak = self.plan.all, self.pace.peak / 1e9
        return (
            f"{len(several)} runs, {self.plan.total_flops:.2e} model FLOPs of training: about "
            f"{minutes(self.pace.left(several))} at {ASSUMED_UTILISATION:.0%} of this machine's peak of {peak:,.0f} "
            "GFLOP/s, besides compiling and playing; better estimates follow as runs end"
        )

    def _measure(self, index: int, point: Point) -> dict[str, Any]:
        several = self.plan.all
        left = self.pace.left(several[index:])
        self.display.say(f"run {index + 1} of {len(several)}, {point.name}: about {minutes(left)} left in all")
        figures = trained(point, self.data, self.out / "runs", self.kept, self.evaluation, quiet=self.display.quiet)
        self.pace.trained(point, figures)
        begun = time.perf_counter()
        with self.display.working(f"playing {point.name}, tasks", len(self.tasks)) as done:
            run = self.out / "runs" / point.name
            records = played(self.pool, self.tasks, run, point.config, self.data, self.evaluation, done)
        self.pace.played(time.perf_counter() - begun)
        return self._row(point, figures, records)

    def _row(self, point: Point, figures: Mapping[str, Any], records: Mapping[str, TaskRecord]) -> dict[str, Any]:
        job, agent = point.config, point.config.agent
        parameters = self.plan.parameters[agent]
        scores = {"score": None, "score_ci95": None, "success": None, "tasks": {}, "best_baseline": None}
        read = passes(figures["source_tokens"], self.plan.mixture)
        return {
            "name": point.name,
            "size": point.size,
            "width": agent.width,
            "layers": agent.layers,
            "heads": agent.heads,
            "parameters": parameters,
            "parameters_without_tables": parameters - self.plan.tables[agent],
            "seed": job.seed,
            "updates": job.steps,
            "learning_rate": job.optimizer.learning_rate,
            "asked_tokens": point.tokens,
            "compute": 6.0 * parameters * figures["tokens"],
            "flops": self.plan.flops[point.name],
            "most_passes": max(read.values(), default=0.0),
            "passes": read,
            **figures,
            **(score(records, self.beside) if records else scores),
        }

    @staticmethod
    def _with_fit(findings: Findings, run: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **run,
            "law_loss": float(findings.law.loss(run["parameters"], run["tokens"])),
            "residual": findings.residual(run),
        }

    def _beyond(self, findings: Findings, runs: Sequence[Mapping[str, Any]], point: Point) -> dict[str, Any]:
        """The prediction, written down before the run is trained, and what came."""
        parameters = self.plan.parameters[point.config.agent]
        seen = [[run[name] for name in ("parameters", "tokens", "loss", "score", "success")] for run in runs]
        made_with = {"runs": seen, "parameters": parameters, "tokens": point.tokens}
        foretold = self.kept.load("prediction", made_with)
        if foretold is None:
            foretold = self.kept.save(
                "prediction",
                made_with,
                {
                    **findings.predict(parameters, point.tokens),
                    "written": datetime.now(UTC).isoformat(timespec="seconds"),
                    "before_training": not (self.out / "runs" / point.name).exists(),
                },
            )
        low, high = foretold["loss"]["interval"]
        self.display.say(f"foretold for {point.name}: loss {foretold['loss']['value']:.4f} [{low:.4f}, {high:.4f}]")
        came = self._with_fit(findings, self._measure(len(self.plan.points), point))
        inside = {
            name: foretold[name]["interval"][0] <= came[name] <= foretold[name]["interval"][1]
            for name in ("loss", "score", "success")
            if name in foretold and came[name] is not None
        }
        return {"prediction": foretold, "came": came, "inside": inside}


def _playable(plan: Plan, data: Path) -> tuple[list[Task], list[str]]:
    """The tasks of the mixture that an environment plays, and the ids of those that none does."""
    tasks, unplayed = [], []
    for source in plan.points[0].config.sources:
        try:
            tasks.append(task_in_file(source.task))
        except UnknownTask:
            if not is_recorded(data, source.task):
                raise
            unplayed.append(source.task)
    return tasks, unplayed


def check_same(path: Path, config: TrainConfig, evaluation: EvaluationConfig, grid: Grid, data: Path) -> None:
    """Write down what the study is of, or compare it with what is written.

    Raises:
        ValueError: it is another one, with what differs.
    """
    asked = {
        "schema": SCHEMA,
        "train": plain(cattrs.unstructure(config)),
        "evaluation": plain(cattrs.unstructure(replace(evaluation, workers=0))),
        "rate_power": grid.rate_power,
        "data": str(data.absolute()),
        "demonstrations": {
            source.task: file_entry(dataset_folder(data, source.task) / "index.json") for source in config.sources
        },
    }
    if not path.exists():
        write_json(path, asked)
        return
    there = read_json(path, "", "restore it from a copy, or delete it if the study is the same")
    before, now = _flat(there), _flat(asked)
    if changed := [key for key in before | now if key and before.get(key) != now.get(key)]:
        several = ", ".join(f"{key}: {before.get(key)} -> {now.get(key)}" for key in changed[:5])
        raise ValueError(
            f"{path.parent} holds a study of another configuration or of other demonstrations ({several}): only sizes, "
            "tokens and seeds may be added to it; choose another --out"
        )


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if pairs is None:
        return {path: value}
    return {name: leaf for key, part in pairs for name, leaf in _flat(part, f"{path}.{key}".strip(".")).items()}


def _described(
    out: Path, config: TrainConfig, evaluation: EvaluationConfig, grid: Grid, plan: Plan, tasks: Sequence[Task]
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": out.absolute().name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "episodes": evaluation.episodes,
        "rate_power": grid.rate_power,
        "tokens_per_update": plan.tokens_per_update,
        "total_flops": plan.total_flops,
        "configuration": {
            "training": plain(cattrs.unstructure(config)),
            "evaluation": plain(cattrs.unstructure(evaluation)),
        },
        "versions": versions_of(tasks),
    }


def minutes(seconds: float) -> str:
    """Roughly: 40 s, 12 min, 2 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    whole = round(seconds / 60)
    return f"{whole} min" if whole < 120 else f"{whole // 60} h {whole % 60:02d} min"
