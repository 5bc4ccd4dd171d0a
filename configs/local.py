"""The local suite: every task whose expert is good and cheap, in one small transformer.

    generalist collect --set local --episodes 50
    generalist train local
    generalist eval runs/local

Every family has the same share of a batch (domains "approximately uniformly", Reed et al. 2022, sec. 2.3), and every
task the same share of its family. Not yet trained to a figure that could be given here.
"""

from collections import Counter
from dataclasses import replace

from generalist.configs.babyai import MISSION_TOKENS
from generalist.configs.experiment import Experiment
from generalist.configs.mt50 import config as mt50
from generalist.configs.quickstart import LAYOUT
from generalist.envs.sets import task_set
from generalist.train.config import SourceConfig


def config() -> Experiment:
    base = mt50()
    tasks = task_set("local")
    sizes = Counter(task.family for task in tasks)
    layout = replace(LAYOUT, actions="parallel", max_text_tokens=MISSION_TOKENS)
    sources = tuple(SourceConfig(task=task.id, layout=layout, weight=1 / sizes[task.family]) for task in tasks)
    evaluation = replace(base.evaluation, sampled=("babyai", "minigrid", "sokoban"))
    agent = replace(base.train.agent, local_positions=192, window=256)
    train = replace(base.train, sources=sources, agent=agent, sequence_length=256, batch_size=16)
    return Experiment(train=train, evaluation=evaluation)
