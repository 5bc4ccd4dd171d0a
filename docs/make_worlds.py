"""Make `tokenizers/worlds.model`: SentencePiece, with the words of the tasks and questions that the config worlds has.

python docs/make_worlds.py [OUT]

Needs the extras libero, text and web, and a Chromium.
"""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

from generalist.configs.worlds import config
from generalist.corpora.open import open_corpus
from generalist.envs.seeds import selection_seed
from generalist.envs.table import find_task
from generalist.envs.task import Task
from generalist.tokenizers.parts import Words
from generalist.tokenizers.sentencepiece_training import train_sentencepiece
from generalist.tokenizers.text import SHIPPED, WORLDS

EPISODES = 60
QUESTIONS = 2_000
PIECES = 1_024


def episode_texts(task: Task) -> Iterator[str]:
    """What is read and written in some episodes of the expert, none of which is evaluated on."""
    env = task.make()
    try:
        for episode in range(EPISODES):
            observation, _ = env.reset(seed=selection_seed(episode))
            policy, over = task.expert(env), False
            while not over:
                action = policy(observation)
                yield from texts_in(observation)
                yield from texts_in(action)
                observation, _, terminated, truncated, _ = env.step(action)
                over = terminated or truncated
    finally:
        env.close()


def texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from texts_in(part)


def instructions(task: Task) -> Iterator[str]:
    """The missions of some episodes: they stay as they are in an episode."""
    env = task.make()
    for episode in range(EPISODES):
        observation, _ = env.reset(seed=selection_seed(episode))
        yield from texts_in(observation)
    env.close()


def questions() -> Iterator[str]:
    corpus = open_corpus("reasoning", "train")
    for index in range(QUESTIONS):
        for part in corpus[index]:
            if isinstance(part, Words):
                yield part.text


def main() -> None:
    found = list(questions())
    for source in config().train.sources:
        task = find_task(source.task)
        if task.family in ("textworld", "miniwob"):
            found += episode_texts(task)
        elif task.family == "babyai":
            found += instructions(task)
        elif task.family.startswith("libero"):
            env = task.make()
            found += texts_in(env.reset(seed=selection_seed(0))[0])
            env.close()
    random.Random(0).shuffle(found)
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else SHIPPED[WORLDS]
    train_sentencepiece(found, out, PIECES, threads=1)
    print(f"{out}: {PIECES} pieces from {len(found)} texts")


if __name__ == "__main__":
    main()
