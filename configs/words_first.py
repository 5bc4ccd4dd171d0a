r"""Missions of BabyAI and captions, after words or from nothing: what a small text model is worth as a beginning.

    generalist train multimodal_ablation/text --train.steps 350 --out runs/words
    generalist train words_first --data runs/quickstart/data --weights runs/words \
        --allow source --allow patch --allow image --allow answer
    generalist train words_first --data runs/quickstart/data --out runs/no_words

The network is that of `multimodal`. Every third row of a batch is text still, so that it shows what is kept of it; the
rows of missions and of captions are as many. `docs/foundations.md` has what came of it.
"""

from dataclasses import replace

from generalist.configs.experiment import Experiment
from generalist.configs.multimodal import ROOMS_PER_ROW, TILES
from generalist.configs.multimodal import config as multimodal
from generalist.train.config import DocumentsConfig

ROWS = 4.0
"""Of missions, of captions, and of text: as many of each."""

STEPS = 400


def config() -> Experiment:
    base = multimodal()
    missions = tuple(each for each in base.train.sources if each.task.startswith("babyai/"))
    share = sum(each.weight for each in missions) / ROWS
    documents = (
        DocumentsConfig(
            corpus="scenes/captions", weight=ROWS * ROOMS_PER_ROW, pictures=TILES, pictures_per_row=ROOMS_PER_ROW
        ),
        DocumentsConfig(corpus="docstrings", weight=ROWS, pictures=TILES),
    )
    train = replace(
        base.train,
        sources=tuple(replace(each, weight=each.weight / share) for each in missions),
        documents=documents,
        steps=STEPS,
    )
    return replace(base, train=train)
