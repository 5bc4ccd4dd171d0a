"""A foundation on ML45's forty-five training tasks, from which a new task is learnt with few demonstrations.

    generalist collect --set metaworld/ml45-train --episodes 160
    generalist train ml45

26 minutes on two CPU cores, 0.7M parameters: 0.95 of the expert over its tasks; `pretrained:ml45` is one. The five
tasks of `metaworld/ml45-test` are not among them (Yu et al. 2019, "Meta-World"). Means and spreads of the observation
are shared by all tasks, so that a position means the same in a task that is new. `docs/adapting.md` has how it is
adapted; trained with AdamW, and without what the task changes in the network of its vector, because the figures there
were, and what either does to adaptation has not been measured.
"""

from dataclasses import replace

from generalist.configs.experiment import Experiment
from generalist.configs.mt50 import config as mt50
from generalist.configs.quickstart import LAYOUT
from generalist.envs.sets import task_set
from generalist.train.config import SourceConfig

STEPS = 9_000


def config() -> Experiment:
    base = mt50()
    layout = replace(LAYOUT, statistics="space")
    sources = tuple(SourceConfig(task=task.id, layout=layout) for task in task_set("metaworld/ml45-train"))
    agent = replace(base.train.agent, vector_gate=False, image_text=False)
    optimizer = replace(base.train.optimizer, method="adamw")
    train = replace(base.train, sources=sources, agent=agent, optimizer=optimizer, steps=STEPS)
    return replace(base, train=train)
