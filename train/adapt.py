"""An agent learns new tasks from few demonstrations: the training job that does it, and its defaults.

The defaults come from Meta-World (`docs/adapting.md`): everything is trained, at half the rate of the foundation, in
few updates of few timesteps, with the foundation's own data in half of each batch where it is there; the statistics of
observations are the foundation's.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax

from generalist.agent.sharding import mesh_sizes, split_cpu
from generalist.train.adaptation import AdaptConfig
from generalist.train.adapted import adapted, rounded
from generalist.train.checkpoint import Which, steps_in
from generalist.train.config import TrainConfig
from generalist.train.foundation import Weights
from generalist.train.loop import train
from generalist.train.nearest import nearest_tasks
from generalist.train.places import directory_of
from generalist.train.run import Run, measured_alike, read_run
from generalist.train.start import Start, difference
from generalist.train.transfer import PARTS


def adapt(
    run: Run | str | os.PathLike[str],
    tasks: Sequence[str],
    config: AdaptConfig,
    *,
    data: Path | None = None,
    out: Path,
    step: Which = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    workers: int | None = None,
) -> Run:
    """Train a run's agent on other tasks, into a run directory of its own.

    Args:
        run: the foundation, or its place; it is only read.
        tasks: ids; those that it knows are trained further.
        data: folder of the demonstrations; the foundation's by default.
        step: which of its checkpoints; the newest by default.
        resume: go on with the run in `out`, also where the foundation is there no more.

    Raises:
        ValueError: no task, an unknown one, too few demonstrations, something that does not go together.
        CheckpointError: the foundation has no such checkpoint, or other parts than its configuration says.
        FileNotFoundError: no run there, or no demonstrations of a task.
        FileExistsError: as `generalist.train.loop.train`.
    """
    if resume and not isinstance(run, Run) and is_gone(run) and (out / "config.json").exists():
        own = read_run(out)  # from its first checkpoint on it has all that it needs of the foundation, which is gone
        again = _as_begun(own, tasks, config)
        return train(again, Path(data or own.data), out, start=Start(resume=True), quiet=quiet, workers=workers)
    foundation = run if isinstance(run, Run) else read_run(run)
    if foundation.directory.resolve() in out.resolve().parents:
        raise ValueError(f"{out} is inside the foundation, which is only read: choose another --out")
    data = Path(data or foundation.data)
    split_cpu((config.mesh or foundation.config.mesh).cpu_devices)  # before JAX is in use
    training = adapted(foundation, tasks, config, data)
    if config.batch_size is None:
        training = _over_devices(training)
    if resume and (out / "config.json").exists():
        training = _paced_as(read_run(out).config, training)
    weights = Weights(run=foundation.directory, step=step, allow=PARTS, parameters=not config.from_scratch)
    if config.new_tasks == "random":
        weights = replace(weights, new_tasks="random")
    elif config.new_tasks == "nearest" and not config.from_scratch and not (resume and steps_in(out / "checkpoints")):
        weights = replace(weights, new_tasks=nearest_tasks(training, data, weights))
    return train(
        training,
        data,
        out,
        start=Start(resume=resume, overwrite=overwrite, weights=weights),
        quiet=quiet,
        workers=workers,
        on_start=lambda new: measured_alike(foundation, new.directory),
    )


def is_gone(run: str | os.PathLike[str]) -> bool:
    """Whether there is no foundation at this place, any more."""
    try:
        return not (directory_of(run) / "config.json").exists()
    except (FileNotFoundError, ModuleNotFoundError):
        return True


def _paced_as(own: TrainConfig, asked: TrainConfig) -> TrainConfig:
    """The job with what follows from the number of updates as it was when the run began: that number may change."""
    optimizer = replace(asked.optimizer, warmup_steps=own.optimizer.warmup_steps)
    return replace(asked, optimizer=optimizer, log_every=own.log_every, checkpoint_every=own.checkpoint_every)


def _as_begun(own: Run, tasks: Sequence[str], config: AdaptConfig) -> TrainConfig:
    """The job of a run whose foundation is gone, to the steps that are asked for.

    Raises:
        ValueError: what is asked for is not what it was started with, as far as that is known without the foundation.
    """
    before = own.config
    new, rate = before.sources[-max(1, len(tasks)) :], before.optimizer.learning_rate
    trained = {name: getattr(before.trainable, name) for name in ("how", "rank", "alpha", "parts")}
    begun = {
        "task": [source.task for source in new],
        **trained,
        "from_scratch": not (own.foundation or {}).get("parameters", True),
        "episodes": new[0].episodes,
        "episodes_seed": new[0].episodes_seed,
        "failures": not new[0].successes,
        "learning_rate": rate,
        "batch_size": before.batch_size,
        "seed": before.seed,
    }
    asked = {name: getattr(config, name) for name in begun if hasattr(config, name)}
    asked |= {"task": list(tasks), **{name: getattr(config.trainable, name) for name in trained}}
    asked |= {"learning_rate": config.learning_rate or rate, "batch_size": config.batch_size or before.batch_size}
    if said := difference(begun, asked):
        raise ValueError(
            f"{own.directory} was started with another configuration ({said}), and its foundation is gone: give the "
            "same options to go on with it; only --steps may change"
        )
    return replace(before, steps=config.steps or before.steps, mesh=config.mesh or before.mesh)


def _over_devices(config: TrainConfig) -> TrainConfig:
    """The job with a batch that divides over its devices."""
    mesh = config.mesh
    data, fsdp, _ = mesh_sizes(mesh.data, mesh.fsdp, mesh.tensor, devices=jax.device_count())
    return replace(config, batch_size=rounded(config.batch_size, data * fsdp * config.accumulation))
