"""The commands `generalist export` and `push`: a run as a folder to give away; demonstrations as a Minari data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from generalist.configs.commands.task_commands import Flag
from generalist.configs.commands.terminal import console, print_notice, table
from generalist.envs.names import nearest

TARGETS = ("minari",)
POLICY = ".stablehlo"
"""How the name of a policy in one file ends."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """Export a run as a folder that can be given away, or as a task's policy in one file, or demonstrations of a task.

    `generalist export RUN --to FOLDER` writes model.safetensors, config.json, README.md (a model card) and scores.json:
    nothing in it can be executed, and every command that takes a run takes the folder. `generalist export RUN --to
    FILE.stablehlo --task TASK` writes a policy that plays without this package. `generalist export TASK --to minari:ID`
    writes a task's demonstrations without loss, as a Minari data set.
    """

    what: tyro.conf.Positional[str]
    """A run directory; or the id of a task, whose demonstrations are exported."""
    to: str
    """A folder, whose last part is the export's name; a file that ends in .stablehlo; or minari:ID, such as
    minari:mine/babyai-go-to-obj-v0, which lands where Minari has its data sets."""
    task: str | None = None
    """Of a policy in one file: whose it is; default: that of a run of one task. It chooses as generalist eval does."""
    step: int | Literal["best"] | None = None
    """Of a run: the checkpoint of this update, or the best; default: the newest."""
    report: Path | None = None
    """Of a run: the report.json with its scores; default: that of the run directory, if it is of this checkpoint."""
    license: str = "apache-2.0"
    """Of a run: the licence of its weights, an identifier of the Hugging Face Hub."""
    command: str | None = None
    """Of a run: the command that made it, for the model card; default: what is known of it."""
    overwrite: Flag = False
    """Of a run: replace the export, or the file, that is there."""
    data: Path = Path("data")
    """Of a task: folder of the demonstrations."""
    format: str = "hdf5"
    """Of a task: hdf5, arrow or parquet."""

    def __call__(self) -> None:
        scheme, separator, id = self.to.partition(":")
        if separator and (scheme not in TARGETS or not id):
            raise ValueError(f"--to needs a folder or minari:ID, got {self.to!r}: {nearest(scheme, TARGETS)}")
        if separator:
            self._demonstrations(id)
        elif self.to.endswith(POLICY):
            self._policy()
        elif self.task is not None:
            raise ValueError(f"--task is of a policy in one file, whose name ends in {POLICY}; --to is {self.to}")
        else:
            self._run()

    def _policy(self) -> None:
        print_notice(f"exporting {self.what}: loading")
        from generalist.configs.export import export_policy

        size = export_policy(self.what, self.to, self.task, step=self.step, overwrite=self.overwrite)
        console().print(f"{self.to}: {size / 1e6:.1f} MB", markup=False, soft_wrap=True)

    def _run(self) -> None:
        print_notice(f"exporting {self.what}: loading")
        from generalist.configs.export import export
        from generalist.train.places import directory_of

        if not directory_of(self.what).is_dir():
            raise FileNotFoundError(
                f"there is no run directory {self.what}; demonstrations of a task are exported with --to minari:ID"
            )
        made = export(
            self.what,
            self.to,
            step=self.step,
            report=self.report,
            licence=self.license,
            command=self.command,
            overwrite=self.overwrite,
        )
        folder, scores = made.directory, (made.directory / "scores.json").exists()
        megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        step = made.exported.step if made.exported else 0
        said = f"{folder}: {megabytes:.1f} MB, update {step}, {len(made.layouts)} tasks"
        said += (
            ""
            if scores
            else "; no scores: no report of this checkpoint on the evaluation seeds (generalist eval, --report)"
        )
        console().print(said, markup=False, soft_wrap=True)

    def _demonstrations(self, id: str) -> None:
        from generalist.demonstrations.public.minari import export_minari
        from generalist.demonstrations.storage import Demonstrations, dataset_folder

        demonstrations = Demonstrations.open(dataset_folder(self.data, self.what))
        folder = export_minari(demonstrations, id, data_format=self.format)
        row = {
            "task": demonstrations.task_id,
            "data set": id,
            "episodes": len(demonstrations),
            "steps": int(demonstrations.lengths.sum()),
            "MB": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6,
            "return": float(demonstrations.returns.mean()),
            "folder": str(folder),
        }
        console().print(table([row]))


@dataclass(frozen=True, kw_only=True)
class Push:
    """Upload an exported folder to the Hugging Face Hub; `hf:USER/NAME` then names it. Needs the extra hub.

    Log in first (`hf auth login`, or HF_TOKEN). It was written by the library's documentation and not tried against the
    real Hub.
    """

    folder: tyro.conf.Positional[Path]
    """What `generalist export` wrote."""
    to: tyro.conf.Positional[str]
    """hf:USER/NAME, or hf:USER/NAME@BRANCH; it is made where it is not there."""
    private: Flag = False
    """Make it private, if it is made."""

    def __call__(self) -> None:
        print_notice(f"pushing {self.folder}: loading")
        from generalist.train.hub import SCHEME, push, repository_of
        from generalist.train.run import read_run
        from generalist.train.trained_network import trained_network

        scheme, _, name = self.to.partition(":")
        if scheme != SCHEME:
            raise ValueError(f"push needs {SCHEME}:USER/NAME as its target, got {self.to!r}")
        repository_of(name)
        run = read_run(self.folder)
        if run.exported is None:
            raise ValueError(
                f"{self.folder} is a run, not an export: generalist export {self.folder} --to FOLDER first"
            )
        trained_network(run)  # whole
        where = push(run.directory, name, private=self.private)
        console().print(f"{where}: load it as {self.to}", markup=False, soft_wrap=True)
