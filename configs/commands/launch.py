"""The one launcher: what the commands do, callable from Python too."""

import time
from dataclasses import replace
from json import dumps
from math import prod
from pathlib import Path
from typing import Any

import cattrs
import jax

from generalist.agent.compilation import keep_compilations
from generalist.agent.sharding import mesh_sizes, split_cpu
from generalist.configs.commands.describe_table import print_description
from generalist.configs.commands.score_table import print_scores
from generalist.configs.commands.terminal import console
from generalist.configs.experiment import EVALUATION, Experiment, evaluation_of
from generalist.demonstrations.collect import collect
from generalist.envs.files import write_json
from generalist.envs.table import find_task
from generalist.eval.config import EvaluationConfig
from generalist.eval.evaluate import evaluate as run_evaluation
from generalist.tokenizers.document import PictureOptions
from generalist.tokenizers.options import LayoutOptions
from generalist.train.config import DocumentsConfig, SourceConfig, TrainConfig
from generalist.train.describe import Description
from generalist.train.describe import describe as describe_training
from generalist.train.loop import train as run_training
from generalist.train.preemption import Stopped, stopping_at_once
from generalist.train.processes import Processes, join_processes
from generalist.train.run import Run
from generalist.train.start import Start


def with_sources(config: TrainConfig, tasks: tuple[str, ...], corpora: tuple[str, ...] = ()) -> TrainConfig:
    """The same job on other tasks or corpora: what the job knows keeps its source, a new one is shown as the first."""
    if tasks:
        known = {source.task: source for source in config.sources}
        layout = config.sources[0].layout if config.sources else LayoutOptions()
        sources = tuple(known.get(task, SourceConfig(task=task, layout=layout)) for task in tasks)
        config = replace(config, sources=sources)
    if corpora:
        there = {each.corpus: each for each in config.documents}
        pictures = config.documents[0].pictures if config.documents else PictureOptions()
        documents = tuple(there.get(name, DocumentsConfig(corpus=name, pictures=pictures)) for name in corpora)
        config = replace(config, documents=documents)
    return config


def train(
    experiment: Experiment,
    *,
    data: Path,
    out: Path,
    tasks: tuple[str, ...] = (),
    corpora: tuple[str, ...] = (),
    start: Start | None = None,
    profile: int = 0,
    processes: Processes | None = None,
) -> Run:
    """Train as the experiment says and leave a run directory at `out`.

    Args:
        profile: trace this many updates.
        processes: that do it together; None is this one alone.
    """
    keep_compilations()
    config = with_sources(experiment.train, tasks, corpora)
    for source in config.sources:
        find_task(source.task)
    if processes is not None:
        split_cpu(config.mesh.cpu_devices)
        join_processes(processes)

    def keep_evaluation(run: Run) -> None:
        path = run.directory / EVALUATION
        if not path.exists() or evaluation_of(run.directory) != experiment.evaluation:
            write_json(path, cattrs.unstructure(experiment.evaluation))

    return run_training(config, data, out, start=start, profile=profile, on_start=keep_evaluation)


def evaluate(run: Path, config: EvaluationConfig, **where: Any) -> dict[str, Any]:
    """Evaluate a run, print the scores and say where the report is."""
    keep_compilations()
    report = run_evaluation(run, config, **where)
    print_scores(report, console())
    out = Path(where.get("out") or run)
    console().print(f"\nreport: {out / 'report.html'}  numbers: {out / 'report.json'}", highlight=False)
    return report


def describe(
    experiment: Experiment,
    *,
    name: str,
    data: Path = Path("data"),
    mesh: tuple[int, int, int] | None = None,
    compiled: bool = False,
    json: bool = False,
) -> Description:
    """Print what the experiment's training is made of: parameters, tokens, padding, memory and FLOPs.

    Args:
        mesh: (data, fsdp, tensor) devices, which need not be here; default: the configured mesh on this machine's.
        compiled: compile the update too; a CPU counts as that many devices.
        json: print it as JSON.
    """
    config = experiment.train
    if mesh is None:
        split_cpu(config.mesh.cpu_devices)
        asked = (config.mesh.data, config.mesh.fsdp, config.mesh.tensor)
        mesh = mesh_sizes(*asked, devices=jax.device_count() if -1 in asked else 1)
    else:
        mesh = mesh_sizes(*mesh, devices=1)
        if compiled:
            split_cpu(prod(mesh))
    found = describe_training(config, data, mesh, compiled=compiled)
    if json:
        print(dumps({"config": name} | found.to_json(), indent=2))
    else:
        print_description(found, name, console())
    return found


def quickstart(out: Path, *, seed: int = 0, experiment: Experiment | None = None) -> dict[str, Any]:
    """Collect, train, evaluate and report under `out`; run again, it goes on where it stopped.

    Raises:
        Stopped: SIGTERM came; in training, after the running update was finished and saved.
    """
    if experiment is None:
        from generalist.configs.quickstart import config

        experiment = config()
    try:
        with stopping_at_once("stopped on SIGTERM", "the same command goes on"):
            return _quickstart(out, seed, experiment)
    except Stopped as stopped:
        raise Stopped(stopped.where, "the same command goes on") from None


def _quickstart(out: Path, seed: int, experiment: Experiment) -> dict[str, Any]:
    begun = time.perf_counter()
    data, run = out / "data", out / "run"
    say = console(stderr=True).print
    say("[bold]1/3 demonstrations[/bold]")
    collect([find_task(source.task) for source in experiment.train.sources], data, seed=seed)
    say(f"[bold]2/3 training[/bold] ({time.perf_counter() - begun:.0f} s so far)")
    seeded = replace(experiment, train=replace(experiment.train, seed=seed))
    train(seeded, data=data, out=run, start=Start(resume=True))
    say(f"[bold]3/3 evaluation[/bold] ({time.perf_counter() - begun:.0f} s so far)")
    report = evaluate(run, experiment.evaluation, data=data, out=out)
    say(f"done in {time.perf_counter() - begun:.0f} s")
    return report
