"""The run that a new one begins with: its parameters as they travel, and its statistics of observations."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flax import nnx
from jax.sharding import Mesh

from generalist.agent.config import InputSizes
from generalist.agent.lora import merged
from generalist.agent.sharding import use_mesh
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.visual import VisualTokenizer
from generalist.train.checkpoint import CheckpointError, Which, steps_in
from generalist.train.config import TrainConfig
from generalist.train.places import directory_of
from generalist.train.run import Run, read_run
from generalist.train.sources import input_sizes, make_text_tokenizer, make_visual_tokenizer
from generalist.train.step import State, abstract_state
from generalist.train.trainable import make_network
from generalist.train.transfer import PARTS, NewTasks, Plan, Side, check_allowed, plan, travel


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Which parameters a run starts from, and what may not come over.

    Args:
        run: place of the run that they are of, see `generalist.train.places`.
        step: which of its checkpoints, "best" as for `generalist.load`; the newest by default.
        allow: parts in which parameters may be new or left over, see `generalist.train.transfer.PARTS`.
        new_tasks: how the embedding of a task begins that the other run does not know.
        parameters: False takes its statistics alone: what training from scratch is compared with.
    """

    run: Path
    step: Which = None
    allow: tuple[str, ...] = ()
    new_tasks: NewTasks = "mean"
    parameters: bool = True

    def __post_init__(self):
        check_allowed(self.allow)

    def to_json(self) -> dict[str, Any]:
        """What a run's config.json says of it."""
        return {"run": str(directory_of(self.run).absolute()), "step": self.step, "parameters": self.parameters}


def known_layouts(directory: Path, weights: Weights | None, *, resume: bool) -> dict[str, Layout]:
    """By task, the layouts whose statistics a job takes over: those of the run that it starts from.

    A job that goes on has them already, and needs that run no more.
    """
    if resume and (directory / "config.json").exists():
        run = read_run(directory)
        return run.layouts if run.foundation else {}
    return read_run(weights.run).layouts if weights else {}


def check_weights(
    config: TrainConfig, sizes: InputSizes, mesh: Mesh, weights: Weights | None, going_on: Path | None
) -> None:
    """Raises CheckpointError where the weights to start from do not fit, before anything is written.

    Args:
        going_on: a run directory that is gone on with; from its first checkpoint on it needs the other run no more,
            until then exactly those weights that it began with.
    """
    if going_on and steps_in(going_on / "checkpoints"):
        return
    if going_on and (going_on / "config.json").exists():
        _check_same(read_run(going_on), weights)
    if weights and weights.parameters:
        _, state = abstract_state(config, sizes, mesh)
        with use_mesh(mesh):
            _planned(state[0], config, sizes, weights)


def _check_same(run: Run, weights: Weights | None) -> None:
    """Raises CheckpointError where a run without a checkpoint would begin with other parameters than it says."""
    begun, asked = run.foundation, weights.to_json() if weights else None
    if begun and begun["parameters"] and asked != begun:
        which = "its newest update" if begun["step"] is None else f"its update {begun['step']}"
        raise CheckpointError(
            f"{run.directory} began with the parameters of {begun['run']} ({which}) and has no checkpoint yet: until "
            "it has one that run is needed, at the same place; bring it back and name it again, or begin anew "
            "(--overwrite)"
        )
    if not (begun and begun["parameters"]) and asked and asked["parameters"]:
        raise CheckpointError(
            f"{run.directory} began with no other run's parameters: leave out --weights to go on with it, or begin "
            "anew (--overwrite)"
        )


def with_weights(state: State, config: TrainConfig, sizes: InputSizes, weights: Weights) -> tuple[State, list[str]]:
    """A new state with the other run's parameters, and what is to be said of them; call it with the mesh in use.

    Raises:
        CheckpointError: as `generalist.train.transfer.plan`, or the other run has no such checkpoint.
    """
    found = _planned(state[0], config, sizes, weights)
    with found.run.open_weights() as checkpoints:
        old = checkpoints.restore_agent(found.step, found.state)
    old = nnx.state(merged(nnx.merge(found.graphdef, old)))  # a foundation with LoRA counts as it computes
    state[0] = travel(state[0], old, found.plan)
    return state, [f"parameters of update {found.step} of {weights.run}", *found.plan.travelled.lines]


@dataclass(frozen=True)
class _Planned:
    """The other run, its checkpoint, structure and abstract state of its network, and how that comes over."""

    run: Run
    step: int
    graphdef: nnx.GraphDef
    state: Any
    plan: Plan


def _version(visual: VisualTokenizer | None) -> str | None:
    return None if visual is None else visual.version


def _planned(born: Any, config: TrainConfig, sizes: InputSizes, weights: Weights) -> _Planned:
    other = read_run(weights.run)
    there = input_sizes(other.config, list(other.layouts.values()))
    with other.blamed():
        made = nnx.eval_shape(lambda: make_network(other.config, there, rngs=nnx.Rngs(0)))
    graphdef, old = nnx.split(nnx.as_abstract(made))
    with other.open_weights() as checkpoints:
        step = checkpoints.chosen(weights.step)
    here = Side(config, sizes, make_text_tokenizer(config.text).version, _version(make_visual_tokenizer(config)))
    side = Side(other.config, there, other.text.version, _version(other.visual))
    sizes_of_text = {each.config.vocabulary.text_size for each in (here, side)}
    if other.public and (here.text != side.text or len(sizes_of_text) > 1):
        raise CheckpointError(
            f"the text tokenizer {here.text} is not that of {weights.run} ({side.text}): its weights would mean other "
            f"words; --foundation {weights.run} takes both"
        )
    allow = PARTS if other.public else weights.allow
    how = plan(born, here, old, side, allow=allow, new_tasks=weights.new_tasks, name=str(weights.run))
    return _Planned(other, step, graphdef, old, how)
