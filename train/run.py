"""A run directory: `config.json`, `checkpoints/`, `metrics.jsonl`, `tensorboard/`, and later the report.

An exported folder (`generalist.train.exported`) is read as a run with one checkpoint, and is never written into; so is
the folder of a public language model (`generalist.train.public`).
Everything that is needed to load the agent is inside. `config.json` has a checksum (see `generalist.envs.checksums`):
whoever changes it by hand removes that field.
"""

import os
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cattrs

from generalist.envs.checksums import check_file, file_entry
from generalist.envs.files import read_json, write_atomically, write_json
from generalist.envs.trust import is_trusted
from generalist.tokenizers.json_text import JsonTokenizer
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.text import SentencePieceTokenizer, TextTokenizer
from generalist.tokenizers.visual import VisualTokenizer
from generalist.tokenizers.vocabulary import VERSION, Vocabulary
from generalist.train.checkpoint import CheckpointError, Checkpoints
from generalist.train.config import PUBLIC, DocumentsConfig, MeshConfig, TextConfig, TrainConfig
from generalist.train.exported import (
    DATA,
    Exported,
    WeightsFile,
    check_layouts,
    check_sizes,
    exported_from,
    told_of,
)
from generalist.train.exported_files import EVALUATION, TEXT_MODEL, VISUAL, check_small, is_exported
from generalist.train.made_here import is_made_here, remember
from generalist.train.places import directory_of
from generalist.train.public.loading import PublicWeights
from generalist.train.public.weights import PublicModel, is_public, open_public
from generalist.train.sources import (
    Mixture,
    layout_from_json,
    layout_to_json,
    make_text_tokenizer,
    make_visual_tokenizer,
)
from generalist.train.visual_file import read_visual, write_visual

SCHEMA = 1
REPAIR = "restore it from a copy; the checkpoints beside it are untouched"
PACKAGES = ("generalist", "jax", "flax", "optax", "orbax-checkpoint", "grain", "gymnasium", "numpy")


@dataclass(frozen=True)
class Run:
    """What `config.json` of a run says.

    Args:
        directory: of the run.
        config: the training job.
        layouts: by task, with the statistics of the demonstrations.
        data: where the demonstrations were.
        episodes: how many there were of each task, whatever was trained on; of runs of 0.1.0, none.
        foundation: `run` and `step` (None is the newest) of the run whose statistics and, unless `parameters` is false,
            parameters this one began with; None where it began with none.
        exported: what an exported folder says of itself; None of a run directory.
        public: the public language model that the folder holds; None of one that was trained here.
    """

    directory: Path
    config: TrainConfig
    layouts: dict[str, Layout]
    data: str
    episodes: dict[str, int]
    foundation: dict[str, Any] | None = None
    exported: Exported | None = None
    public: PublicModel | None = None

    def __fspath__(self) -> str:
        """So that a run can be given wherever its directory can."""
        return str(self.directory)

    def __repr__(self) -> str:
        return f"Run({str(self.directory)!r})"

    @property
    def name(self) -> str:
        """What it is called: that of its directory, or what an export says."""
        return self.exported.name if self.exported else self.directory.absolute().name

    @property
    def report_folder(self) -> Path:
        """Where its evaluation goes: its directory; of an export, which nothing is written into, a folder in runs/."""
        return self.beside("eval") if self.exported or self.public else self.directory

    def beside(self, what: str) -> Path:
        """The folder of what is made of it: NAME-`what` beside its directory; of an export in runs/."""
        folder = Path("runs") if self.exported or self.public else self.directory.parent
        return folder / f"{self.name}-{what}"

    @property
    def text(self) -> TextTokenizer:
        """The text tokenizer, from the run's own copy of its model."""
        return make_text_tokenizer(self.own_files.text)

    @property
    def visual(self) -> VisualTokenizer | None:
        """The visual tokenizer, from the run's own copy; None where no picture is written."""
        return make_visual_tokenizer(self.own_files)

    @property
    def own_files(self) -> TrainConfig:
        """The configuration, with the run's own copies of the text model and the visual tokenizer."""
        return _own_files(self.directory, self.config)

    @property
    def checkpoints(self) -> Path:
        return self.directory / "checkpoints"

    def blamed(self) -> AbstractContextManager[None]:
        """Inside, the network is made that the configuration describes: what goes wrong is the fault of an export."""
        return told_of(self.directory) if self.exported else nullcontext()

    def open_weights(self) -> Checkpoints | WeightsFile | PublicWeights:
        """Its checkpoints, to read the network of one."""
        if self.public:
            return PublicWeights(self.public)
        return WeightsFile(self.directory, self.exported) if self.exported else self.open_checkpoints()

    def open_checkpoints(self, *, writes: bool = False) -> Checkpoints:
        config, metadata = self.config, checkpoint_metadata(self.config)
        return Checkpoints(
            self.checkpoints, keep=config.keep, keep_best=config.keep_best, metadata=metadata, writes=writes
        )


