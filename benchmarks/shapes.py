"""Shapes of training jobs that several benchmarks measure: a trunk, a batch, and a share of image patches."""

from dataclasses import dataclass

from generalist.agent.config import AgentConfig, InputSizes
from generalist.tokenizers.sequence import Capacity
from generalist.tokenizers.vocabulary import Vocabulary
from generalist.train.config import OptimizerConfig, SourceConfig, TrainConfig

PATCH = 16
HEAD = 64


@dataclass(frozen=True, kw_only=True)
class Case:
    """One shape: a trunk, a batch, and a share of the positions that are image patches."""

    width: int
    layers: int
    tokens: int
    rows: int
    images: float = 0.0
    dtype: str = "float32"
    remat: bool = False

    @property
    def patches(self) -> int:
        return int(self.tokens * self.images)


def job(case: Case) -> tuple[TrainConfig, InputSizes, Capacity]:
    """The training job of a shape: a quarter of its positions carry a loss."""
    vocabulary = Vocabulary()
    values = PATCH * PATCH * 3 if case.patches else 0
    capacity = Capacity(tokens=case.tokens, targets=case.tokens // 4, patches=case.patches, patch_values=values)
    sizes = InputSizes(vocabulary=vocabulary.size, patch_size=PATCH if case.patches else 0)
    agent = AgentConfig(
        width=case.width,
        layers=case.layers,
        heads=case.width // HEAD,
        head_size=HEAD,
        feedforward=4 * case.width,
        window=case.tokens,
        dtype=case.dtype,  # pyright: ignore[reportArgumentType]
        remat=case.remat,
    )
    config = TrainConfig(
        sources=(SourceConfig(task="benchmark"),),
        agent=agent,
        vocabulary=vocabulary,
        optimizer=OptimizerConfig(warmup_steps=1),
        sequence_length=case.tokens,
        batch_size=case.rows,
    )
    return config, sizes, capacity
