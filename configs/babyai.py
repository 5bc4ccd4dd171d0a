"""BabyAI from pixels and text: one small transformer for every level that the bot solves.

    generalist collect --set babyai/all
    generalist train babyai
    generalist eval runs/babyai

Mazes ask for a memory of what was seen: a position looks eight timesteps back. Missions are phrases ("go to the",
" red ball") and are shown once in eight timesteps, so that a timestep is two or three tokens and not thirty. Over 93
levels, 20 episodes each: 0.911 [0.900, 0.922] of the bot's score, above half of it in 92; 87 minutes of two cores with
other work beside, one seed. `docs/babyai.md` has all.
"""

from dataclasses import replace

from generalist.configs.experiment import Experiment
from generalist.configs.quickstart import LAYOUT
from generalist.configs.quickstart import config as quickstart
from generalist.envs.sets import has_good_expert, task_set
from generalist.train.config import SourceConfig, TextConfig

STEPS = 5_500
CONTEXT = 8
MISSION_TOKENS = 24
"""Pieces of a mission: the longest that was met in 60 episodes of every level has 19."""
MISSIONS = TextConfig(tokenizer="sentencepiece", model="missions")


def config() -> Experiment:
    base = quickstart()
    layout = replace(LAYOUT, context=CONTEXT, text_every=CONTEXT, max_text_tokens=MISSION_TOKENS)
    levels = [task for task in task_set("babyai/all") if has_good_expert(task)]
    train = replace(
        base.train,
        sources=tuple(SourceConfig(task=level.id, layout=layout, successes=True) for level in levels),
        text=MISSIONS,
        vocabulary=replace(base.train.vocabulary, text_size=512),
        agent=replace(base.train.agent, width=128, layers=4, head_size=32, feedforward=768, window=256, unroll=4),
        optimizer=replace(base.train.optimizer, learning_rate=1.5e-3, warmup_steps=400),
        sequence_length=256,
        steps=STEPS,
    )
    return Experiment(train=train, evaluation=replace(base.evaluation, episodes=20))