def _own_files(directory: Path, config: TrainConfig) -> TrainConfig:
    """The configuration with the run's copies of the text model and the visual tokenizer, where it has them."""
    text, visual = directory / TEXT_MODEL, directory / VISUAL
    if text.exists():
        config = replace(config, text=replace(config.text, model=str(text)))
    return replace(config, visual=str(visual)) if visual.exists() else config


def checkpoint_metadata(config: TrainConfig) -> dict[str, Any]:
    """What must be equal for a checkpoint's tokens to mean the same."""
    vocabulary = asdict(config.vocabulary)
    if not vocabulary["visual_size"]:
        del vocabulary["visual_size"]  # checkpoints from before there was the option still count
    if not vocabulary["text_alone"]:
        del vocabulary["text_alone"]
    return {"vocabulary": vocabulary}


def write_run(
    directory: Path, config: TrainConfig, mixture: Mixture, data: Path, foundation: dict[str, Any] | None = None
) -> Run:
    """Make the directory and write its `config.json`; from then on it is a run."""
    made = Run(directory, config, mixture.layouts, str(Path(data).absolute()), mixture.episodes, foundation)
    _write(made, mixture.notices)
    if all(is_trusted(source.task) for source in config.sources):
        remember(directory)
    return read_run(directory)


def _write(run: Run, notices: Sequence[str]) -> None:
    """Make a run's directory, with its `config.json` and its copies of the text model and the visual tokenizer."""
    directory, config = run.directory, run.config
    directory.mkdir(parents=True, exist_ok=True)
    text = make_text_tokenizer(config.text)
    if isinstance(text, SentencePieceTokenizer | JsonTokenizer):
        write_atomically(directory / TEXT_MODEL, text.model)
    if config.visual:
        write_visual(directory / VISUAL, read_visual(config.visual))
    copied = [TEXT_MODEL] * bool(config.text.model) + [VISUAL] * bool(config.visual)
    stored = {
        "schema": SCHEMA,
        "config": cattrs.unstructure(config),
        "layouts": {task: layout_to_json(layout) for task, layout in run.layouts.items()},
        "data": run.data,
        "episodes": run.episodes,
        "notices": [*notices],
        "foundation": run.foundation,
        "versions": {name: version(name) for name in PACKAGES},
        "files": {name: file_entry(directory / name) for name in copied},
    }
    write_json(directory / "config.json", stored)


def write_merged(directory: Path, run: Run, network: Any, step: int) -> None:
    """Write `run` to another directory, with one checkpoint, of a network alone.

    Its tasks are what a file says, so that it is not noted as made here: see `generalist.train.made_here`.
    """
    made = replace(run, directory=directory)
    _write(made, ())
    with made.open_checkpoints(writes=True) as checkpoints:
        checkpoints.save_agent(step, network)


def measured_alike(run: Run, directory: Path) -> None:
    """Copy to another run's directory how this one's experiment wants to be measured, where it says so."""
    with suppress(FileNotFoundError):
        shutil.copyfile(run.directory / EVALUATION, directory / EVALUATION)


def rewrite_steps(directory: Path, steps: int) -> None:
    """Change the number of updates in a run's `config.json`, whole or not at all."""
    path, ours = directory / "config.json", is_made_here(directory)
    stored = read_json(path, "", REPAIR)
    stored["config"]["steps"] = steps
    write_json(path, stored)
    if ours:
        remember(directory)


