"""The command `generalist adapter`: what a run has trained as a small file, and such a file merged into a new run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from generalist.configs.commands.terminal import console, print_notice


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """Export what a run has trained of a foundation to a small file; merge such a file and its foundation into a run.

    `generalist adapter export RUN --out FILE` and `generalist adapter merge FOUNDATION FILE --out RUN`.
    """

    action: tyro.conf.Positional[Literal["export", "merge"]]
    """What to do."""
    paths: tyro.conf.Positional[tuple[Path, ...]]
    """export: a run that trained a part of its network. merge: the run that was adapted, and the file. A run is a
    directory, or an export: its folder, pretrained:NAME or hf:USER/NAME[@REVISION]."""
    out: Path
    """export: the file to write (.safetensors); an older one is replaced. merge: the run directory to write, which must
    not be there."""
    step: int | Literal["best"] | None = None
    """The run's checkpoint of this update, or the best; default: the newest."""

    def __post_init__(self):
        needed = {"export": ("RUN",), "merge": ("FOUNDATION", "FILE")}[self.action]
        if len(self.paths) != len(needed):
            raise ValueError(
                f"give {' and '.join(needed)}: `generalist adapter {self.action} {' '.join(needed)} --out "
                f"{'FILE' if self.action == 'export' else 'RUN'}`; got {len(self.paths)} paths"
            )

    def __call__(self) -> None:
        print_notice(f"{self.action} of {' and '.join(map(str, self.paths))}: loading")
        out = console()
        if self.action == "export":
            from generalist.train.adapter import SHOWN, save_adapter

            said = save_adapter(self.paths[0], self.out, step=self.step)
            words = f"{self.out}: {self.out.stat().st_size:,} bytes, for the foundation {said['foundation'][:SHOWN]}"
            out.print(f"{words}; tasks: {', '.join(said['tasks'])}", markup=False, soft_wrap=True)
            return
        from generalist.train.adapter import merge_adapter

        foundation, file = self.paths
        run = merge_adapter(foundation, file, self.out, step=self.step)
        words = f"{run.directory}: a run of its own; tasks: {', '.join(run.layouts)}"
        out.print(words, markup=False, soft_wrap=True)
