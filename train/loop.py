"""The training loop: batches in, updates, metrics and checkpoints out; a resumed run equals an uninterrupted one."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cattrs

from generalist.agent.loss import LossConfig
from generalist.agent.sharding import make_mesh, split_cpu, use_mesh
from generalist.train.checkpoint import CheckpointError
from generalist.train.config import TrainConfig
from generalist.train.data import batches
from generalist.train.display import TrainingDisplay
from generalist.train.flops import update_flops
from generalist.train.interval import Interval
from generalist.train.log import MetricsLog, ends_in_checkpoint
from generalist.train.memory import keep_freed_memory
from generalist.train.metrics import MetricsWriter
from generalist.train.preemption import Stopped, stop_request
from generalist.train.profiling import Profile, check_profile
from generalist.train.run import Run, read_run, write_run
from generalist.train.sources import Mixture, input_sizes, layout_to_json, open_mixture
from generalist.train.step import abstract_state, create_state, make_step


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a run begins: resume > weights of another run > scratch.

    Args:
        resume: go on from the newest checkpoint in the directory, or begin if there is none.
        overwrite: remove the run that is there.
        weights: run directory whose agent's parameters to start from.
    """

    resume: bool = False
    overwrite: bool = False
    weights: Path | None = None

    def __post_init__(self):
        if self.resume and self.overwrite:
            raise ValueError("choose one of --resume and --overwrite")


def train(
    config: TrainConfig,
    data: Path,
    directory: Path,
    *,
    start: Start | None = None,
    quiet: bool = False,
    profile: int = 0,
    on_start: Callable[[Run], None] | None = None,
    on_checkpoint: Callable[[int, Any], None] | None = None,
) -> Run:
    """Train an agent on the demonstrations under `data` and leave a run directory.

    Args:
        profile: trace this many updates, after some to warm up, into `profile/` of the run directory.
        on_start: called once the run directory is there, before the first update.
        on_checkpoint: called with (step, state) after each regular checkpoint is started; evaluation during training
            goes here.

    Raises:
        FileExistsError: the directory holds a run, and neither resume nor overwrite was asked for.
        DivergedError: loss or gradient is not finite.
        Stopped: SIGTERM came; the update that was running is finished and its checkpoint saved.
    """
    check_profile(profile, config.steps)
    keep_freed_memory()
    split_cpu(config.mesh.cpu_devices)
    start = start or Start()
    mixture = open_mixture(config, data)
    run = _open_run(config, mixture, data, directory, start)
    if on_start:
        on_start(run)
    sizes = input_sizes(config, list(mixture.layouts.values()))
    mesh = make_mesh(config.mesh.data, config.mesh.fsdp, config.mesh.tensor)
    stream = iter(batches(mixture.sources, mixture.weights, mixture.capacity, batch_size=config.batch_size))
    loss = LossConfig(
        targets=mixture.capacity.targets,
        label_width=config.label_width,
        chunk=config.loss_chunk,
        source_weights=tuple(source.loss_weight for source in config.sources),
    )
    with stop_request() as stop, run.open_checkpoints(writes=True) as checkpoints:
        first = checkpoints.latest if start.resume else None
        done = first or 0
        check_profile(profile, config.steps - done)
        if first is None:
            graphdef, state = create_state(config, sizes, mesh)
            if start.weights:
                with use_mesh(mesh):
                    state = _with_weights(state, start.weights)
        else:
            graphdef, state = abstract_state(config, sizes, mesh)
            with use_mesh(mesh):
                state = checkpoints.restore(first, state, stream)
        interval = Interval(checkpoints.note(first).get("interval") if first else None)
        step = make_step(config, graphdef, state, loss, mesh)
        writer = MetricsWriter(run.directory, resume=done)
        flops = update_flops(config.agent, sizes, mixture.capacity, config.batch_size)
        try:
            with (
                TrainingDisplay(config.steps, done, quiet=quiet) as display,
                Profile(run.directory / "profile", profile, done) as tracer,
            ):
                log = MetricsLog(config, mixture.tasks, flops, writer, display, interval)
                number = _updates(config, state, stream, step, checkpoints, log, tracer, stop, done, on_checkpoint)
        finally:
            writer.close()
            stream.close()
    if stop.received:
        raise Stopped(
            f"stopped on SIGTERM after update {number} of {config.steps}, whose checkpoint is saved",
            "the same command with --resume goes on",
        )
    return run


