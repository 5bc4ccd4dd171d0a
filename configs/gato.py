"""The paper's setting at its three sizes, on the tasks of our table (Reed et al. 2022, app. C)."""

from generalist.agent.config import AgentConfig
from generalist.configs.experiment import Experiment
from generalist.envs.task import all_tasks
from generalist.eval.config import EvaluationConfig
from generalist.tokenizers.vocabulary import Vocabulary
from generalist.train.config import MeshConfig, OptimizerConfig, SourceConfig, TrainConfig


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
        sources=tuple(SourceConfig(task=task.id) for task in all_tasks()),
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
