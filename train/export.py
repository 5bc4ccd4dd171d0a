"""A run's checkpoint as a folder to give away: what `generalist.train.exported` reads.

The folder names no path of this machine, and is written whole or not at all.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cattrs
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from generalist.envs.checksums import file_entry
from generalist.envs.files import cannot_write, read_json, temporary_path, write_atomically, write_json
from generalist.train.adapter import digests_of, named_parameters
from generalist.train.checkpoint import CheckpointError, Which
from generalist.train.config import MeshConfig, TrainConfig
from generalist.train.exported import DATA, NAME, PART, Exported
from generalist.train.exported_files import (
    CARD,
    CONFIG,
    EVALUATION,
    FILES,
    SCORES,
    TEXT_MODEL,
    VISUAL,
    WEIGHTS,
    is_exported,
)
from generalist.train.run import REPAIR, SCHEMA, Run, read_run
from generalist.train.sources import layout_to_json
from generalist.train.trained_network import trained_network


@dataclass(frozen=True)
class Export:
    """What is written of a run, with no path of this machine in it.

    Args:
        run: of the configuration as it is written.
        exported: what the folder says of itself.
        parameters: of the network by their paths, float32.
        foundation: `run` (its name), `step` and `parameters` of what the run began with; None of nothing.
    """

    run: Run
    exported: Exported
    parameters: Mapping[str, np.ndarray]
    foundation: dict[str, Any] | None


def prepared(run: Run, name: str, step: Which = None) -> Export:
    """What an export of this name holds.

    Raises:
        ValueError: the run is an export already; or that is no name.
        CheckpointError: there is no such checkpoint, or it is damaged.
    """
    if run.exported:
        raise ValueError(f"{run.directory} is an export already: copy the folder")
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of an export: letters, digits, '.', '_' and '-', at most 96 of them")
    _, state, chosen = trained_network(run, step)
    parameters = {key: np.ascontiguousarray(value, "<f4") for key, value in named_parameters(state).items()}
    with run.open_weights() as checkpoints:
        best = None
        with suppress(CheckpointError):
            best = checkpoints.chosen("best")
    exported = Exported(name=name, step=chosen, best=chosen == best, digests=digests_of(parameters))
    public = replace(run, config=public_config(run.config), data=DATA)
    return Export(public, exported, parameters, _named_foundation(run))


def public_config(config: TrainConfig) -> TrainConfig:
    """The configuration without paths and devices of this machine; a corpus at a path is called by its last part."""
    documents = tuple(replace(each, corpus=public_corpus(each.corpus)) for each in config.documents)
    names = [each.corpus for each in documents]
    documents = tuple(  # two of one name would be one source
        replace(each, corpus=f"{each.corpus}-{at}") if names.count(each.corpus) > 1 else each
        for at, each in enumerate(documents)
    )
    text = replace(config.text, model=TEXT_MODEL if config.text.model else None)
    visual, mesh = VISUAL if config.visual else None, MeshConfig(cpu_devices=config.mesh.cpu_devices)
    return replace(config, documents=documents, text=text, visual=visual, mesh=mesh)


def public_corpus(name: str) -> str:
    """ "text:/home/me/books" -> "text:books"; what is no path stays."""
    kind, colon, path = name.partition(":")
    if kind == "drawings":
        return f"{kind}:{public_corpus(path)}"
    return name if not colon or kind == "tfds" else f"{kind}:{Path(path).name}"


def _named_foundation(run: Run) -> dict[str, Any] | None:
    if run.foundation is None:
        return None
    where = Path(run.foundation["run"])
    try:
        name = read_run(where).name
    except (OSError, ValueError):
        name = where.name
    return {**run.foundation, "run": name}


def check_target(to: Path, *, overwrite: bool) -> None:
    """Raises FileExistsError where an export may not be written, before anything is done.

    Args:
        overwrite: an export that is there, and nothing else in its folder, is replaced.
    """
    if not to.exists() or (to.is_dir() and not any(to.iterdir())):
        return
    if not overwrite:
        raise FileExistsError(f"{to} is there already; choose another folder, or replace an export (--overwrite)")
    others = sorted(path.name for path in to.iterdir() if path.name not in FILES) if to.is_dir() else [to.name]
    ours = to.is_dir() and is_exported(to) and PART in read_json(to / CONFIG, "it is no export", REPAIR)
    if others or not ours:
        why = f"it holds {', '.join(others[:3])}" if others else "it holds no export"
        raise FileExistsError(f"{to} is not replaced, as {why}; choose another folder")


def write_export(
    found: Export, to: Path, *, card: str, scores: Mapping[str, Any] | None = None, overwrite: bool = False
) -> Run:
    """Write the folder, whole or not at all, and read it again.

    Args:
        card: the text of README.md.
        scores: JSON of the evaluation, without paths.

    Raises:
        FileExistsError: as `check_target`.
        WritingError: it cannot be written.
    """
    check_target(to, overwrite=overwrite)
    begun, before = temporary_path(to), temporary_path(to.with_name(f"{to.name}-before"))
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        for left in (begun, before):
            shutil.rmtree(left, ignore_errors=True)
        begun.mkdir()
        _write_files(found, begun, card, scores)
        if to.exists():
            os.replace(to, before)
        os.replace(begun, to)
    except (OSError, SafetensorError) as cause:
        raise cannot_write(to, cause) from cause
    finally:  # also where it is interrupted
        if before.exists() and not to.exists():
            os.replace(before, to)
        for left in (begun, before):
            shutil.rmtree(left, ignore_errors=True)
    return read_run(to)


def _write_files(found: Export, folder: Path, card: str, scores: Mapping[str, Any] | None) -> None:
    run = found.run
    save_file(dict(found.parameters), folder / WEIGHTS, metadata={"format": "generalist"})
    with (folder / WEIGHTS).open("rb") as file:
        os.fsync(file.fileno())
    for name in (TEXT_MODEL, VISUAL, EVALUATION):
        if (run.directory / name).exists():
            write_atomically(folder / name, (run.directory / name).read_bytes())
    if scores is not None:
        write_json(folder / SCORES, dict(scores), indent=None)
    write_atomically(folder / CARD, card.encode())
    os.chmod(folder / WEIGHTS, (folder / CARD).stat().st_mode)  # the library leaves it to its owner alone
    copied = [name for name in (TEXT_MODEL, VISUAL) if (folder / name).exists()]
    stored = {
        "schema": SCHEMA,
        "config": cattrs.unstructure(run.config),
        "layouts": {task: layout_to_json(layout) for task, layout in run.layouts.items()},
        "data": run.data,
        "episodes": run.episodes,
        "foundation": found.foundation,
        "versions": read_json(run.directory / CONFIG, "", REPAIR).get("versions", {}),
        "files": {name: file_entry(folder / name) for name in copied},
        PART: found.exported.to_json(),
    }
    write_json(folder / CONFIG, stored)


def without_paths(value: Any, names: Callable[[str], str]) -> Any:
    """JSON with every string changed by `names`."""
    if isinstance(value, dict):
        return {key: without_paths(inner, names) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(inner, names) for inner in value]
    return names(value) if isinstance(value, str) else value
