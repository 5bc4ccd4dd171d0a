"""Meta-World's MT50: one small transformer for fifty tasks, on two CPU cores.

    generalist collect --set metaworld/mt50
    generalist train mt50
    generalist eval runs/mt50

The paper's cheapest headline: 96.6% mean success of 79M parameters on these tasks, learned from an expert trained for
each (Reed et al. 2022, sec. 5.5). Here the experts are scripted, and the goal is drawn from the task's whole range.

Here: 0.7M parameters, an hour on two CPU cores with other work beside, 97.9% mean success over 20 held-out episodes of
each task, one seed; the experts have 98.3% on the same. `docs/mt50.md` has all.
"""

from dataclasses import replace

from generalist.configs.experiment import Experiment
from generalist.configs.quickstart import LAYOUT
from generalist.configs.quickstart import config as quickstart
from generalist.envs.sets import task_set
from generalist.train.config import SourceConfig

STEPS = 4_500
WEIGHTS = {"metaworld/peg-insert-side-v3": 3.0, "metaworld/basketball-v3": 2.0}
"""Of the tasks that ask for the finest motion; the others have 1."""


def config() -> Experiment:
    base = quickstart()
    train = replace(
        base.train,
        sources=tuple(
            SourceConfig(task=task.id, layout=LAYOUT, weight=WEIGHTS.get(task.id, 1.0), successes=True)
            for task in task_set("metaworld/mt50")
        ),
        agent=replace(base.train.agent, width=128, head_size=32, feedforward=768, vector_hidden=256),
        optimizer=replace(base.train.optimizer, learning_rate=2e-3, warmup_steps=400),
        batch_size=32,
        steps=STEPS,
        checkpoint_every=1000,
    )
    return Experiment(train=train, evaluation=replace(base.evaluation, episodes=20))
