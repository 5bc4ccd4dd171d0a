"""Eighteen tasks of five families, one small transformer, two CPU cores.

    generalist quickstart --out runs/quickstart

Not the paper's layout: a task embedding instead of prompts, one token per vector or image, past actions hidden, no
separator, one timestep of context. The reasons: an embedding tells tasks apart without the positions that a prompt
takes; a vector of 39 values is one token instead of 39, so that an episode is read in a small part of the time; a
policy that sees its past actions learns to copy them, which costs more than they tell; an action that is predicted
directly takes no place in the sequence and one pass instead of four; a separator divides what positions already do; and
these tasks show their whole state at each step, so that earlier ones only cost time. Muon instead of AdamW, because it
learns the same in fewer updates; the task scales what reads its vector, and the mission what reads its image.
`docs/options.md` has what each is worth.
"""

from generalist.agent.config import AgentConfig, DecodeConfig
from generalist.configs.experiment import Experiment
from generalist.envs.table import family_of
from generalist.eval.config import EvaluationConfig
from generalist.tokenizers.layout import LayoutOptions
from generalist.tokenizers.vocabulary import Vocabulary
from generalist.train.config import MeshConfig, OptimizerConfig, PromptConfig, SourceConfig, TrainConfig

LAYOUT = LayoutOptions(
    continuous="vector",
    images="conv",
    separator=False,
    past_actions="hidden",
    actions="direct",
    context=1,
    predict_text=False,
    max_text_tokens=32,
)

WEIGHTS = {
    "CartPole-v1": 1.0,
    "Acrobot-v1": 1.0,
    "MountainCar-v0": 1.5,
    "MountainCarContinuous-v0": 1.5,
    "Pendulum-v1": 8.0,
    "Taxi-v4": 1.0,
    "FrozenLake8x8-v1": 1.0,
    "CliffWalking-v1": 0.5,
    "InvertedPendulum-v5": 1.0,
    "Reacher-v5": 3.0,
    "babyai/GoToRedBallNoDists": 1.5,
    "babyai/GoToObj": 2.0,
    "babyai/OpenRedDoor": 1.5,
    "babyai/GoToLocalS5N2": 4.0,
    "metaworld/drawer-close-v3": 2.0,
    "metaworld/button-press-topdown-v3": 2.0,
    "metaworld/door-open-v3": 2.0,
    "metaworld/push-v3": 4.0,
}
"""Share of sequences; more for the tasks that need more examples (push, Pendulum) or whose examples are long."""

STEPS = 6000


def source(task: str, weight: float) -> SourceConfig:
    """Of arm and grids, successes alone: an arm that fails is five times as long at it, mostly standing still."""
    return SourceConfig(task=task, weight=weight, layout=LAYOUT, successes=family_of(task) in ("metaworld", "babyai"))


def config() -> Experiment:
    train = TrainConfig(
        sources=tuple(source(task, weight) for task, weight in WEIGHTS.items()),
        agent=AgentConfig(
            width=64,
            layers=2,
            heads=4,
            head_size=16,
            feedforward=512,
            window=128,
            local_positions=64,
            vector_hidden=128,
            vector_gate=True,
            image_text=True,
            source_embedding=True,
            unroll=2,
        ),
        vocabulary=Vocabulary(bins=256, discrete_size=512),
        prompt=PromptConfig(fraction=0.0),
        optimizer=OptimizerConfig(
            method="muon",
            learning_rate=3e-3,
            initial_rate=0.0,
            final_fraction=0.0,
            warmup_steps=120,
            decay_steps=0,
            b2=0.98,
            weight_decay=0.01,
            clip=1.0,
        ),
        sequence_length=128,
        batch_size=16,
        mesh=MeshConfig(cpu_devices=2),
        steps=STEPS,
        return_filter=0.0,
        label_width=1.5,
        log_every=50,
        checkpoint_every=500,
    )
    evaluation = EvaluationConfig(
        decode=DecodeConfig(continuous="mean", discrete="mode"),
        sampled=("babyai",),
        likeliest=("metaworld",),
    )
    return Experiment(train=train, evaluation=evaluation)
