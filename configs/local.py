"""The local suite: every task whose expert is good and cheap, in one small transformer.

    generalist collect --set local
    generalist train local
    generalist eval runs/local --specialists mlp

What a family has of every batch is set by hand (`SHARES`), and its tasks have the same of it: "approximately uniformly"
over domains (Reed et al. 2022, sec. 2.3) would give as much to four tabular tasks as to 93 levels of BabyAI.

196 minutes on two CPU cores with other work beside, one seed: 0.87 of the expert in the mean over 277 tasks, half of it
in 249. `pretrained:local` is that agent; `docs/local.md` has its scores.
"""

from collections import Counter
from dataclasses import replace

from generalist.configs.babyai import CONTEXT, MISSION_TOKENS
from generalist.configs.babyai import config as babyai
from generalist.configs.experiment import Experiment
from generalist.configs.quickstart import LAYOUT
from generalist.envs.sets import task_set
from generalist.envs.task import Task
from generalist.tokenizers.layout import LayoutOptions
from generalist.train.config import SourceConfig

GRIDS = ("babyai", "minigrid", "sokoban")
"""Families in which a position looks several timesteps back."""
REMEMBERED = 32
"""Timesteps that a position looks back in MiniGrid's Memory levels, which ask at their end what stood at their
beginning. Elsewhere it decides nothing (`docs/options.md`)."""
SHARES = {
    "babyai": 34,
    "minigrid": 20,
    "metaworld": 14,
    "robotics": 10,
    "dm_control": 8,
    "mujoco": 5,
    "box2d": 3,
    "classic_control": 3,
    "sokoban": 2,
    "toy_text": 1,
}
"""Shares of the examples, relative to each other. An example of a task of states has three times as many timesteps as
one of a grid, and costs less."""
STEPS = 12_000


def config() -> Experiment:
    base = babyai()
    tasks = task_set("local")
    sizes = Counter(task.family for task in tasks)
    states = replace(LAYOUT, max_text_tokens=MISSION_TOKENS)
    grids = replace(states, context=CONTEXT, text_every=CONTEXT)
    memory = replace(grids, context=REMEMBERED)

    def layout(task: Task) -> LayoutOptions:
        if task.family not in GRIDS:
            return states
        return memory if task.id.startswith("minigrid/Memory") else grids

    sources = tuple(
        SourceConfig(
            task=task.id,
            layout=layout(task),
            weight=SHARES[task.family] / sizes[task.family],
            successes=True,
        )
        for task in tasks
    )
    agent = replace(base.train.agent, vector_hidden=256, attention_block=64)
    evaluation = replace(base.evaluation, sampled=GRIDS, likeliest=(), episodes=20)
    train = replace(base.train, sources=sources, agent=agent, steps=STEPS)
    return Experiment(train=replace(train, checkpoint_every=1000), evaluation=evaluation)
