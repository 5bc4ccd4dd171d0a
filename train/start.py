"""How a run begins: its directory new, taken up again or replaced, and the state of its first update."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cattrs
from flax import nnx
from jax.sharding import Mesh

from generalist.agent.config import InputSizes
from generalist.agent.sharding import use_mesh
from generalist.train.checkpoint import CheckpointError, Checkpoints
from generalist.train.config import TrainConfig
from generalist.train.processes import leads, wait_for_all
from generalist.train.run import TEXT_MODEL, Run, read_run, write_run
from generalist.train.sources import Mixture, layout_to_json
from generalist.train.step import State, abstract_state, create_state


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


def first_state(
    config: TrainConfig,
    sizes: InputSizes,
    mesh: Mesh,
    checkpoints: Checkpoints,
    stream: Iterator,
    done: int,
    weights: Path | None,
) -> tuple[nnx.GraphDef, State]:
    """The state after update `done`: from its checkpoint, which sets `stream` too; 0 is new, or other `weights`."""
    if done:
        graphdef, state = abstract_state(config, sizes, mesh)
        with use_mesh(mesh):
            return graphdef, checkpoints.restore(done, state, stream)
    graphdef, state = create_state(config, sizes, mesh)
    if weights:
        with use_mesh(mesh):
            state = _with_weights(state, weights)
    return graphdef, state


def open_run(config: TrainConfig, mixture: Mixture, data: Path, directory: Path, start: Start) -> Run:
    """The run directory of this job: new, or the one that is there, as `start` allows.

    A run may go on on another mesh: what is computed depends on it by rounding alone.
    """
    if (directory / "config.json").exists():
        if start.resume:
            run = read_run(directory)
            if run.config != replace(config, mesh=run.config.mesh):
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
    elif directory.exists() and any(directory.iterdir()) and not start.resume:
        raise FileExistsError(f"{directory} is not empty and holds no run; choose another directory")
    wait_for_all("run directory looked at")
    if leads():
        _remove_run(directory)
        write_run(directory, config, mixture, data)
    wait_for_all("run directory written")
    return read_run(directory)


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
    for name in (
        "config.json",
        "metrics.jsonl",
        "evaluation.json",
        "report.json",
        "report.html",
        "damaged.json",
        TEXT_MODEL,
    ):
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
