"""What the commands `eval`, `describe` and `quickstart` do and print; `train` is `generalist.configs.fit` alone."""

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from json import dumps
from math import prod
from pathlib import Path
from typing import Any

import jax

from generalist.agent.sharding import mesh_sizes, split_cpu
from generalist.configs.commands.describe_table import print_description
from generalist.configs.commands.score_table import print_scores
from generalist.configs.commands.terminal import console
from generalist.configs.experiment import Experiment
from generalist.configs.fit import fit, with_sources
from generalist.demonstrations.collect import collect
from generalist.envs.sets import task_set
from generalist.eval.config import EvaluationConfig
from generalist.eval.evaluate import evaluate as run_evaluation
from generalist.eval.failures import EvaluationError
from generalist.eval.shipped import reproduction
from generalist.train.describe import Description
from generalist.train.describe import describe as describe_training
from generalist.train.preemption import Stopped, stopping_at_once
from generalist.train.public.growing import grown
from generalist.train.run import read_run
from generalist.train.topologies import check_fills
from generalist.train.topologies import topology as find_topology


def evaluate(run: str | Path, config: EvaluationConfig, **where: Any) -> dict[str, Any]:
    """Evaluate a run, print the scores and say where the report is."""
    out = Path(where.get("out") or read_run(run).report_folder)
    try:
        report = run_evaluation(run, config, **where)
    except EvaluationError as error:
        _print_report(error.report, out)
        raise
    _print_report(report, out)
    if (found := reproduction(report, read_run(run).directory)) is not None:
        console().print(f"\n{found.words()}", markup=False, highlight=False)
    return report


def _print_report(report: Mapping[str, Any], out: Path) -> None:
    print_scores(report, console())
    console().print(f"\nreport: {out / 'report.html'}  numbers: {out / 'report.json'}", markup=False, soft_wrap=True)


def describe(
    experiment: Experiment,
    *,
    name: str,
    tasks: tuple[str, ...] = (),
    corpora: tuple[str, ...] = (),
    data: Path = Path("data"),
    mesh: tuple[int, int, int] | None = None,
    compiled: bool = False,
    topology: str = "",
    foundation: Path | None = None,
    json: bool = False,
) -> Description:
    """Print what the experiment's training is made of: parameters, tokens, padding, memory and FLOPs.

    Args:
        tasks, corpora: instead of the experiment's, as in `fit`.
        mesh: (data, fsdp, tensor) devices, which need not be here; default: the configured mesh on this machine's.
        compiled: compile the update too; a CPU counts as that many devices.
        topology: of accelerators that it is compiled for instead, as `generalist.train.topologies.topology` reads it.
        foundation: a public language model that training would start from, as in `fit`.
        json: print it as JSON.
    """
    config = with_sources(experiment.train, tasks, corpora)
    if foundation is not None:
        config = grown(config, foundation)
    chips = find_topology(topology) if topology else None
    if chips is not None:
        asked = mesh or (config.mesh.data, config.mesh.fsdp, config.mesh.tensor)
        mesh = mesh_sizes(*asked, devices=len(chips.devices))
        check_fills(mesh, chips)
    elif mesh is None:
        split_cpu(config.mesh.cpu_devices)
        asked = (config.mesh.data, config.mesh.fsdp, config.mesh.tensor)
        mesh = mesh_sizes(*asked, devices=jax.device_count() if -1 in asked else 1)
    else:
        mesh = mesh_sizes(*mesh, devices=1)
        if compiled:
            split_cpu(prod(mesh))
    found = describe_training(config, data, mesh, compiled=compiled, chips=chips)
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
    say = partial(console(stderr=True).print, markup=True)
    say("[bold]1/3 demonstrations[/bold]")
    asked = {task.id: task for task in task_set("quickstart")}
    collect([asked.get(source.task, source.task) for source in experiment.train.sources], data, seed=seed)
    say(f"[bold]2/3 training[/bold] ({time.perf_counter() - begun:.0f} s so far)")
    seeded = replace(experiment, train=replace(experiment.train, seed=seed))
    fit(seeded, data=data, out=run, resume=True)
    say(f"[bold]3/3 evaluation[/bold] ({time.perf_counter() - begun:.0f} s so far)")
    report = evaluate(run, experiment.evaluation, data=data, out=out)
    say(f"done in {time.perf_counter() - begun:.0f} s")
    return report
