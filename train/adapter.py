"""What was trained of a run, as a small file, and the foundation that it belongs to put together with it again.

The file holds the trained parameters alone. Of those that stayed as they were it holds digests: together they are the
fingerprint of the foundation, so that no other is taken for it. Parameters count by their names, shapes and values, so
the fingerprint is that of a resumed run, another machine or another folder too.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cattrs
import jax
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding

from generalist.agent.lora import merged
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.envs.files import temporary_path
from generalist.tokenizers.layout import Layout
from generalist.train.adapter_file import digest_of, fingerprint, read_parameters, read_said, write_adapter
from generalist.train.checkpoint import Which
from generalist.train.config import TrainableConfig, TrainConfig
from generalist.train.run import Run, config_from_json, measured_alike, read_run, write_merged
from generalist.train.sources import layout_from_json, layout_to_json
from generalist.train.timestep_sizes import check_timesteps
from generalist.train.trainable import name_of, split_trained
from generalist.train.trained_network import abstract_network, trained_network

SHOWN = 12
"""Letters of a fingerprint in a message."""
MAY_GROW, GROWTH = ("window", "local_positions"), 16
"""What a new task may need more of than the foundation has, and at most so many times that: memory is made for it."""


class WrongFoundation(ValueError):  # noqa: N818
    """An adapter and a run that do not belong together."""


@dataclass(frozen=True)
class Adapted:
    """A foundation with an adapter.

    Args:
        run: of the foundation's directory, with the tasks, layouts and configuration of the adapter.
        graphdef, state: the network, layers stacked.
        step: updates of the adaptation.
    """

    run: Run
    graphdef: nnx.GraphDef
    state: Any
    step: int


def named_parameters(state: Any) -> dict[str, np.ndarray]:
    """Parameters of a network's state by their paths."""
    return {name_of(path): np.asarray(leaf.get_value()) for path, leaf in nnx.to_flat_state(state)}


def digests_of(parameters: Mapping[str, np.ndarray]) -> dict[str, str]:
    """By name; `generalist.train.adapter_file.fingerprint` makes one of them."""
    return {name: digest_of(value) for name, value in parameters.items()}


def save_adapter(run: Run | str | os.PathLike[str], path: Path, *, step: Which = None) -> dict[str, Any]:
    """Write what a run has trained to a file, and give what the file says of it.

    Args:
        step: the checkpoint of this update, or "best"; the newest by default.

    Raises:
        ValueError: the run trained all of its parameters.
        CheckpointError: there is no such checkpoint, or it is damaged.
        WritingError: the file cannot be written.
    """
    run = read_run(run)
    if run.config.trainable.how == "full":
        raise ValueError(
            f"{run.directory} trained all of its parameters (trainable.how full): an adapter would be as large as the "
            "run, whose folder holds all that is needed. For a small file train with --train.trainable.how lora"
        )
    _, state, chosen = trained_network(run, step)
    trained, frozen = split_trained(state, run.config.trainable)
    digests = digests_of(named_parameters(frozen))
    config = replace(run.config, text=replace(run.config.text, model=None))  # a path here, and the foundation has it
    said = {
        "version": version("generalist"),
        "run": run.name,
        "step": chosen,
        "tasks": list(run.layouts),
        "foundation": fingerprint(digests),
        "frozen": digests,
        "config": cattrs.unstructure(config),
        "layouts": {task: layout_to_json(layout) for task, layout in run.layouts.items()},
        "episodes": run.episodes,
    }
    write_adapter(Path(path), said, named_parameters(trained))
    return said


def apply_adapter(foundation: Run | str | os.PathLike[str], path: Path, *, step: Which = None) -> Adapted:
    """The network of a foundation with an adapter on it, and the tasks that it then knows.

    Args:
        step: the foundation's checkpoint; the newest by default.

    Raises:
        FileNotFoundError: there is no run, or no file.
        WrongFoundation: a ValueError: the adapter was trained on another foundation.
        ValueError: the file is truncated, damaged, of another format, or no adapter.
        CheckpointError: the foundation's checkpoint is missing or damaged.
    """
    foundation, path = read_run(foundation), Path(path)
    said = read_said(path)
    try:
        config, layouts = _config_and_layouts(foundation, path, said)
        graphdef, abstract = abstract_network(config, layouts)
        trained, frozen = split_trained(abstract, config.trainable)
        wanted = {name_of(leaf): tuple(value.get_value().shape) for leaf, value in nnx.to_flat_state(trained)}
        stays = {name_of(leaf) for leaf, _ in nnx.to_flat_state(frozen)}
        if stays != {*said["frozen"]} or fingerprint(said["frozen"]) != said["foundation"]:
            raise ValueError("what it says of its foundation is not what its configuration needs")
        done, episodes = int(said["step"]), dict(said.get("episodes", {}))
    except WrongFoundation:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        why = " ".join(str(error).split())[:300]
        raise ValueError(f"the adapter {path} does not say what is needed to play it: {why}") from error
    parameters = read_parameters(path, said, wanted)
    parameters |= _frozen_of(foundation, path, said, step)
    found = replace(foundation, config=config, layouts=layouts, episodes=episodes, foundation=None)
    return Adapted(found, graphdef, _filled(abstract, parameters), done)


