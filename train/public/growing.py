"""A training job that begins with a public language model: its trunk, its words and their tokenizer, all else new."""

import os
from dataclasses import replace

from generalist.train.config import TextConfig, TrainConfig
from generalist.train.run import read_run

TAKEN = ("width", "layers", "heads", "head_size", "feedforward", "trunk")
"""Fields of `AgentConfig` that are the public model's."""


def grown(config: TrainConfig, place: str | os.PathLike[str]) -> TrainConfig:
    """The same job with the trunk, the token table and the text tokenizer of a public model.

    Its vocabulary is theirs and after it our bins, discrete values, special tokens and ids of pictures. Embedders of
    other modalities, the window and how is computed stay the job's. Positions count tokens of any kind, as in theirs.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: no public model, or rows longer than its table of positions.
    """
    run = read_run(place)
    if run.public is None:
        raise ValueError(f"{place} is a run and no public language model: --weights {place} starts from it")
    there = run.config
    agent = replace(config.agent, **{name: getattr(there.agent, name) for name in TAKEN})
    if (longest := agent.trunk.learned_positions) and agent.window > longest:
        raise ValueError(
            f"{place} has a table of {longest} positions, agent.window is {agent.window}: choose --train.agent.window "
            f"{longest} and a sequence_length up to that"
        )
    vocabulary = replace(config.vocabulary, text_size=there.vocabulary.text_size)
    text = TextConfig(tokenizer="json", model=str(run.directory))
    return replace(config, agent=agent, vocabulary=vocabulary, text=text)
