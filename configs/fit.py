"""Training by the name of an experiment: what `generalist train` does, as a function."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from generalist.agent.compilation import keep_compilations
from generalist.agent.sharding import split_cpu
from generalist.configs.experiment import Experiment
from generalist.configs.presets import load_preset
from generalist.demonstrations.data_folder import check_known
from generalist.envs.names import nearest
from generalist.envs.task import Task
from generalist.envs.trust import trust as trust_modules
from generalist.envs.trust import trust_task
from generalist.eval.config import keep_evaluation
from generalist.tokenizers.options import LayoutOptions
from generalist.tokenizers.pictures import PictureOptions
from generalist.train.bands import all_bands
from generalist.train.config import DocumentsConfig, SourceConfig, TrainConfig
from generalist.train.foundation import Weights
from generalist.train.loop import train
from generalist.train.processes import Processes, join_processes
from generalist.train.public.growing import grown
from generalist.train.run import Run
from generalist.train.start import Start


def fit(
    config: str | Experiment | TrainConfig,
    *,
    data: str | os.PathLike[str] = "data",
    out: str | os.PathLike[str] | None = None,
    tasks: str | Task | Iterable[str | Task] = (),
    corpora: str | Iterable[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    weights: str | os.PathLike[str] | Weights | None = None,
    foundation: str | os.PathLike[str] | None = None,
    quiet: bool = False,
    profile: int = 0,
    workers: int | None = None,
    track: str | Iterable[str] = (),
    processes: Processes | None = None,
    trust: str | Iterable[str] = (),
    **changes: Any,
) -> Run:
    """Train one agent on the demonstrations of its tasks, and leave a run directory.

    Args:
        config: name of a preset ("smoke", "quickstart", ...; `generalist train --help` lists them), an `Experiment`, or
            a `TrainConfig`. Fields are changed by `dataclasses.replace`.
        data: folder of the demonstrations, as `collect` leaves them.
        out: the run directory; by default runs/<name of the preset>.
        tasks: train on these instead of the config's: one or several, by id or as they are. What `data` holds needs
            no environment. What the config does not name takes the layout of its first task.
        corpora: train on these texts and pictures instead of the config's: one name or several, as for `--corpus`.
        resume: go on from the newest checkpoint of `out`, or begin if there is none.
        overwrite: remove the run that is there.
        weights: another run, whose parameters to start from; as `generalist.train.foundation.Weights` with what may be
            new here or left over there.
        foundation: a public language model to start from, whose trunk, words and tokenizer take the place of the
            config's: a folder of config.json, safetensors and tokenizer.json, or hf:USER/NAME (docs/foundations.md).
        quiet: show no progress.
        profile: trace this many updates into the run directory's profile/.
        workers: processes that make batches, always the same ones; 0 is a thread of this one, None chooses by machine.
        track: services that get the metrics too, "wandb" or "mlflow" (docs/training.md).
        processes: that train together; None is this one alone.
        trust: modules that ids of the config's tasks may have imported, see `generalist.envs.trust`; those of `tasks`
            are trusted.
        **changes: fields of `TrainConfig` in place of what the config says: steps, seed, batch_size and others.

    Returns:
        The run, which `load`, `evaluate` and `Writer.load` take as well as its directory.

    Raises:
        TypeError: a field that there is not, with the nearest ones.
        ValueError: an unknown preset, task or corpus (with the nearest ones), or settings that do not go together.
        FileNotFoundError: no demonstrations of a task, with the command that collects them.
        FileExistsError: `out` holds a run, and neither resume nor overwrite was asked for.
        DivergedError: loss or gradient is not finite.
        Stopped: SIGTERM came; the update that was running is finished and saved.

    Example:
        >>> import generalist
        >>> run = generalist.fit("smoke", data="data", out="runs/smoke", resume=True)
        >>> run.config.steps
        40

        With fewer updates, and texts beside the tasks:

        >>> generalist.fit("smoke", corpora="docstrings", out="runs/words", steps=4)
        Run('runs/words')
    """
    if foundation is not None:
        if weights is not None:
            raise ValueError("choose one of weights, another run's, and foundation, a public language model's")
        weights = foundation
    taken = weights if weights is None or isinstance(weights, Weights) else Weights(run=Path(weights))
    start = Start(resume=resume, overwrite=overwrite, weights=taken)
    trust_modules(trust)
    experiment, directory = _experiment(config), _directory(config, out)
    several = (tasks,) if isinstance(tasks, str | Task) else tuple(tasks)
    ids = tuple(task if isinstance(task, str) else task.id for task in several)
    for id in ids:
        trust_task(id)
    training = with_sources(experiment.train, ids, (corpora,) if isinstance(corpora, str) else tuple(corpora))
    training = _changed(training, changes)
    if foundation is not None:
        training = grown(training, foundation)
    for source in training.sources:
        check_known(source.task, data)
    keep_compilations()
    if processes is not None:
        split_cpu(training.mesh.cpu_devices)
        join_processes(processes)
    return train(
        training,
        Path(data),
        directory,
        start=start,
        quiet=quiet,
        profile=profile,
        workers=workers,
        track=(track,) if isinstance(track, str) else tuple(track),
        on_start=lambda run: keep_evaluation(run.directory, experiment.evaluation),
    )


def with_sources(config: TrainConfig, tasks: tuple[str, ...], corpora: tuple[str, ...] = ()) -> TrainConfig:
    """The same job on other tasks or corpora: what the job knows keeps its source, a new one is shown as the first.

    A corpus of bands is shown by all of its bands, in the size of its first picture.
    """
    if tasks:
        known = {source.task: source for source in config.sources}
        layout = config.sources[0].layout if config.sources else LayoutOptions()
        sources = tuple(known.get(task, SourceConfig(task=task, layout=layout)) for task in tasks)
        config = replace(config, sources=sources)
    if corpora:
        there = {each.corpus: each for each in config.documents}
        pictures = config.documents[0].pictures if config.documents else PictureOptions()
        documents = tuple(
            there.get(name) or DocumentsConfig(corpus=name, pictures=all_bands(name) or pictures) for name in corpora
        )
        config = replace(config, documents=documents)
    return config


def _experiment(config: str | Experiment | TrainConfig) -> Experiment:
    if isinstance(config, str):
        return load_preset(config)
    if isinstance(config, TrainConfig):
        return Experiment(train=config)
    if isinstance(config, Experiment):
        return config
    raise TypeError(f"config must be a preset's name, an Experiment or a TrainConfig, got {type(config).__name__}")


def _changed(config: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
    names = [each.name for each in fields(TrainConfig)]
    for name in changes:
        if name not in names:
            raise TypeError(f"training has no setting {name!r}: {nearest(name, names)}")
    return replace(config, **changes)


def _directory(config: str | Experiment | TrainConfig, out: str | os.PathLike[str] | None) -> Path:
    if out is not None:
        return Path(out)
    if isinstance(config, str):
        return Path("runs") / config
    raise ValueError('a configuration without a name has no folder of its own: say where, as out="runs/mine"')