def _config_and_layouts(foundation: Run, path: Path, said: Mapping[str, Any]) -> tuple[TrainConfig, dict[str, Layout]]:
    """The adapted run's; network and tokens must be those of the foundation, which bounds them too."""
    config, base = config_from_json(said["config"]), foundation.config
    sizes = {name: getattr(base.agent, name) for name in MAY_GROW}
    smaller = any(getattr(config.agent, name) < size for name, size in sizes.items())
    different = ["agent"] if smaller or replace(config.agent, **sizes) != base.agent else []
    different += ["vocabulary"] if config.vocabulary != base.vocabulary else []
    if config.text.tokenizer != base.text.tokenizer:
        different.append("text")
    if different or base.trainable.how == "lora":
        why = (
            f"its {', '.join(different)} differs"
            if different
            else ("it has LoRA of its own, not merged; name the run that `generalist adapter merge` makes of it")
        )
        raise WrongFoundation(f"{_named(path, said)} was not trained on {foundation.directory}: {why}")
    for name, size in sizes.items():
        if (own := getattr(config.agent, name)) > GROWTH * size:
            raise ValueError(f"its agent.{name} {own} is more than {GROWTH} times that of the foundation, {size}")
    values = max((layout.vector_values for layout in foundation.layouts.values()), default=0)
    check_timesteps(config, said["layouts"], max(values, path.stat().st_size // 4))
    own = replace(config, text=foundation.own_files.text, visual=foundation.own_files.visual)
    layouts = {
        source.task: layout_from_json(said["layouts"][source.task], own, source.layout) for source in config.sources
    }
    return own, layouts


def _frozen_of(foundation: Run, path: Path, said: Mapping[str, Any], step: Which) -> dict[str, np.ndarray]:
    """The foundation's parameters that the adapter leaves as they are. Raises WrongFoundation if it has others."""
    _, state, chosen = trained_network(foundation, step)
    here = {name: value for name, value in named_parameters(state).items() if name in said["frozen"]}
    digests = digests_of(here)
    wrong = [name for name, digest in said["frozen"].items() if digests.get(name) != digest]
    if wrong:
        raise WrongFoundation(
            f"{_named(path, said)} was trained on the foundation {said['foundation'][:SHOWN]}, {foundation.directory} "
            f"at update {chosen} is {fingerprint(digests)[:SHOWN]}: {len(wrong)} of {len(said['frozen'])} parameters "
            f"differ ({', '.join(wrong[:3])}); name the run that was adapted, or another of its checkpoints (--step)"
        )
    return here


def _named(path: Path, said: Mapping[str, Any]) -> str:
    return f"the adapter {path} (of the run {str(said['run'])[:80]!r})"


def _filled(abstract: Any, parameters: Mapping[str, np.ndarray]) -> Any:
    """The abstract state with these values, by name."""
    mesh, leaves = make_mesh(1), []
    for path, leaf in nnx.to_flat_state(abstract):
        where = NamedSharding(mesh, leaf.get_value().sharding.spec)
        leaves.append(jax.device_put(parameters[name_of(path)], where))
    return jax.tree.unflatten(jax.tree.structure(abstract), leaves)


def merge_adapter(foundation: Run | str | os.PathLike[str], path: Path, out: Path, *, step: Which = None) -> Run:
    """Write a run directory whose network is the foundation with the adapter merged into it: a run as any other.

    It plays, is evaluated and is what others start from; it has no optimizer state, so that it cannot be resumed.

    Raises:
        FileExistsError: `out` is there and not empty.
        ValueError: as `apply_adapter`.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is there already; choose another folder for the merged run")
    found = apply_adapter(foundation, path, step=step)
    with use_mesh(make_mesh(1)):
        state = nnx.state(merged(nnx.merge(found.graphdef, found.state)))
    run = replace(found.run, config=replace(found.run.config, trainable=TrainableConfig()))
    out.parent.mkdir(parents=True, exist_ok=True)
    begun = temporary_path(out)
    shutil.rmtree(begun, ignore_errors=True)
    try:
        write_merged(begun, run, state, found.step)
        measured_alike(run, begun)
        begun.replace(out)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return read_run(out)
