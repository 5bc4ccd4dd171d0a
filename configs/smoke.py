"""The whole path in about a minute on two cores, too short to learn much: two tasks, a tiny agent, 40 updates.

generalist train smoke --data data --out runs/smoke
"""

from dataclasses import replace

from generalist.agent.config import AgentConfig
from generalist.configs.experiment import Experiment
from generalist.eval.config import EvaluationConfig
from generalist.tokenizers.layout import LayoutOptions
from generalist.train.config import OptimizerConfig, PromptConfig, SourceConfig, TrainConfig

PAPER = LayoutOptions()
SHORT = replace(PAPER, continuous="vector", past_actions="hidden", context=2)


def config() -> Experiment:
    train = TrainConfig(
        sources=(
            SourceConfig(task="CartPole-v1", layout=SHORT),
            SourceConfig(task="FrozenLake8x8-v1", layout=PAPER),
        ),
        agent=AgentConfig(
            width=32, layers=2, heads=2, head_size=16, feedforward=64, window=64, vector_hidden=32, unroll=2
        ),
        prompt=PromptConfig(fraction=0.25),
        optimizer=OptimizerConfig(learning_rate=3e-3, warmup_steps=5, decay_steps=0, clip=1.0),
        sequence_length=64,
        batch_size=8,
        steps=40,
        log_every=10,
        checkpoint_every=20,
    )
    return Experiment(train=train, evaluation=EvaluationConfig(episodes=4, slots=4, prompts=2, films=False))
