"""The console script `generalist`: names of commands to what they do.

Each command is a dataclass of its options that does the job when it is called; its docstrings are the help. Heavy
packages are imported inside the commands, so that help and errors are quick.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro

from generalist.configs.commands.adapt_command import Adapt
from generalist.configs.commands.adapter_command import Adapter
from generalist.configs.commands.arguments import parse
from generalist.configs.commands.compare_command import Compare
from generalist.configs.commands.doctor_command import Doctor
from generalist.configs.commands.errors import run
from generalist.configs.commands.expert_command import TrainExpert
from generalist.configs.commands.export_command import Export, Push
from generalist.configs.commands.imagine_command import Imagine
from generalist.configs.commands.import_command import Import
from generalist.configs.commands.language_commands import Caption, Chat, Draw, Generate
from generalist.configs.commands.layout_option import Choices, with_choices
from generalist.configs.commands.serve_command import Serve
from generalist.configs.commands.study_commands import STUDIES
from generalist.configs.commands.task_commands import Collect, Flag, MeasureReference, Sets, TaskIds, Tasks, with_sets
from generalist.configs.commands.terminal import (
    console,
    open_closed_streams,
    print_at_once,
    print_notice,
    show_warnings_as_lines,
    table,
)
from generalist.configs.commands.tokenizer_command import TrainTokenizer
from generalist.configs.commands.trusted import without_trust
from generalist.configs.commands.view_command import View
from generalist.configs.presets import PRESETS, load_preset
from generalist.envs.files import allow_more_files
from generalist.envs.names import nearest

FORMS = "a run directory, or an export: its folder, pretrained:NAME or hf:USER/NAME[@REVISION]"
"""What a run may be given as."""
Config = TypeVar("Config")
Corpora = tyro.conf.UseAppendAction[tuple[str, ...]]
Runs = tyro.conf.UseAppendAction[tuple[Path, ...]]


@dataclass(frozen=True, kw_only=True)
class Train(Generic[Config]):
    """Train one transformer on the demonstrations of its tasks; then `generalist eval` measures it."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    out: Path | None = None
    """Run directory; default: runs/CONFIG."""
    data: Path = Path("data")
    """Folder of the demonstrations."""
    task: TaskIds = ()
    """Train on these tasks instead of the config's; give it again for more. Ids as for `generalist collect`; tasks that
    the config does not name take the layout of its first (--train.sources.0.layout...)."""
    sets: Sets = ()
    """Train on all tasks of this named set; give it again for more."""
    corpus: Corpora = ()
    """Train on these corpora instead of the config's; give it again for more: text:PATH, images:PATH, webdataset:PATH,
    chat:PATH, tfds:NAME, reasoning:NAME, or docstrings, digits, reasoning, scenes/captions, scenes/questions,
    scenes/dialogue."""
    layout: Choices = ()
    """One choice in the layout of every task, as NAME=VALUE (context=4, past-actions=shown); give it again for more.
    Names as in --train.sources.0.layout."""
    resume: Flag = False
    """Go on from the newest checkpoint of the run directory; with more --train.steps, also after the run's end."""
    overwrite: Flag = False
    """Delete what the run directory holds."""
    weights: Path | None = None
    """Another run whose parameters to start from (its directory, or an export: its folder, pretrained:NAME or
    hf:USER/NAME[@REVISION]): task embeddings by task, tables by what their rows mean; its statistics of observations
    come along."""
    allow: TaskIds = ()
    """With --weights: what may be new here or left over there: tokens, local, source (tasks), patch, vector, image;
    give it again for more."""
    foundation: Path | None = None
    """A public language model to start from (its folder, or hf:USER/NAME): trunk, words and tokenizer are its own."""
    profile: int = 0
    """Trace this many updates for TensorBoard or Perfetto into the run directory's profile/."""
    workers: int | None = None
    """Processes that make batches; 0 is a thread of the training itself. The batches are the same. Default: none on a
    CPU, one for each core but one beside an accelerator."""
    track: TaskIds = ()
    """Send the metrics to this service too, wandb or mlflow, which must be installed; give it again for more."""
    coordinator: str | None = None
    """HOST:PORT of process 0, where several processes train together and the cluster does not say who they are."""
    processes: int | None = None
    """Number of processes that train together; Slurm, Open MPI and GKE's TPU slices say it themselves."""
    process: int | None = None
    """Number of this process, from 0; with --coordinator and --processes."""

    def __call__(self, preset: str) -> None:
        print_notice(f"training {preset} on {self.data}: loading")  # what follows takes seconds until it can say more
        from generalist.configs.fit import fit
        from generalist.train.foundation import Weights
        from generalist.train.processes import Processes

        if self.allow and self.weights is None:
            raise ValueError("--allow says what of --weights RUN may differ: give that too")
        weights = Weights(run=self.weights, allow=self.allow) if self.weights else None
        fit(
            with_choices(self.config, self.layout, f"generalist train {preset}"),  # pyright: ignore[reportArgumentType]
            data=self.data,
            out=self.out or Path("runs") / preset,
            tasks=with_sets(self.task, self.sets),
            corpora=self.corpus,
            resume=self.resume,
            overwrite=self.overwrite,
            weights=weights,
            foundation=self.foundation,
            profile=self.profile,
            workers=self.workers,
            track=self.track,
            processes=Processes(coordinator=self.coordinator, count=self.processes, index=self.process),
        )


