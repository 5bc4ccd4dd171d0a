"""The lines of a shell that make a run again, for the model card of its export."""

from collections.abc import Mapping
from typing import Any

import cattrs

from generalist.configs.presets import PRESETS, load_preset
from generalist.envs.table import task_in_file
from generalist.train.config import TrainConfig
from generalist.train.export import public_config
from generalist.train.run import Run
from generalist.train.sources import make_text_tokenizer


def commands_of(run: Run, foundation: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Lines of a shell that make the run again, by the preset that it differs least from; none where it differs in more
    than the command line changes.
    """
    if foundation is not None:
        return ()
    own = _compared(run.config, run.own_files)
    found: dict[str, dict[str, Any]] = {}
    for name in PRESETS:
        try:
            preset = load_preset(name).train
            changes = _changes(_compared(preset, preset), own)
        except (ImportError, ValueError):  # of tasks whose package is not installed
            continue
        if changes is not None:
            found[name] = changes
    if not found:
        return ()
    name = min(found, key=lambda each: len(found[each]))
    flags = "".join(f" {_flag(path, value)}" for path, value in found[name].items())
    return (*_collected(run), f"generalist train {name}{flags} --out runs/{name}")


def _collected(run: Run) -> list[str]:
    """Commands that record as many demonstrations of each task as there were: one for each number."""
    groups: dict[str, list[str]] = {}
    for source in run.config.sources:
        count = run.episodes.get(source.task)
        usual = count is None or count == _usual(source.task)
        groups.setdefault("" if usual else f" --episodes {count}", []).append(f"--task {source.task}")
    return [f"generalist collect {' '.join(tasks)}{episodes} --out data" for episodes, tasks in groups.items()]


def _usual(task: str) -> int | None:
    try:
        return task_in_file(task).episodes
    except ValueError:  # of a module that is not imported here
        return None


def _compared(config: TrainConfig, own: TrainConfig) -> dict[str, Any]:
    """A configuration as it is compared: without paths, a text model by its contents.

    Args:
        own: the same, where its text model is.
    """
    stored = cattrs.unstructure(public_config(config))
    if config.text.model:
        stored["text"]["model"] = make_text_tokenizer(own.text).version
    return stored


def _flag(path: str, value: Any) -> str:
    *outer, name = path.replace("_", "-").split(".")
    if isinstance(value, bool):
        return "--" + ".".join(["train", *outer, name if value else f"no-{name}"])
    return f"--{'.'.join(['train', *outer, name])} {value}"


def _changes(preset: Any, config: Any, path: str = "") -> dict[str, Any] | None:
    """Numbers and words in which a configuration differs from a preset, by path; None where more differs."""
    if isinstance(preset, dict):
        found: dict[str, Any] = {}
        for key, value in preset.items():
            inner = _changes(value, config[key], f"{path}.{key}".lstrip("."))
            if inner is None:
                return None
            found |= inner
        return found
    if preset == config:
        return {}
    plain_values = all(isinstance(each, int | float | str) for each in (preset, config))
    return {path: config} if plain_values and not path.startswith(("sources", "documents", "text.model")) else None
