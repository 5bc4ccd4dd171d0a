"""LIBERO's suites with a scripted expert: one small transformer, cloned from states, on two CPU cores.

    generalist collect --set libero/scripted
    generalist train libero
    generalist eval runs/libero

LIBERO (Liu et al. 2023) is what robot policies report: an arm at a table is told in words what to do. Here it sees the
state and not pictures, and its teachers are scripts and not people, so its numbers stand beside no published ones. A
learned vector tells the tasks apart, not the instruction, which has six times as many tokens as a state. The
demonstrations have noise on what is executed (`envs.families.libero.NOISE`), and actions are drawn: the mean of closing
the gripper and of not yet closing it keeps the arm where it is for good.

`docs/libero.md` has its scores by suite, on LIBERO's own start states.
"""

from dataclasses import replace

from generalist.configs.experiment import Experiment
from generalist.configs.quickstart import config as quickstart
from generalist.configs.worlds import SLOTS, UNTOLD
from generalist.envs.families.libero_tasks import NAMES
from generalist.envs.sets import task_set
from generalist.train.config import SourceConfig

STEPS = 4000


def config() -> Experiment:
    base = quickstart()
    train = replace(
        base.train,
        sources=tuple(
            SourceConfig(task=task.id, layout=UNTOLD, successes=True) for task in task_set("libero/scripted")
        ),
        agent=replace(base.train.agent, width=96, head_size=24, vector_hidden=256),
        steps=STEPS,
    )
    evaluation = replace(base.evaluation, sampled=tuple(NAMES), likeliest=(), slots=SLOTS)
    return Experiment(train=train, evaluation=evaluation)