@dataclass(frozen=True, kw_only=True)
class Describe(Generic[Config]):
    """Print parameters, tokens per timestep, padding and memory per device of a config or run, without allocating.

    Where only a part is trained (--train.trainable.how), also what that saves of gradients and optimizer state.
    """

    config: Annotated[Config, tyro.conf.arg(name="")]
    data: Path = Path("data")
    """Folder of demonstrations; tasks that have some there are measured on them."""
    task: TaskIds = ()
    """Describe training on these tasks instead of the config's; give it again for more."""
    sets: Sets = ()
    """All tasks of this named set; give it again for more."""
    corpus: Corpora = ()
    """These corpora instead of the config's; give it again for more."""
    layout: Choices = ()
    """One choice in the layout of every task, as NAME=VALUE; give it again for more."""
    mesh: tuple[int, int, int] | None = None
    """Devices along data, fsdp and tensor, which need not be here; default: the config's mesh on this machine's."""
    compile: Flag = False
    """Compile the update for that mesh, of parts of the CPU if need be, and compare the memory the compiler gives."""
    topology: str = ""
    """Compile it for accelerators that are not here, such as v5e:4x4, v5p:4x4x4 or h100:1x1x8 (extra aot): memory, what
    the chips exchange, and how fast it can be at most."""
    foundation: Path | None = None
    """Describe training that starts from this public language model, as for `generalist train`."""
    json: Flag = False
    """Print JSON instead of tables."""

    def __call__(self, preset: str) -> None:
        from generalist.configs.commands import launch

        shown = {"tasks": with_sets(self.task, self.sets), "corpora": self.corpus, "data": self.data}
        options = {"mesh": self.mesh, "compiled": self.compile, "topology": self.topology, "json": self.json}
        options["foundation"] = self.foundation
        config = with_choices(self.config, self.layout, f"generalist describe {preset}")  # pyright: ignore[reportArgumentType]
        launch.describe(config, name=preset, **shown, **options)


@dataclass(frozen=True, kw_only=True)
class Eval(Generic[Config]):
    """Roll a trained agent out on its tasks, beside the baselines, and write report.json and report.html.

    Imported tasks without an environment are measured on their held-out episodes.
    """

    config: Annotated[Config, tyro.conf.arg(name="")]
    task: TaskIds = ()
    """Evaluate these tasks instead of the run's; give it again for more."""
    sets: Sets = ()
    """Evaluate all tasks of this named set; give it again for more."""
    data: Path | None = None
    """Folder of the demonstrations, for prompts and fitted baselines; default: where training read them."""
    out: Path | None = None
    """Folder of the report and of finished parts; default: the run directory; of an export runs/NAME-eval."""
    step: int | Literal["best"] | None = None
    """Evaluate the checkpoint of this update, or the best: the one of lowest loss on what is held out (on the training
    data where a run holds nothing out); default: the newest."""
    alone: Runs = ()
    """A run on a part of this one's mixture, already evaluated, to stand beside it; give it again for more."""
    offline: Flag = False
    """Play nothing: measure the errors of its actions on held-out demonstrations, as is done for every task that no
    environment plays."""
    ray: str = ""
    """Play on a Ray cluster: its HOST:PORT, `auto` for the one of this machine, `local` to start one here."""

    def __call__(self, run: str) -> None:
        print_notice(f"evaluating {run}: loading")
        from generalist.configs.commands import launch

        where = {"data": self.data, "out": self.out, "step": self.step, "ray": self.ray, "alone": self.alone}
        where["offline"] = self.offline
        tasks = with_sets(self.task, self.sets)
        launch.evaluate(run, self.config, tasks=tasks, **where)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, kw_only=True)
class Quickstart:
    """Collect, train, evaluate and write the report. The same command again goes on where it was stopped."""

    out: Path = Path("quickstart")
    """Folder of the data, the run directory and the report."""
    seed: int = 0
    """Seed of the demonstrations and of the training."""

    def __call__(self) -> None:
        print_notice(f"quickstart in {self.out}: loading")
        from generalist.configs.commands import launch

        launch.quickstart(self.out, seed=self.seed)


