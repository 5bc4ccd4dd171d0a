"""An experiment: what to train and how to measure it."""

from dataclasses import dataclass, field
from pathlib import Path

from generalist.envs.files import read_json
from generalist.eval.config import EvaluationConfig
from generalist.train.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What a config module returns. Every field can be overridden on the command line, as --train.steps 100."""

    train: TrainConfig
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


EVALUATION = "evaluation.json"
"""Beside `config.json` in a run directory: how the experiment wants to be measured."""


def evaluation_of(run: Path) -> EvaluationConfig:
    """The evaluation settings stored in a run directory; the defaults if there are none."""
    import cattrs  # here, because every `--help` would wait for it

    path = run / EVALUATION
    if not path.exists():
        return EvaluationConfig()
    return cattrs.structure(read_json(path, "evaluate again"), EvaluationConfig)