def read_run(directory: str | os.PathLike[str]) -> Run:
    """Read a run directory, or an exported folder: its place as `generalist.train.places` has it.

    Raises:
        FileNotFoundError: it holds no run.
        ValueError: it was written by another schema or vocabulary version, or is damaged.
    """
    directory = directory_of(directory)
    path = directory / "config.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{directory} is not a run directory: it has no config.json; train one with generalist train"
        )
    if is_exported(directory):
        check_small(directory)
    stored = read_json(path, "", REPAIR)
    if is_public(stored):
        return _public_run(directory)
    exported = exported_from(directory, stored) if isinstance(stored, dict) else None
    if exported is None:
        return _run_from(directory, stored)
    with told_of(directory):
        return _run_from(directory, stored, exported)


def _public_run(directory: Path) -> Run:
    """A public language model as a run that was trained on texts. Raises ValueError as `open_public`."""
    model = open_public(directory)
    text = TextConfig(tokenizer="json", model=str(directory))
    if (there := make_text_tokenizer(text).size) > model.vocabulary:
        raise ValueError(
            f"{directory}: the tokenizer has {there} ids and the token table {model.vocabulary} rows: they are of two "
            "models"
        )
    config = TrainConfig(
        documents=(DocumentsConfig(corpus=PUBLIC, pictures_per_row=0),),
        agent=model.config,
        vocabulary=Vocabulary(text_size=model.vocabulary, text_alone=True),
        text=text,
        sequence_length=min(model.config.window, TrainConfig.sequence_length),
    )
    return Run(directory, config, {}, DATA, {}, public=model)


def _run_from(directory: Path, stored: dict[str, Any], exported: Exported | None = None) -> Run:
    if stored.get("schema") != SCHEMA:
        said = f"{directory / 'config.json'} has schema {stored.get('schema')}"
        raise CheckpointError(f"{said}, this version of generalist reads {SCHEMA}")
    vocabulary = stored["config"]["vocabulary"]["version"]
    if vocabulary != VERSION:
        raise CheckpointError(
            f"{directory} was trained with vocabulary version {vocabulary}, this version of generalist has {VERSION}: "
            "its token ids mean something else; train again, or use the generalist that wrote it"
        )
    for name, wanted in stored.get("files", {}).items():
        try:
            check_file(directory, name, wanted)
        except ValueError as problem:
            said = f"{problem}: restore it from a copy; without it the run's tokens mean nothing"
            raise CheckpointError(said) from None
    config = stored_config(stored["config"])
    if exported:
        check_sizes(directory, config, stored["layouts"])
        if config.text.model and not (directory / TEXT_MODEL).is_file():
            raise ValueError(f"{TEXT_MODEL} is missing")
        if config.visual and not (directory / VISUAL).is_file():
            raise ValueError(f"{VISUAL} is missing")
        # The mesh is that of whoever loads it.
        config = replace(config, mesh=MeshConfig(cpu_devices=min(config.mesh.cpu_devices, os.cpu_count() or 1)))
    own = _own_files(directory, config)
    layouts = {
        source.task: layout_from_json(stored["layouts"][source.task], own, source.layout) for source in config.sources
    }
    if exported:
        check_layouts(config, layouts)
    sources = tuple(replace(source, layout=layouts[source.task].options) for source in config.sources)
    own, episodes = replace(config, sources=sources), stored.get("episodes", {})
    data, foundation = stored["data"], stored.get("foundation")
    if exported:
        data, episodes = DATA, {str(task): int(count) for task, count in episodes.items()}
        began = foundation is None or foundation.get("parameters") is not False
        foundation = foundation and {"run": str(foundation["run"]), "step": foundation["step"], "parameters": began}
    return Run(directory, own, layouts, data, episodes, foundation, exported)


def stored_config(stored: dict[str, Any]) -> TrainConfig:
    """The configuration of a run, of any version."""
    return config_from_json({"held_out": 0.0} | stored)  # 0.1.0 held nothing out and had no such field


def config_from_json(stored: dict[str, Any]) -> TrainConfig:
    """A configuration from plain JSON; unknown fields are refused by name."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    try:
        return converter.structure(stored, TrainConfig)
    except cattrs.BaseValidationError as error:
        raise ValueError("not a training configuration: " + "; ".join(cattrs.transform_error(error))) from error
