"""An experiment: what to train and how to measure it."""

from dataclasses import dataclass, field

from generalist.eval.config import EvaluationConfig
from generalist.train.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What a config module returns. Every field can be overridden on the command line, as --train.steps 100."""

    train: TrainConfig
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
