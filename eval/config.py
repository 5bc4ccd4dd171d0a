"""How a trained agent is measured, and what a run directory says about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from generalist.agent.config import DecodeConfig
from generalist.envs.files import read_json, write_json
from generalist.envs.names import nearest
from generalist.envs.seeds import evaluation_seed, selection_seed
from generalist.train.exported_files import check_small, is_exported

MOST = {"episodes": 100_000, "slots": 1024, "prompts": 100, "documents": 100_000, "selection_episodes": 1000}
MOST |= {"workers": 1024}
"""What stored settings may ask for: they may be those of an export, or of what was made from one."""
SPECIALISTS = ("mlp", "gru")
"""Policies that are measured when they are asked for; a report without them has no word of them."""
STORED = "evaluation.json"
"""Beside `config.json` in a run directory: how its experiment wants to be measured."""


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Settings of an evaluation; chosen on the selection seeds, never on the evaluation seeds.

    Args:
        episodes: per task and policy, on the evaluation seeds.
        slots: environments that the agent plays at once.
        decode: how actions are chosen.
        sampled: task ids or families whose actions are drawn instead, whatever `decode` says: an arm whose mean action
            keeps it where it is leaves that place by chance.
        likeliest: task ids or families whose continuous actions are the likeliest bin, whatever `decode.continuous`
            says: the mean of two ways around an obstacle leads into it.
        prompts: demonstrations shown before an episode, taken in turn from this many; 0 plays without a prompt.
        documents: test documents of each split of each corpus that the run was trained on; 0 measures none.
        corpora: which are measured, by name as `generalist.corpora.open` reads it; where none is named, those of
            training.
        selection_episodes: episodes per candidate on which the best constant action is chosen.
        specialists: which small networks of each task alone are trained and played beside it, "mlp" and "gru", see
            `generalist.eval.baselines.specialists`.
        films: record a short film per task.
        workers: processes for baselines and films; 0 uses all cores.
        seeds: evaluation seeds, or those on which settings are chosen.
    """

    episodes: int = 50
    slots: int = 25
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    sampled: tuple[str, ...] = ()
    likeliest: tuple[str, ...] = ()
    prompts: int = 0
    documents: int = 300
    corpora: tuple[str, ...] = ()
    selection_episodes: int = 4
    specialists: tuple[Literal["mlp", "gru"], ...] = ()
    films: bool = True
    workers: int = 0
    seeds: Literal["evaluation", "selection"] = "evaluation"

    def __post_init__(self):
        for name in ("episodes", "slots", "selection_episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"evaluation.{name} must be positive, got {getattr(self, name)}")
        if unknown := [name for name in self.specialists if name not in SPECIALISTS]:
            raise ValueError(f"evaluation.specialists has no {unknown[0]!r}: {nearest(unknown[0], SPECIALISTS)}")
        for name in ("prompts", "workers", "documents"):
            if getattr(self, name) < 0:
                raise ValueError(f"evaluation.{name} must not be negative, got {getattr(self, name)}")


def seeds_of(config: EvaluationConfig) -> list[int]:
    """The seeds on which everything of an evaluation is measured."""
    pick = evaluation_seed if config.seeds == "evaluation" else selection_seed
    # Constants are chosen on the first selection seeds, so settings are compared on those after them.
    first = config.selection_episodes if config.seeds == "selection" else 0
    return [pick(first + episode) for episode in range(config.episodes)]


def evaluation_of(run: Path) -> EvaluationConfig:
    """The evaluation settings stored in a run directory; the defaults if there are none."""
    import cattrs  # here, because every `--help` would wait for it

    if is_exported(run):
        check_small(run)
    path, repair = run / STORED, "restore it from a copy, or delete this file to measure with the defaults"
    if not path.exists():
        return EvaluationConfig()
    try:
        found = settings_from_json(read_json(path, "", repair))
    except cattrs.BaseValidationError as error:
        raise ValueError(f"{path} is damaged ({'; '.join(cattrs.transform_error(error))}): {repair}") from error
    found = replace(found, workers=0) if is_exported(run) else found
    for name, most in MOST.items():
        if getattr(found, name) > most:
            raise ValueError(f"{path} asks for {name} {getattr(found, name)}, more than {most}: choose others")
    return found


def settings_from_json(stored: Mapping[str, Any]) -> EvaluationConfig:
    """Settings from plain JSON, also where specialists were all or none; raises `cattrs.BaseValidationError`."""
    import cattrs

    asked = stored.get("specialists")
    both = {"specialists": SPECIALISTS if asked else ()} if isinstance(asked, bool) else {}
    return cattrs.structure({**stored, **both}, EvaluationConfig)


def keep_evaluation(run: Path, config: EvaluationConfig) -> None:
    """Store the settings in a run directory; a file that says the same is left as it is."""
    import cattrs

    path = run / STORED
    if not path.exists() or evaluation_of(run) != config:
        write_json(path, cattrs.unstructure(config))


def with_changes(config: EvaluationConfig, changes: Mapping[str, Any]) -> EvaluationConfig:
    """The settings with some fields changed.

    Raises:
        TypeError: no such field, with the nearest ones.
        ValueError: a value that cannot be.
    """
    names = [each.name for each in fields(EvaluationConfig)]
    for name in changes:
        if name not in names:
            raise TypeError(f"an evaluation has no setting {name!r}: {nearest(name, names)}")
    return replace(config, **changes)
