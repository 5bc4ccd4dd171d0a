"""What the commands `generalist study ...` do and print."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generalist.agent.sharding import split_cpu
from generalist.configs.commands.terminal import console, table
from generalist.configs.experiment import Experiment
from generalist.configs.fit import with_sources
from generalist.demonstrations.data_folder import check_known
from generalist.envs.trust import trust_task
from generalist.studies.adapt.charts import normalised
from generalist.studies.adapt.settings import Settings
from generalist.studies.adapt.study import adapt_study
from generalist.studies.scale.cost import ASSUMED_UTILISATION, Pace, make_plan
from generalist.studies.scale.grid import Grid, tokens_text
from generalist.studies.scale.study import minutes
from generalist.studies.scale.study import scale as study_scale
from generalist.train.flops import measured_peak


def scale(
    experiment: Experiment,
    grid: Grid,
    *,
    data: Path,
    out: Path,
    tasks: tuple[str, ...] = (),
    estimate: bool = False,
    **options: Any,
) -> None:
    """Run a scaling study, or only say what it would cost, and print what it found."""
    for id in tasks:
        trust_task(id)
    config = with_sources(experiment.train, tasks)
    for source in config.sources:
        check_known(source.task, data)
    if estimate:
        split_cpu(config.mesh.cpu_devices)
        _print_cost(
            Pace(make_plan(config, grid, data, grid_only=options["grid_only"]), measured_peak(config.agent.dtype))
        )
        return
    record = study_scale(config, experiment.evaluation, data=data, out=out, grid=grid, **options)
    _print_found(record)
    console().print(f"\npage: {out / 'scale.html'}  numbers: {out / 'scale.json'}", markup=False, soft_wrap=True)


def _print_cost(pace: Pace) -> None:
    plan = pace.plan
    rows = [
        {
            "run": point.name + (" (beyond)" if point is plan.beyond else ""),
            "parameters": tokens_text(plan.parameters[point.config.agent]),
            "tokens": tokens_text(point.tokens),
            "updates": point.config.steps,
            "learning rate": f"{point.config.optimizer.learning_rate:.2g}",
            "model FLOPs": f"{plan.flops[point.name]:.2e}",
            "about": minutes(pace.left([point])),
        }
        for point in plan.all
    ]
    out = console()
    out.print(table(rows))
    out.print(
        f"\n{plan.total_flops:.2e} model FLOPs in all, {minutes(pace.left(plan.all))} at {ASSUMED_UTILISATION:.0%} of "
        f"this machine's measured peak of {pace.peak / 1e9:,.0f} GFLOP/s; compiling and playing come on top",
        markup=False,
        soft_wrap=True,
    )


def _print_found(record: Mapping[str, Any]) -> None:
    law, out = record["law"], console()
    rows = [
        {
            "parameter": name,
            "value": f"{found['value']:.4g}",
            "95% interval": f"[{found['interval'][0]:.4g}, {found['interval'][1]:.4g}]",
            "standard error": f"{found['standard_error']:.2g}",
        }
        for name, found in law["values"].items()
    ]
    out.print(table(rows, title=f"L = E + A / N^alpha + B / D^beta, {len(record['runs'])} runs"))
    at_bound = f"{law['resamples_at_bound']} of {law['resamples']} fits of the bootstrap end at a bound"
    out.print(f"residuals: {law['residual_rms']:.2%} (root mean square); {at_bound}", markup=False, soft_wrap=True)
    for said in law["weak"]:
        out.print(said, markup=False, soft_wrap=True)
    if (beyond := record["beyond"]) is None:
        return
    rows = [
        {
            "beyond the grid": name,
            "foretold": f"{beyond['prediction'][name]['value']:.4g}",
            "95% interval": "[{:.4g}, {:.4g}]".format(*beyond["prediction"][name]["interval"]),
            "came": f"{beyond['came'][name]:.4g}",
            "inside": "yes" if inside else "no",
        }
        for name, inside in beyond["inside"].items()
    ]
    out.print(table(rows))


def adapt(run: Path, tasks: tuple[str, ...], settings: Settings, *, out: Path, **options: Any) -> None:
    """Run a study of adaptation and print what it found."""
    for id in tasks:
        trust_task(id)
    record = adapt_study(run, tasks, settings, out=out, **options)
    _print_adapted(record)
    console().print(f"\npage: {out / 'adapt.html'}  numbers: {out / 'adapt.json'}", markup=False, soft_wrap=True)


def _print_adapted(record: Mapping[str, Any]) -> None:
    rows = []
    for way in record["ways"]:
        row = {"way": way["way"]}
        for point in way["points"]:
            low, high = point["score"]["ci95"]
            row[str(point["number"])] = f"{point['score']['value']:.2f} [{low:.2f}, {high:.2f}]"
        rows.append(row)
    out = console()
    settings, raw = record["settings"], any(not normalised(task) for task in record["tasks"])
    out.print(
        f"{'score' if raw else 'normalised score'} by demonstrations of each task, with 95% intervals: mean over "
        f"{len(record['tasks'])} tasks, {settings['demonstration_seeds']} draws, {settings['episodes']} episodes each",
        markup=False,
        soft_wrap=True,
    )
    out.print(table(rows))
    if lost := record["lost"]:
        before = lost["before"]["value"]
        what = " or ".join(sorted(set(lost["scores"]), reverse=True))
        out.print(
            f"\nmean {what} on the foundation's own {len(lost['tasks'])} tasks, before: {before:.3f}", markup=False
        )
        out.print(table([_change(each) for each in lost["ways"]]))


def _change(way: Mapping[str, Any]) -> dict[str, str]:
    change, (low, high) = way["difference"]["value"], way["difference"]["ci95"]
    return {
        "way": way["way"],
        "after": f"{way['after']['value']:.3f}",
        "change": f"{change:+.3f} [{low:+.3f}, {high:+.3f}]",
    }
