"""Control, text, captions, questions, dialogue, digits, bands and drawing in one small transformer, on two CPU cores.

    generalist train multimodal --data runs/quickstart/data --out runs/multimodal
    generalist eval runs/multimodal

The control tasks are those of the quickstart, shown as there; their demonstrations are those that `generalist
quickstart` collects. The corpora ship with Python, scikit-learn and MiniGrid: nothing is downloaded. Gato trains on
text and images besides control with 14.7% of its tokens (Reed et al. 2022, tables 1 and 2); here it is 69%, because
these are harder to learn than the tasks: pictures to draw 38%, to read 22%, text 9%.

41 minutes on two CPU cores with tests beside. Control 0.97 of the expert, drawn rooms right 0.64, drawn digits 0.91,
questions about scenes 0.62, Landsat 0.91; docstrings 2.36 bits per byte, which a 5-gram model does better (2.18):
`docs/language.md` has all of it, and what less drawing does.
"""

from dataclasses import replace

from generalist.configs.experiment import Experiment
from generalist.configs.quickstart import config as quickstart
from generalist.tokenizers.pictures import PictureOptions
from generalist.tokenizers.visual import PICTURES
from generalist.train.config import DocumentsConfig

DIGITS = PictureOptions(images="conv", shape=(56, 56, 3))
"""One token, as the quickstart shows BabyAI; enough to see one thing."""

TILES = PictureOptions(images="patches", shape=(56, 56, 3), patch_size=8)
"""One token for each of the 49 tiles of a room: from a single one, questions about several things were not learned."""

BANDS = PictureOptions(images="bands", shape=(3, 3, 4), patch_size=3)
"""One token for a neighbourhood of Landsat's pixels: 36 numbers."""

WEIGHTS = {
    "docstrings": 16.0,
    "digits": 10.0,
    "scenes/captions": 18.0,
    "scenes/questions": 33.0,
    "scenes/dialogue": 7.0,
    "drawings:scenes/captions": 128.0,
    "drawings:digits": 27.0,
    "landsat": 100.0,
}
"""Share of examples. One of a task, as one of docstrings, fills a row; the others are short and share one."""

ROOMS_PER_ROW = 3
"""More do not fit."""

BANDS_PER_ROW = 10

STEPS = 1750


def config() -> Experiment:
    base = quickstart()
    train = replace(
        base.train,
        visual=PICTURES,
        vocabulary=replace(base.train.vocabulary, visual_size=1000),
        documents=tuple(_documents(corpus, weight) for corpus, weight in WEIGHTS.items()),
        agent=replace(
            base.train.agent,
            width=128,
            layers=4,
            head_size=32,
            feedforward=768,
            window=256,
            patch_channels=8,
            unroll=4,
        ),
        sequence_length=256,
        batch_size=24,
        steps=STEPS,
        checkpoint_every=1000,
    )
    return Experiment(train=train, evaluation=base.evaluation)


def _documents(corpus: str, weight: float) -> DocumentsConfig:
    if corpus.startswith("scenes/"):
        return DocumentsConfig(corpus=corpus, weight=weight, pictures=TILES, pictures_per_row=ROOMS_PER_ROW)
    if corpus == "landsat":
        return DocumentsConfig(corpus=corpus, weight=weight, pictures=BANDS, pictures_per_row=BANDS_PER_ROW)
    return DocumentsConfig(corpus=corpus, weight=weight, pictures=DIGITS)