COMMANDS: dict[str, Any] = {
    "tasks": Tasks,
    "reference": MeasureReference,
    "collect": Collect,
    "expert": TrainExpert,
    "import": Import,
    "export": Export,
    "push": Push,
    "view": View,
    "train": Train,
    "eval": Eval,
    "adapt": Adapt,
    "adapter": Adapter,
    "compare": Compare,
    "quickstart": Quickstart,
    "describe": Describe,
    **STUDIES,
    "generate": Generate,
    "caption": Caption,
    "draw": Draw,
    "imagine": Imagine,
    "chat": Chat,
    "serve": Serve,
    "doctor": Doctor,
    "tokenizer": TrainTokenizer,
}
GROUPS = {name.split()[0] for name in COMMANDS if " " in name}
"""First words of commands that have two."""
HELP = ("-h", "--help")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console script; gives the exit code (see `generalist.configs.commands.errors.run`)."""
    open_closed_streams()
    print_at_once()
    show_warnings_as_lines()
    allow_more_files()
    return run(dispatch, sys.argv[1:] if argv is None else argv)


def dispatch(argv: list[str]) -> None:
    """Find the command, read its options and run it.

    Raises:
        ValueError: no command, or an unknown command, preset or option, with the nearest names.
    """
    argv = without_trust(argv)
    name = argv[0] if argv else ""
    if name in GROUPS:
        name, argv = _of_group(argv)
    if name in HELP:
        _print_overview()
    elif name == "--version":
        print(version("generalist"))
    elif name not in COMMANDS:
        said = f"unknown command {name!r}" if name else "a command is missing"
        raise ValueError(f"{said}: {nearest(name, COMMANDS)}; see `generalist --help`")
    elif name in STARTING_POINTS:
        _run_from_its_starting_point(name, argv[1:])
    else:
        parse(COMMANDS[name], argv[1:], prog=f"generalist {name}")()


def load_evaluation(run: str) -> Any:
    """The evaluation settings that a run or an export holds."""
    from generalist.eval.config import evaluation_of
    from generalist.train.places import directory_of

    return evaluation_of(directory_of(run))


def load_described(name: str) -> Any:
    """The experiment that is described: a named one, or the training of a run or an export."""
    from generalist.train.places import directory_of, named

    if name in PRESETS or not (named(name)[0] or (Path(name) / "config.json").exists()):
        return load_preset(name)
    from generalist.configs.experiment import Experiment
    from generalist.train.run import read_run

    return Experiment(train=read_run(directory_of(name)).own_files)


STARTING_POINTS = {
    "train": ("CONFIG", load_preset),
    "describe": ("CONFIG", load_described),
    "eval": ("RUN", load_evaluation),
    "study scale": ("CONFIG", load_preset),
}
"""Commands whose first argument names the config that their options then override."""


def _run_from_its_starting_point(name: str, args: list[str]) -> None:
    command = COMMANDS[name]
    metavar, load = STARTING_POINTS[name]
    meaning = "CONFIG is one of " + ", ".join(PRESETS) if metavar == "CONFIG" else f"RUN is {FORMS}"
    meaning += f", or {FORMS}" * (name == "describe")
    if args[:1] and args[0] in HELP:
        usage = f"usage: generalist {name} {metavar} [OPTIONS]\n\n{command.__doc__}\n\n{meaning}."
        console().print(f"{usage} All options: generalist {name} {metavar} --help", markup=False)
        return
    if not args or args[0].startswith("-"):
        raise ValueError(f"`generalist {name}` needs {metavar} as its first argument; {meaning}")
    config = load(args[0])
    prog = f"generalist {name} {args[0]}"
    parse(command[type(config)], args[1:], prog=prog, default=command(config=config))(args[0])


def _of_group(argv: list[str]) -> tuple[str, list[str]]:
    """The command of two words that the arguments begin with, and the arguments with it as the first.

    Raises:
        ValueError: the second word is missing.
        SystemExit: code 0, after `--help`.
    """
    several = [name for name in COMMANDS if name.split()[0] == argv[0]]
    if not argv[1:] or (argv[1].startswith("-") and argv[1] not in HELP):
        second = ", ".join(name.split()[1] for name in several)
        raise ValueError(f"`generalist {argv[0]}` needs one of {second} after it; see `generalist {argv[0]} --help`")
    if argv[1] in HELP:
        _print_overview(several)
        raise SystemExit(0)
    name = " ".join(argv[:2])
    return name, [name, *argv[2:]]


def _print_overview(names: Iterable[str] = COMMANDS) -> None:
    rows = [{"command": name, "what it does": COMMANDS[name].__doc__.split("\n")[0]} for name in names]
    out = console()
    out.print("usage: generalist COMMAND [OPTIONS]\n", markup=False)
    out.print(table(rows))
    out.print(
        "\n`generalist COMMAND --help` lists its options; --debug adds the traceback to an error; --trust MODULE lets "
        "a data set or a run name a module of environments that is imported.",
        markup=False,
    )
