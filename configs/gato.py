"""The paper's setting at its three sizes (Reed et al. 2022, app. C), on the tasks that stand for its control data sets.

Their shares of a batch are those of Table 1, see `generalist.envs.gato_control`.
"""

from generalist.agent.config import AgentConfig
from generalist.configs.experiment import Experiment
from generalist.envs.gato_control import sampling_weights
from generalist.eval.config import EvaluationConfig
from generalist.tokenizers.layout import LayoutOptions
from generalist.tokenizers.vocabulary import Vocabulary
from generalist.train.config import MeshConfig, OptimizerConfig, SourceConfig, TrainConfig

LAYOUT = LayoutOptions(ranges="mu-law")
"""The paper's fixed scale, for values without bounds too."""


def gato(
    *, width: int, layers: int, heads: int, head_size: int, patch_channels: int, learning_rate: float
) -> Experiment:
    """Gato's layout, prompts, optimizer, batch and vocabulary; text is bytes unless a SentencePiece model is given."""
    agent = AgentConfig(
        width=width,
        layers=layers,
        heads=heads,
        head_size=head_size,
        feedforward=4 * width,
        window=1024,
        patch_channels=patch_channels,
        dtype="bfloat16",
        remat=True,
    )
    train = TrainConfig(
        sources=tuple(
            SourceConfig(task=task, weight=weight, layout=LAYOUT) for task, weight in sampling_weights().items()
        ),
        agent=agent,
        vocabulary=Vocabulary(text_size=32_000),
        optimizer=OptimizerConfig(learning_rate=learning_rate),
        mesh=MeshConfig(data=1, fsdp=-1, tensor=1),
        sequence_length=1024,
        batch_size=512,
        loss_chunk=128,
        data_streams=64,
        steps=1_000_000,
    )
    return Experiment(train=train, evaluation=EvaluationConfig(prompts=16))
