"""A run as a folder to give away (parameters, configuration, scores, a model card), or a task's policy in one file."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cattrs

from generalist.configs.card_commands import commands_of
from generalist.envs.table import find_task
from generalist.eval.config import evaluation_of
from generalist.eval.evaluate import decode_of
from generalist.eval.report.card import CardFacts, write_card
from generalist.eval.report.record import load_report, plain
from generalist.play.agent import Agent
from generalist.train.checkpoint import Which
from generalist.train.config import TrainConfig
from generalist.train.export import check_target, prepared, public_config, without_paths, write_export
from generalist.train.metrics import read_metrics
from generalist.train.run import Run, read_run, stored_config

LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}")


def export(
    run: str | os.PathLike[str],
    to: str | os.PathLike[str],
    *,
    step: Which = None,
    report: str | os.PathLike[str] | None = None,
    licence: str = "apache-2.0",
    command: str | None = None,
    overwrite: bool = False,
) -> Run:
    """Write one checkpoint of a run as a folder that can be given away; nothing in it can be executed.

    It has `model.safetensors`, `config.json`, `README.md` (a model card), and where they are there `scores.json`,
    `evaluation.json` and the text tokenizer. `load` and everything else that takes a run takes the folder.

    Args:
        run: a run directory, or the `Run` that `fit` gives.
        to: the folder; the export is called as its last part.
        step: the checkpoint of this update, or "best"; the newest by default.
        report: the report.json of its evaluation; that of the run by default, if it is of this checkpoint.
        licence: of the weights, an identifier of the Hugging Face Hub.
        command: what made the run, for the card; by default what is known of it.
        overwrite: replace the export that is there.

    Returns:
        The export, as `load` and others take it.

    Raises:
        FileNotFoundError: no run there, or no report.
        FileExistsError: the folder is there.
        ValueError: the run is an export already; a report of something else; no name, no licence.
        CheckpointError: as `load`.
        WritingError: the folder cannot be written; nothing is left of it.

    Example:
        >>> import generalist
        >>> generalist.export("runs/smoke", "smoke-agent")
        Run('smoke-agent')
        >>> generalist.load("smoke-agent").tasks
        ('CartPole-v1', 'FrozenLake8x8-v1')
    """
    own, folder = read_run(run), Path(to)
    if not LICENCE.fullmatch(licence):
        raise ValueError(
            f"{licence!r} is no identifier of a licence on the Hugging Face Hub, such as apache-2.0 or mit"
        )
    check_target(folder, overwrite=overwrite)
    found = prepared(own, folder.absolute().name, step)
    scores = _scores(own, found.exported.step, report)
    if scores is not None:
        scores = _public(scores, own, found.exported.name)
    lines = [line for line in read_metrics(own.directory / "metrics.jsonl") if line["step"] <= found.exported.step]
    facts = CardFacts(
        name=found.exported.name,
        step=found.exported.step,
        parameters=sum(value.size for value in found.parameters.values()),
        licence=licence,
        tokens=sum(line["tokens"] for line in lines) if lines else None,
        seconds=sum(line["seconds"] for line in lines) if lines else None,
        foundation=(found.foundation or {}).get("run"),
        from_scratch=not (found.foundation or {}).get("parameters", True),
        commands=(command,) if command else commands_of(own, found.foundation),
    )
    card = write_card(found.run, facts, scores)
    return write_export(found, folder, card=card, scores=scores, overwrite=overwrite)


def export_policy(
    run: str | os.PathLike[str],
    to: str | os.PathLike[str],
    task: str | None = None,
    *,
    step: Which = None,
    overwrite: bool = False,
) -> int:
    """Write the policy of one task as a file that plays without this package, see `Agent.export_policy`.

    Args:
        task: whose policy; that of a run of one task by default.

    Returns:
        The bytes of the file.

    Raises:
        FileNotFoundError: no run there.
        FileExistsError: the file is there.
        ValueError: no such task, or its policy cannot stand alone; several tasks and none is chosen.
        CheckpointError: as `load`.
        WritingError: it cannot be written; nothing is left of it.
    """
    if Path(to).exists() and not overwrite:
        raise FileExistsError(f"{to} is there already; choose another name, or replace it (--overwrite)")
    agent = Agent.load(run, step=step)
    if task is None and len(agent.tasks) != 1:
        raise ValueError(f"{run} was trained on {len(agent.tasks)} tasks: choose one of them with --task")
    chosen = find_task(task or agent.tasks[0])
    evaluation = evaluation_of(agent.run.directory)
    if evaluation.prompts and agent.layout(chosen)[0].options.context is None:
        raise ValueError(
            f"{chosen.id}: this agent is evaluated with prompts, which an exported policy does not show; "
            "Agent.export_policy writes it as it acts without"
        )
    decode = decode_of(evaluation, chosen)
    return agent.with_decode(decode).export_policy(chosen.id, to)


def _scores(run: Run, step: int, report: str | os.PathLike[str] | None) -> dict[str, Any] | None:
    """The report of this checkpoint on the evaluation seeds. Raises ValueError where one is named that is not."""
    path = Path(report) if report is not None else run.directory / "report.json"
    if report is None and not path.exists():
        return None
    found = load_report(path)
    made = found["configuration"]
    seeds = (made.get("evaluation") or {}).get("seeds")
    same = made.get("checkpoint") == step and _same(made.get("training"), run.config)
    if same and seeds == "evaluation":
        return found
    if report is not None and same:
        raise ValueError(
            f"{path} was measured on seeds of {seeds!r}, on which settings are chosen; a card needs those of "
            "'evaluation': evaluate with --seeds evaluation, or leave out --report"
        )
    if report is not None:
        raise ValueError(
            f"{path} is of {found['name']!r} at update {made.get('checkpoint')}, not of {run.directory} at update "
            f"{step}: evaluate that one, or leave out --report"
        )
    return None


def _same(stored: Any, config: TrainConfig) -> bool:
    """Whether a report is of this configuration; what an earlier version did not have yet is as it is by default."""
    try:
        return stored_config(stored) == config
    except (ValueError, TypeError):
        return False


def _public(scores: Mapping[str, Any], run: Run, name: str) -> dict[str, Any]:
    """The report without paths of this machine, and without the course of training of each task, half of the file."""
    public = public_config(run.config)
    config = plain(cattrs.unstructure(public))
    both = zip(run.config.documents, public.documents, strict=True)
    corpora = {own.corpus: shown.corpus for own, shown in both}
    named = without_paths(dict(scores), lambda text: corpora.get(text, text))
    failed = [{key: value for key, value in each.items() if key != "error"} for each in named.get("failed", ())]
    course = named.get("training", {})
    return {
        **named,
        "name": name,
        "configuration": {**named["configuration"], "training": config},
        "training": {key: values for key, values in course.items() if key not in ("sources", "held_out")},
        **({"failed": failed} if failed else {}),
    }
