"""How a run begins: its directory new, taken up again or replaced, and the state of its first update."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cattrs
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from generalist.agent.config import InputSizes
from generalist.agent.sharding import use_mesh
from generalist.envs.lock import LOCK, locked
from generalist.train.checkpoint import Checkpoints
from generalist.train.config import TrainConfig
from generalist.train.exported_files import is_exported
from generalist.train.foundation import Weights, with_weights
from generalist.train.optimizer import schedule
from generalist.train.places import directory_of
from generalist.train.processes import leads, true_anywhere, wait_for_all
from generalist.train.run import EVALUATION, TEXT_MODEL, VISUAL, Run, read_run, rewrite_steps, write_run
from generalist.train.sources import Mixture, layout_to_json
from generalist.train.step import State, abstract_state, create_state

FILES = (
    "config.json",
    "metrics.jsonl",
    EVALUATION,
    "report.json",
    "report.html",
    "damaged.json",
    TEXT_MODEL,
    VISUAL,
)
FOLDERS = ("checkpoints", "tensorboard", "tracking", "evaluation", "profile")
"""What a run directory may hold."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a run begins: resume > weights of another run > scratch.

    Args:
        resume: go on from the newest checkpoint in the directory, or begin if there is none. A run may go on to more
            `steps` than it was started with, also a finished one; see `go_on`.
        overwrite: remove the run that is there.
        weights: of another run, whose statistics of observations come along.
    """

    resume: bool = False
    overwrite: bool = False
    weights: Weights | None = None

    def __post_init__(self):
        if self.resume and self.overwrite:
            raise ValueError("choose one of --resume and --overwrite")


def first_state(
    config: TrainConfig,
    sizes: InputSizes,
    mesh: Mesh,
    checkpoints: Checkpoints,
    stream: Iterator,
    done: int,
    weights: Weights | None,
) -> tuple[nnx.GraphDef, State, list[str]]:
    """The state after update `done`: from its checkpoint, which sets `stream` too; 0 is new, or other `weights`.

    Also what is to be said of those. Raises CheckpointError where they do not fit.
    """
    if done:
        graphdef, state = abstract_state(config, sizes, mesh)
        with use_mesh(mesh):
            return graphdef, checkpoints.restore(done, state, stream), []
    graphdef, state = create_state(config, sizes, mesh)
    if weights is None or not weights.parameters:
        return graphdef, state, []
    with use_mesh(mesh):
        return graphdef, *with_weights(state, config, sizes, weights)


@contextmanager
def one_writer(directory: Path) -> Iterator[None]:
    """Inside, no other job trains in this directory; evaluation, which reads, may. All processes of a run call it.

    Directories that are made for it and stay empty are removed again.

    Raises:
        ValueError: another process trains here, with its number, machine and since when.
        OSError: the directory cannot be written.
    """
    made = [each for each in (directory, *directory.parents) if not each.exists()] if leads() else []
    problem = None
    try:
        with ExitStack() as stack:
            try:
                if leads():
                    directory.mkdir(parents=True, exist_ok=True)
                    stack.enter_context(locked(directory, "training"))
            except (ValueError, OSError) as error:
                problem = error
            if true_anywhere(problem is not None):
                raise problem or ValueError(f"{directory}: the first process cannot train here, and says why")
            yield
    finally:
        with suppress(OSError):  # not empty: so it should be
            for each in made:
                each.rmdir()


def check_trains(directory: Path) -> None:
    """Raises FileExistsError where the directory is an exported folder, which nothing is written into."""
    if is_exported(directory):
        raise FileExistsError(
            f"{directory} is an export, which is only read: to train on from it, --weights {directory} and another "
            "--out, or generalist adapt"
        )


def open_run(config: TrainConfig, mixture: Mixture, data: Path, directory: Path, start: Start) -> Run:
    """The run directory of this job: new, or the one that is there, as `start` allows.

    A run may go on on another mesh, because what is computed depends on it by rounding alone, and to other `steps`.
    """
    if (directory / "config.json").exists():
        if start.resume:
            run = read_run(directory)
            wait_for_all("run directory read")  # before the first process may write other steps into it
            asked = replace(config, mesh=run.config.mesh, steps=run.config.steps)
            if run.config != asked:
                raise ValueError(
                    f"{directory} was started with another configuration ({difference(run.config, asked)}); only "
                    "steps and mesh may change when it goes on. To train its agent otherwise, start another run from "
                    f"its parameters: --weights {directory} and another --out"
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
        if start.weights and directory.resolve() == directory_of(start.weights.run).resolve():
            raise ValueError(
                f"{directory} is the run to start from, which --overwrite would delete first: choose another --out"
            )
    else:
        _check_free(directory, start)
    wait_for_all("run directory looked at")
    if leads():
        _remove_run(directory)
        write_run(directory, config, mixture, data, start.weights and start.weights.to_json())
    wait_for_all("run directory written")
    return read_run(directory)


def go_on(run: Run, config: TrainConfig, done: int) -> tuple[Run, str]:
    """The run with the `steps` that are asked for now, written to its `config.json`, and what to say of it.

    The learning rate is a function of (update, steps). So the updates to come follow the schedule of a run that was
    started with the new `steps`: where `decay_steps` is 0 the rate jumps back up to that schedule, and with a fixed
    `decay_steps` the run is the same, to the last bit, as one that was started with them.

    Args:
        done: updates that were done.

    Raises:
        ValueError: the run is at or beyond the `steps` asked for, and they are not its own.
    """
    before, steps = run.config.steps, config.steps
    if steps == before:
        return run, _finished(run, done) if done >= steps else ""
    if steps <= done:
        raise ValueError(
            f"{run.directory} is at update {done} of {before} and cannot go on to {steps}: ask for more than {done} "
            "(--train.steps), or evaluate an older checkpoint (generalist eval --step)"
        )
    if leads():
        rewrite_steps(run.directory, steps)
    past, future = (np.asarray(schedule(config.optimizer, total)(done)) for total in (before, steps))
    said = (
        f"going on from update {done} to {steps} instead of {before}; the learning rate follows the schedule of "
        f"{steps} updates: it is {future:.2e} at update {done + 1}, where that of {before} has {past:.2e}"
    )
    return replace(run, config=replace(run.config, steps=steps)), said


def _finished(run: Run, done: int) -> str:
    return f"{run.directory} is finished: {done} updates are done; more --train.steps with --resume go on with it"


def difference(old: Any, new: Any) -> str:
    """The first fields of two configurations that differ, as `path: old -> new`; of a list its length and entries."""

    def flat(value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, list | tuple):
            value = {"length": len(value), **{str(at): part for at, part in enumerate(value)}}
        if isinstance(value, dict):
            return {k: v for key, part in value.items() for k, v in flat(part, f"{path}.{key}".strip(".")).items()}
        return {path: value}

    before, after = flat(cattrs.unstructure(old), ""), flat(cattrs.unstructure(new), "")
    changed = [key for key in before | after if before.get(key) != after.get(key)]
    said = [f"{key}: {before.get(key)} -> {after.get(key)}" for key in changed[:5]]
    return ", ".join([*said, f"{len(changed) - 5} more"] if len(changed) > 5 else said)


def _check_free(directory: Path, start: Start) -> None:
    """Raises FileExistsError where a folder without `config.json` holds what a new run would replace or mix with."""
    there = sorted({path.name for path in directory.glob("*")} - {LOCK})
    ours = [name for name in there if name in (*FILES, *FOLDERS)]
    before = (TEXT_MODEL, VISUAL)  # written before config.json
    if start.resume and [name for name in ours if name not in before]:
        raise FileExistsError(
            f"{directory} holds {', '.join(ours)} and no config.json: to go on with that run bring it back, to begin "
            "anew choose another directory or replace what is there (--overwrite)"
        )
    if not start.resume and there and not (start.overwrite and ours == there):
        advice = ", or replace what a run has left there (--overwrite)" if ours == there else ""
        raise FileExistsError(f"{directory} is not empty and holds no run; choose another directory{advice}")


def _remove_run(directory: Path) -> None:
    """Remove what a run writes, `config.json` first, so that a half-removed run is not taken for one."""
    for name in FILES:
        (directory / name).unlink(missing_ok=True)
    for name in FOLDERS:
        shutil.rmtree(directory / name, ignore_errors=True)