def _updates(config, state, stream, step, checkpoints, log, profile, stop, first, on_checkpoint) -> int:
    """Updates `first + 1` to `config.steps`, or to where a stop was asked for; gives the number of the last."""
    number = first
    for number in range(first + 1, config.steps + 1):
        with log.waiting():
            batch = next(stream)
        with profile.update(number):
            state, metrics = step(state, batch)
        profile.done(number, metrics)
        log.add(number, metrics)
        stopping, regular = stop.reached(number), ends_in_checkpoint(config, number)
        if regular or stopping:
            log.finish()
            loss = log.newest["loss"] if regular else None  # a stop inside an interval is not measured
            checkpoints.save(number, state, stream, loss=loss, note={"interval": log.to_json()})
        if regular and on_checkpoint:
            on_checkpoint(number, state)
        if stopping:
            break
    return number


def _open_run(config: TrainConfig, mixture: Mixture, data: Path, directory: Path, start: Start) -> Run:
    """The run directory of this job: new, or the one that is there, as `start` allows."""
    if (directory / "config.json").exists():
        if start.resume:
            run = read_run(directory)
            if run.config != config:
                raise ValueError(
                    f"{directory} was started with another configuration ({_difference(run.config, config)})"
                )
            for task, layout in mixture.layouts.items():
                if layout_to_json(layout) != layout_to_json(run.layouts[task]):
                    raise ValueError(
                        f"the demonstrations of {task} under {data} are not those that {directory} was started with; "
                        "bring the old ones back, or start another run"
                    )
            return run
        if not start.overwrite:
            raise FileExistsError(
                f"{directory} already holds a run; add --resume to go on with it or --overwrite to replace it"
            )
        _remove_run(directory)
    elif directory.exists() and any(directory.iterdir()) and not start.resume:
        raise FileExistsError(f"{directory} is not empty and holds no run; choose another directory")
    return write_run(directory, config, mixture, data)


def _difference(old: TrainConfig, new: TrainConfig) -> str:
    """The fields of two configurations that differ, as `path: old -> new`."""

    def flat(value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return {k: v for key, part in value.items() for k, v in flat(part, f"{path}.{key}".strip(".")).items()}
        return {path: value}

    before, after = flat(cattrs.unstructure(old), ""), flat(cattrs.unstructure(new), "")
    changed = [key for key in before | after if before.get(key) != after.get(key)]
    return ", ".join(f"{key}: {before.get(key)} -> {after.get(key)}" for key in changed[:5])


def _remove_run(directory: Path) -> None:
    """Remove what a run writes, `config.json` first, so that a half-removed run is not taken for one."""
    for name in ("config.json", "metrics.jsonl", "evaluation.json", "report.json", "report.html"):
        (directory / name).unlink(missing_ok=True)
    for name in ("checkpoints", "tensorboard", "evaluation", "profile"):
        shutil.rmtree(directory / name, ignore_errors=True)


def _with_weights(state: Any, weights: Path) -> Any:
    """The state with the agent's parameters of another run's newest checkpoint; the optimizer starts anew.

    Raises:
        CheckpointError: the other run's agent has other parameters; names them.
    """
    other = read_run(weights)
    with other.open_checkpoints() as checkpoints:
        newest = checkpoints.latest
        if newest is None:
            raise CheckpointError(f"{weights} has no checkpoint to start from")
        loaded = checkpoints.restore_agent(newest, state[0])
    state[0] = loaded
    return state
