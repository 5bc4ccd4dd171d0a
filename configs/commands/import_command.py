"""The command `generalist import`: public data sets to our demonstrations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from generalist.configs.commands.terminal import console, print_notice, table

if TYPE_CHECKING:
    from generalist.demonstrations.public.form import Form
    from generalist.demonstrations.public.reader import PublicData

Flag = tyro.conf.FlagCreatePairsOff[bool]
MOST_REASONS = 20
"""Bad episodes that have a line of their own."""


@dataclass(frozen=True, kw_only=True)
class Import:
    """Import a public data set that is on this disk as demonstrations: rlds:, minari:, jat: or lerobot:.

    The same command again goes on where an earlier one was stopped. Nothing is downloaded.
    """

    source: tyro.conf.Positional[str]
    """rlds:PATH, minari:PATH_OR_ID, jat:PATH or lerobot:PATH; PATH is the folder of one data set."""
    out: Path = Path("data")
    """Folder of the data sets, one for each task."""
    task: str | None = None
    """Id of the task that the data is of; default: what the catalogue says, else the data set's name."""
    told: str = ""
    """Import only the episodes of rlds: or lerobot: in which the robot was told this, whatever the capitals and the
    punctuation."""
    suite: str = ""
    """Suite of LIBERO, such as libero_object: import every episode into the task of the suite that its instruction
    names, one data set for each. The data must be of that suite, as others have tasks with the same instruction."""
    episodes: int | None = None
    """Import this many, from the beginning, of each task; default: all."""
    split: str = "train"
    """Split of an RLDS or JAT data set."""
    actions: int = 0
    """Number of discrete actions, where neither the catalogue nor the task says it."""
    observation: tuple[str, ...] = ()
    """KEY=PATH ...: what the observation is made of, our key and the path in the data; default: the format's rule."""
    action: str = ""
    """Path of the action in the data; default: the format's rule."""
    instruction: str = ""
    """Path of the text that says what to do; default: the format's rule."""
    last_action_taken: bool | None = None
    """True or False: the last step of an RLDS episode was taken, or holds the final observation only; default: the
    data decides."""
    skip_bad: Flag = False
    """Pass over episodes that are damaged, empty or do not fit, and say which and why; default: the first one ends the
    import."""
    overwrite: Flag = False
    """Delete the task's data set in that folder first."""

    def __call__(self) -> None:
        from generalist.demonstrations.public.convert import open_source
        from generalist.demonstrations.public.form import Form, pairs
        from generalist.demonstrations.public.libero import as_seen_by
        from generalist.demonstrations.public.told import of_suite, told

        if self.suite and (self.task or self.told):
            raise ValueError("--suite takes task and instruction from the data: leave --task and --told away")
        form = Form(
            observation=pairs(self.observation),
            action=self.action,
            instruction=self.instruction,
            last_action_taken=self.last_action_taken,
        )
        source = open_source(self.source, task=self.task, split=self.split, form=form)
        source = as_seen_by(source, self.suite or self.task or "")
        sources, passed_over = [told(source, self.told) if self.told else source], list[str]()
        if self.suite:
            sources, passed_over = of_suite(source, self.suite)
        for notice in filter(None, (*source.notices, source.note, *passed_over)):
            print_notice(f"{source.name}: {notice}")
        rows = [self._import(each, form) for each in sources]
        if rows:
            console().print(table(rows))

    def _import(self, source: PublicData, form: Form) -> dict[str, Any]:
        """One data set of one task; its row of the table."""
        from generalist.demonstrations.public.convert import import_data, in_task_spaces, with_actions

        if self.actions:
            source = with_actions(source, self.actions)
        source, differs = in_task_spaces(source)
        if differs:
            print_notice(f"{source.name}: {differs}")
        summary = import_data(
            source,
            self.out,
            episodes=self.episodes,
            overwrite=self.overwrite,
            skip_bad=self.skip_bad,
            form=form,
            actions=self.actions,
        )
        for notice in filter(None, (summary.notice, *_passed_over(summary.skipped))):
            print_notice(f"{source.name}: {notice}")
        return {
            "task": summary.task_id,
            "source": summary.source,
            "episodes": summary.episodes,
            "kept": summary.kept,
            **({"passed over": len(summary.skipped)} if summary.skipped else {}),
            "steps": summary.steps,
            "MB": summary.size / 1e6,
            "return": summary.mean_return,
            "std": summary.std_return,
        }


def _passed_over(skipped: dict[int, str]) -> list[str]:
    """A line for each of the first bad episodes, and one for the others, whose reasons are in collection.json."""
    if not skipped:
        return []
    lines = [f"episode {number} is passed over: {skipped[number]}" for number in sorted(skipped)[:MOST_REASONS]]
    others = ", ".join(map(str, sorted(skipped)[MOST_REASONS:]))
    return [*lines, *([f"passed over too, with reasons in collection.json: episodes {others}"] if others else [])]
