"""What joint training gains or costs: scores of runs on parts of a mixture, beside those of the run on all of it."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from generalist.envs.files import read_json
from generalist.train.exported_files import is_exported
from generalist.train.places import directory_of
from generalist.train.run import read_run


def read_report(run: str | os.PathLike[str]) -> dict[str, Any]:
    """The report.json of a run that was evaluated; of an export, what was measured here.

    Raises:
        FileNotFoundError: it was not, with the command that does. ValueError: the report is damaged.
    """
    folder = directory_of(run)
    path = (read_run(folder).report_folder if is_exported(folder) else folder) / "report.json"
    if not path.exists():
        raise FileNotFoundError(f"{run} has no report.json; evaluate it first: generalist eval {run}")
    return read_json(path, "", f"restore it from a copy, or evaluate it again: generalist eval {run}")


def beside(corpora: Sequence[dict[str, Any]], others: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The corpora's entries, each score with `alone`: the agent's of the other run on the same documents, and its name.

    Entries of other documents are no comparison and are left out.
    """
    known = {
        (entry["corpus"], entry["split"], tuple(entry["numbers"]), score["name"]): (other["name"], score["agent"])
        for other in others
        for entry in other.get("corpora", ())
        for score in entry["scores"]
    }

    def joined(entry: dict[str, Any], score: dict[str, Any]) -> dict[str, Any]:
        found = known.get((entry["corpus"], entry["split"], tuple(entry["numbers"]), score["name"]))
        return score | {"alone": found[1] | {"run": found[0]}} if found and found[1] else score

    return [entry | {"scores": [joined(entry, score) for score in entry["scores"]]} for entry in corpora]


def control_alone(others: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Of the other runs that play tasks: name, and the aggregate over all tasks and per family."""
    return tuple(
        {"run": other["name"], "overall": other["overall"], "families": other["families"]}
        for other in others
        if other["tasks"]
    )
