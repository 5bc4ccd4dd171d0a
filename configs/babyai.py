"""BabyAI from pixels and text: one small transformer for every level that the bot solves.

    generalist collect --set babyai/all --episodes 300
    generalist train babyai
    generalist eval runs/babyai

Mazes ask for a memory of what was seen: a position looks eight timesteps back. Every step is a picture of 9,408 bytes
in memory: mind it when more episodes are collected. Not yet trained to a figure that could be given here.
"""

from dataclasses import replace

from generalist.configs.experiment import Experiment
from generalist.configs.quickstart import LAYOUT
from generalist.configs.quickstart import config as quickstart
from generalist.envs.sets import has_good_expert, task_set
from generalist.train.config import SourceConfig

STEPS = 20_000
CONTEXT = 8
MISSION_TOKENS = 160
"""Bytes of a mission: the longest of the boss levels are cut, all others fit."""


def config() -> Experiment:
    base = quickstart()
    layout = replace(LAYOUT, context=CONTEXT, max_text_tokens=MISSION_TOKENS)
    levels = [task for task in task_set("babyai/all") if has_good_expert(task)]
    train = replace(
        base.train,
        sources=tuple(SourceConfig(task=level.id, layout=layout) for level in levels),
        agent=replace(
            base.train.agent,
            width=128,
            layers=4,
            head_size=32,
            feedforward=768,
            window=512,
            local_positions=192,
            unroll=4,
        ),
        optimizer=replace(base.train.optimizer, learning_rate=1e-3, warmup_steps=400),
        sequence_length=512,
        steps=STEPS,
        checkpoint_every=2000,
    )
    return Experiment(train=train, evaluation=base.evaluation)
