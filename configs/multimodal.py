"""Control, text, captions, questions, dialogue and digits in one small transformer, on two CPU cores.

    generalist train multimodal --data runs/quickstart/data --out runs/multimodal
    generalist eval runs/multimodal

The control tasks are those of the quickstart, shown as there; their demonstrations are those that `generalist
quickstart` collects. The corpora ship with Python, scikit-learn and MiniGrid: nothing is downloaded. Gato trains on
text and images besides control with 14.7% of its tokens (Reed et al. 2022, tables 1 and 2); here it is 59%, because a
language is harder to learn than these tasks.

27 minutes on two CPU cores with other work beside. Control 0.96 of the expert, docstrings 2.02 bits per byte (a 5-gram
model: 2.18), digits 0.97, questions about scenes 0.80. `docs/language.md` has all of it.
"""

from dataclasses import replace

from generalist.configs.experiment import Experiment
from generalist.configs.quickstart import config as quickstart
from generalist.tokenizers.pictures import PictureOptions
from generalist.train.config import DocumentsConfig

DIGITS = PictureOptions(images="conv", shape=(56, 56, 3))
"""One token, as the quickstart shows BabyAI; enough to see one thing."""

TILES = PictureOptions(images="patches", shape=(56, 56, 3), patch_size=8)
"""One token for each of the 49 tiles of a room: from a single one, questions about several things were not learned."""

WEIGHTS = {
    "docstrings": 32.0,
    "digits": 14.0,
    "scenes/captions": 24.0,
    "scenes/questions": 39.0,
    "scenes/dialogue": 8.0,
}
"""Share of examples. One of a task, as one of docstrings, fills a row; the others are short and share one."""

ROOMS_PER_ROW = 3
"""More do not fit."""

STEPS = 3000


def config() -> Experiment:
    base = quickstart()
    train = replace(
        base.train,
        documents=tuple(_documents(corpus, weight) for corpus, weight in WEIGHTS.items()),
        agent=replace(
            base.train.agent,
            width=128,
            layers=4,
            head_size=32,
            feedforward=768,
            window=256,
            patch_channels=8,
            vector_gate=False,
            image_text=False,
            unroll=4,
        ),
        optimizer=replace(base.train.optimizer, method="adamw", learning_rate=2e-3, warmup_steps=200),
        sequence_length=256,
        batch_size=16,
        steps=STEPS,
        checkpoint_every=1000,
    )
    return Experiment(train=train, evaluation=base.evaluation)


def _documents(corpus: str, weight: float) -> DocumentsConfig:
    if corpus.startswith("scenes/"):
        return DocumentsConfig(corpus=corpus, weight=weight, pictures=TILES, pictures_per_row=ROOMS_PER_ROW)
    return DocumentsConfig(corpus=corpus, weight=weight, pictures=DIGITS)
